// services/raft/test_wire.h
//
// The network between several Nodes of one process: it delivers at once, in the sender's thread, so
// that what is sent in answer is sent from inside. A test can lose, change and see what goes over
// it.
//
// Threads: any. What a test gives it runs under its lock, and so must not send.
#ifndef CONSUL_SERVICES_RAFT_TEST_WIRE_H_
#define CONSUL_SERVICES_RAFT_TEST_WIRE_H_

#include <functional>
#include <map>
#include <utility>

#include "services/base/mutex.h"
#include "services/raft/node.h"
#include "services/raft/transport.h"

namespace consul::raft {

class Wire final : public Transport {
 public:
  // Returns whether the message arrives; may change it.
  using Filter = std::function<bool(Message*)>;

  void Send(Message message) override {
    Socket* socket = nullptr;
    Node* node = nullptr;
    {
      base::MutexLock lock(&mutex_);
      if (sees_) sees_(message);
      if (filter_ && !filter_(&message)) return;
      const auto found = sockets_.find(message.to);
      if (found == sockets_.end() || found->second.node == nullptr) return;
      socket = &found->second;
      node = socket->node;
      ++socket->delivering;
    }
    node->Receive(std::move(message));
    base::MutexLock lock(&mutex_);
    if (--socket->delivering == 0) delivered_.SignalAll();
  }

  void Plug(const ServerId& id, Node* node) {
    base::MutexLock lock(&mutex_);
    sockets_[id].node = node;
  }
  // Returns when nobody is in the midst of a delivery to it.
  void Unplug(const ServerId& id) {
    base::MutexLock lock(&mutex_);
    Socket& socket = sockets_[id];
    socket.node = nullptr;
    while (socket.delivering > 0) delivered_.Wait(&mutex_);
  }

  void SetFilter(Filter filter) {
    base::MutexLock lock(&mutex_);
    filter_ = std::move(filter);
  }
  void LoseIf(std::function<bool(const Message&)> loses) {
    if (!loses) return SetFilter(nullptr);
    SetFilter([loses = std::move(loses)](Message* message) { return !loses(*message); });
  }
  // Also of what is lost.
  void Watch(std::function<void(const Message&)> sees) {
    base::MutexLock lock(&mutex_);
    sees_ = std::move(sees);
  }

 private:
  struct Socket {
    Node* node = nullptr;
    int delivering = 0;
  };

  base::Mutex mutex_;
  base::CondVar delivered_;
  std::map<ServerId, Socket> sockets_ GUARDED_BY(mutex_);
  Filter filter_ GUARDED_BY(mutex_);
  std::function<void(const Message&)> sees_ GUARDED_BY(mutex_);
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_TEST_WIRE_H_
