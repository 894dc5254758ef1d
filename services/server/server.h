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
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "consul/operators/v1/autopilot.pb.h"
#include "consul/operators/v1/raft.pb.h"
#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/gossip/member_list.h"
#include "services/rpc/consensus.h"
#include "services/rpc/server_list.h"
#include "services/server/server_members.h"
#include "services/state/version_source.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace consul::base {
class Metrics;
}  // namespace consul::base

namespace consul::raft {
class Node;
}  // namespace consul::raft

namespace consul::transport {
class GrpcTransport;
}  // namespace consul::transport

namespace consul::internal::bootstrap::v1 {
class Foundation;
}  // namespace consul::internal::bootstrap::v1

namespace consul::server {

class AutopilotDriver;
class Bootstrapper;
class LeaderDuties;
class NameWatch;
class NodeMembers;
class PledgeFile;
class RaftConsensus;
class ReplicatedState;
class VoterVersions;

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
    // How many servers found the cluster with this one among them; 0: it founds none with others.
    int bootstrap_expect = 0;
    int raft_multiplier = 1;
    // 0: as raft::SnapshotOptions has it.
    uint64_t raft_snapshot_threshold = 0;
    std::chrono::nanoseconds raft_snapshot_interval{0};
    uint64_t raft_trailing_logs = 0;
    // What autopilot goes by until somebody says otherwise.
    operators::v1::AutopilotConfiguration autopilot;
    // The newest version of the state machine that this program tells others that it knows; tests
    // of older programs tell less. 0: what it does know.
    uint32_t state_version = 0;
    // The pools give up a failed member of this node name. On the thread of autopilot.
    std::function<void(const std::string& name)> force_leave = [](const std::string&) {};
  };

  // `lan`, `metrics` and `logger` outlive the server.
  Server(Options options, const gossip::MemberList* lan, base::Metrics* metrics,
         base::Logger* logger);
  ~Server();

  // Recovers what is on disk. Errors: as raft::Node::Open.
  absl::Status Open();
  // What the server port has to serve besides: how other servers reach this one's consensus. Lives
  // as long as this. REQUIRES: Open has succeeded.
  grpc::Service* service();

  struct News {
    // Another server leads, or none. In a turn of raft's, on any thread; must be short.
    std::function<void()> leader_changed;
    // This server leads, and the members are in the catalog. On the leader's thread.
    std::function<void()> duties_begun;
    // The cluster's id is known. At once, or on the apply thread, or both; must be short.
    std::function<void(const std::string& id)> cluster_named;
  };
  // Takes part. REQUIRES: Open has succeeded.
  void Start(News news);

  // The pool has changed, or has forgotten a member; of use to a leader only.
  void MembersChanged();
  void MemberReaped(std::string name, std::string generation);

  // Takes this server out of consensus, which may take some seconds; `ask` asks the leader to
  // remove it, and waits for the answer. Errors: as departure.h says.
  absl::Status LeaveConsensus(const std::function<absl::Status()>& ask);
  // The leader's duties end; what they were writing is done when it returns.
  void StopDuties();
  // Ends; what waits is answered with an error. Idempotent.
  void Stop();

  // Founding with others. REQUIRES: Open has succeeded.
  Bootstrapper* bootstrapper() { return bootstrapper_.get(); }

  rpc::Consensus* consensus();
  rpc::Consensus::View view() const;
  state::VersionSource* state();

  // `ip:port` of the leader; empty: none known.
  std::string leader() const;
  // `ip:port` of each server of the configuration.
  std::vector<std::string> peers() const;
  // The leader as the pool has it, where that is another server; nothing: none is known.
  std::optional<rpc::KnownServer> other_leader() const;
  // Who takes part, for operators.
  operators::v1::GetRaftConfigurationResponse raft_configuration() const;
  // Changes of that by hand, on the leader. Errors: as RaftMembers.
  void RemovePeer(const std::string& id, std::function<void(absl::Status)> done);
  void TransferLead(const std::string& id, std::function<void(absl::Status)> done);
  AutopilotDriver* autopilot();
  uint64_t term() const;
  // The raft group of `consul info`.
  std::map<std::string, std::string> RaftStats() const;

 private:
  absl::Status OpenNode();
  absl::Status OpenFounding();
  void RoleChanged();
  void TellOfLeader();
  // `ip:port` of a server; empty where the pool does not know it.
  std::string AddressOf(const std::string& id) const;
  std::shared_ptr<const std::vector<ServerMember>> servers() const;
  // Its name in the pool; empty where that does not know it.
  std::string NameOf(const raft::ServerId& id) const;
  std::unique_ptr<VoterVersions> MakeVersions();
  void VersionsChanged();
  absl::Status NameOfFoundation(const std::optional<internal::bootstrap::v1::Foundation>& pledge);
  // The cluster's id, as the log and the pledge have it, for as long as the state has none.
  void SetNameOnDisk(const std::string& id);
  // Empty while nobody has named the cluster, as far as this server knows.
  std::string cluster_id() const;

  const Options options_;
  const gossip::MemberList* const lan_;
  base::Metrics* const metrics_;
  base::Logger* const logger_;
  News news_;
  bool started_ = false;
  std::string told_leader_;  // of raft's turns

  mutable base::Mutex mutex_;
  std::shared_ptr<const std::vector<ServerMember>> servers_ GUARDED_BY(mutex_);
  std::string name_on_disk_ GUARDED_BY(mutex_);

  const std::unique_ptr<ReplicatedState> state_;
  const std::unique_ptr<RaftConsensus> consensus_;
  std::unique_ptr<LeaderDuties> duties_;
  const std::unique_ptr<NodeMembers> members_;
  const std::unique_ptr<VoterVersions> versions_;
  const std::unique_ptr<AutopilotDriver> autopilot_;
  std::unique_ptr<PledgeFile> pledge_file_;
  std::unique_ptr<Bootstrapper> bootstrapper_;
  std::shared_ptr<NameWatch> name_watch_;
  std::unique_ptr<transport::GrpcTransport> transport_;
  std::unique_ptr<raft::Node> node_;
};

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_SERVER_H_
