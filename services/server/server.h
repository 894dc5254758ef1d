// services/server/server.h
//
// One server: consensus, the replicated state, and the duties of a leader, put together.
//
// Threads: Start, Stop and Leave by one owner; the rest from any.
#ifndef CONSUL_SERVICES_SERVER_SERVER_H_
#define CONSUL_SERVICES_SERVER_SERVER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/base/log.h"
#include "services/gossip/member_list.h"
#include "services/rpc/consensus.h"
#include "services/state/version_source.h"

namespace consul::raft {
class Node;
}  // namespace consul::raft

namespace consul::server {

class LeaderDuties;
class RaftConsensus;
class ReplicatedState;

class Server {
 public:
  struct Options {
    // Of the agent; the log is in `data_dir`/raft.
    std::string data_dir;
    std::string node_name;
    std::string node_id;
    std::string datacenter;
    // `ip:port` of the server port, as others are told.
    std::string address;
    bool bootstrap = false;
    int raft_multiplier = 1;
    // 0: as raft::SnapshotOptions has it.
    uint64_t raft_snapshot_threshold = 0;
    std::chrono::nanoseconds raft_snapshot_interval{0};
    uint64_t raft_trailing_logs = 0;
  };

  // `lan` and `logger` outlive the server.
  Server(Options options, const gossip::MemberList* lan, base::Logger* logger);
  ~Server();

  // Recovers what is on disk. Errors: as raft::Node::Open.
  absl::Status Open();
  // Takes part. `leader_changed` is told on a thread of consensus, and must be short;
  // `duties_begun` on the leader's thread, when this server leads and the members are in the
  // catalog.
  // REQUIRES: Open has succeeded.
  void Start(std::function<void()> leader_changed, std::function<void()> duties_begun);

  // Of the state as it is now; empty while nobody has named the cluster.
  std::string cluster_id() const;
  // The pool has changed, or has forgotten a member; of use to a leader only.
  void MembersChanged();
  void MemberReaped(std::string name, std::string generation);

  // The leader's duties end; what they were writing is done when it returns.
  void StopDuties();
  // Ends; what waits is answered with an error. Idempotent.
  void Stop();

  rpc::Consensus* consensus();
  rpc::Consensus::View view() const;
  state::VersionSource* state();

  // `ip:port` of the leader; empty: none known.
  std::string leader() const;
  // `ip:port` of each server of the configuration.
  std::vector<std::string> peers() const;
  // The raft group of `consul info`.
  std::map<std::string, std::string> RaftStats() const;

 private:
  void RoleChanged();

  const Options options_;
  base::Logger* const logger_;
  std::function<void()> leader_changed_;
  std::function<void()> duties_begun_;
  const std::unique_ptr<ReplicatedState> state_;
  const std::unique_ptr<RaftConsensus> consensus_;
  const std::unique_ptr<LeaderDuties> duties_;
  std::unique_ptr<raft::Node> node_;
};

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_SERVER_H_
