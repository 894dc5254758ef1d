// services/server/raft_consensus.h
//
// rpc::Consensus over a raft::Node: turns commands into log entries, and raft's errors into the
// reasons that callers know. Every command of this server passes here, so this is where those are
// refused that a voter might not know.
//
// Threads: any, once SetNode was called.
#ifndef CONSUL_SERVICES_SERVER_RAFT_CONSENSUS_H_
#define CONSUL_SERVICES_SERVER_RAFT_CONSENSUS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "services/raft/node.h"
#include "services/rpc/consensus.h"
#include "services/state/version_source.h"

namespace consul::server {

class RaftConsensus : public rpc::Consensus {
 public:
  // `without` names the voters that do not know a version of the state machine, for people
  // (VoterVersions). `state` outlives this.
  RaftConsensus(const state::VersionSource* state, std::function<std::string(uint32_t)> without)
      : state_(state), without_(std::move(without)) {}

  // The node outlives this. Before, there is no leader.
  void SetNode(raft::Node* node) { node_.store(node, std::memory_order_release); }
  View view() const override;
  void Propose(state::SealedCommand command,
               std::function<void(absl::StatusOr<rpc::Applied>)> done) override;
  void ReadBarrier(rpc::ReadMode mode, std::function<void(absl::Status)> done) override;

 private:
  // REASON_CLUSTER_TOO_OLD where the cluster's version is below `version_min`. What this server has
  // applied answers that anywhere: the version only grows.
  absl::Status CheckVersion(uint32_t version_min);

  const state::VersionSource* const state_;
  const std::function<std::string(uint32_t)> without_;
  // The cluster's version, or one that it had.
  std::atomic<uint32_t> cluster_version_{state::kBaselineVersion};
  std::atomic<raft::Node*> node_{nullptr};
};

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_RAFT_CONSENSUS_H_
