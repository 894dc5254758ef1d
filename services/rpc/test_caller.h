// services/rpc/test_caller.h
//
// One call through a backend, from its start to its end, for tests: begun from any thread, carried
// out on the executor that it is given.
//
// Threads: Begin, BeginCancel and Wait from any; the rest after Wait.
#ifndef CONSUL_SERVICES_RPC_TEST_CALLER_H_
#define CONSUL_SERVICES_RPC_TEST_CALLER_H_

#include <google/protobuf/message.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "services/base/mutex.h"
#include "services/rpc/backend.h"

namespace consul::rpc {

// Asks until it is so; false after ten seconds.
template <typename Condition>
bool Eventually(Condition&& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

class Caller final : public Call, private Task {
 public:
  Caller(const Method& method, Executor* executor, const google::protobuf::Message* request,
         google::protobuf::Message* response)
      : Call(method, executor, request, response) {}

  void Begin(Backend* backend) {
    backend_ = backend;
    executor()->Post(this);
  }
  void BeginCancel() { executor()->Post(&cancel_); }
  void Wait() {
    base::MutexLock lock(&mutex_);
    while (!done_) changed_.Wait(&mutex_);
  }
  bool done() {
    base::MutexLock lock(&mutex_);
    return done_;
  }

  // What a streaming method has given.
  const std::vector<std::unique_ptr<google::protobuf::Message>>& messages() const {
    return messages_;
  }
  size_t takes = SIZE_MAX;  // messages
  // Takes a copy of the reply where it is valid, inside Done; null: nobody wants it.
  google::protobuf::Message* copy = nullptr;

 private:
  struct CancelTask final : Task {
    explicit CancelTask(Caller* caller) : caller(caller) {}
    void Run() override { caller->backend_->Cancel(caller); }
    Caller* const caller;
  };

  void Run() override { backend_->Start(this); }
  bool Next() override {
    if (messages_.size() >= takes) return false;
    messages_.emplace_back(response()->New())->CopyFrom(*response());
    return true;
  }
  void Done() override {
    if (copy != nullptr && status.ok()) copy->CopyFrom(*response());
    base::MutexLock lock(&mutex_);
    done_ = true;
    changed_.SignalAll();
  }

  Backend* backend_ = nullptr;
  CancelTask cancel_{this};
  std::vector<std::unique_ptr<google::protobuf::Message>> messages_;
  base::Mutex mutex_;
  base::CondVar changed_;
  bool done_ GUARDED_BY(mutex_) = false;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_TEST_CALLER_H_
