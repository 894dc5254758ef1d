// services/server/node_members.h
//
// server::RaftMembers over a raft::Node.
//
// Threads: any, once SetNode was called.
#ifndef CONSUL_SERVICES_SERVER_NODE_MEMBERS_H_
#define CONSUL_SERVICES_SERVER_NODE_MEMBERS_H_

#include <atomic>
#include <functional>
#include <utility>

#include "services/raft/node.h"
#include "services/server/raft_members.h"

namespace consul::server {

class NodeMembers : public RaftMembers {
 public:
  // `changed` is told of each change that was made by this, in a turn of consensus, on whatever
  // thread has it; it must be short.
  explicit NodeMembers(raft::ServerId self, std::function<void()> changed = [] {})
      : self_(std::move(self)), changed_(std::move(changed)) {}

  // The node outlives this. Before, nobody takes part.
  void SetNode(raft::Node* node) { node_.store(node, std::memory_order_release); }

  View view() const override;
  void Change(const raft::MembershipChange& change, Done done) override;
  void Transfer(const raft::ServerId& target, Done done) override;

 private:
  const raft::ServerId self_;
  const std::function<void()> changed_;
  std::atomic<raft::Node*> node_{nullptr};
};

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_NODE_MEMBERS_H_
