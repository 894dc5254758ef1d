// services/server/raft_consensus.h
//
// rpc::Consensus over a raft::Node: turns commands into log entries, and raft's errors into the
// reasons that callers know.
//
// Threads: any, once SetNode was called.
#ifndef CONSUL_SERVICES_SERVER_RAFT_CONSENSUS_H_
#define CONSUL_SERVICES_SERVER_RAFT_CONSENSUS_H_

#include <atomic>
#include <string>

#include "services/raft/node.h"
#include "services/rpc/consensus.h"

namespace consul::server {

class RaftConsensus : public rpc::Consensus {
 public:
  // The node outlives this. Before, there is no leader.
  void SetNode(raft::Node* node) { node_.store(node, std::memory_order_release); }

  View view() const override;
  void Propose(std::string command,
               std::function<void(absl::StatusOr<rpc::Applied>)> done) override;
  void ReadBarrier(std::function<void(absl::Status)> done) override;

 private:
  std::atomic<raft::Node*> node_{nullptr};
};

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_RAFT_CONSENSUS_H_
