// services/agent/agent.h
//
// One agent: a configuration put to work. It owns what every agent has (its place in the LAN pool,
// its own node in the catalog, the methods of the agent itself) and its role, which is a server's
// or a client's, and offers them as a Backend; the faces (gRPC, HTTP, DNS) are the process's, which
// starts them on that backend and stops them before the agent.
//
// Threads: Start, Leave and Stop by one owner; JoinAtStart beside them; backend() and RequestLeave
// from any.
#ifndef CONSUL_SERVICES_AGENT_AGENT_H_
#define CONSUL_SERVICES_AGENT_AGENT_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "consul/coordinate/v1/coordinate.pb.h"
#include "services/agent/config/config.h"
#include "services/agent/role.h"
#include "services/api/agent_handlers.h"
#include "services/api/event_handlers.h"
#include "services/api/snapshot_restores.h"
#include "services/base/file.h"
#include "services/base/log.h"
#include "services/base/metrics.h"
#include "services/base/mutex.h"
#include "services/gossip/pool.h"
#include "services/rpc/handlers.h"

namespace consul::agent {

class Joiner;
class NodeSync;

// What an agent tells its owner, each on any thread.
struct AgentCallbacks {
  // Someone has asked the agent to leave.
  std::function<void()> leave_asked = [] {};
  // It cannot go on, and has said why in the log: the process is to end.
  std::function<void()> failed = [] {};
};

class Agent final : private gossip::Pool::Listener {
 public:
  // `logger` outlives the agent. Errors name what is in the way: the data-dir, the log, the node
  // id, a key, a port.
  static absl::StatusOr<std::unique_ptr<Agent>> Start(config::Config config,
                                                      base::Logger* logger,
                                                      AgentCallbacks callbacks);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  rpc::Backend* backend() { return role_->backend(); }
  const config::Config& config() const { return config_; }
  const std::string& node_id() const { return node_id_; }
  // Whether gossip is encrypted, by the configuration or by a keyring that was kept.
  bool encrypted() const { return lan_->encrypted(); }

  // Joins `start_join` and `start_join_wan`; blocks until they have answered, or Stop. Returns how
  // many did, all in all. REASON_JOIN_FAILED: nobody of one of the pools.
  absl::StatusOr<uint32_t> JoinAtStart();
  // Begins to join `retry_join` and `retry_join_wan`. One that gives up is a failure of the agent.
  void KeepJoining();

  // Leaves gracefully: ends the writes to the catalog, then tells the pools. Blocks until they have
  // been told. UNAVAILABLE: a server without a leader for five seconds, which did not leave.
  absl::Status Leave();
  // Tells those who asked for the leave how it went, and those who still ask. REQUIRES: it is over.
  void AnswerLeave(const absl::Status& status);

  // Ends everything, in order. Calls that come later fail. Idempotent.
  void Stop();

 private:
  Agent(config::Config config, std::unique_ptr<base::FileLock> lock, std::string node_id,
        base::Logger* logger, AgentCallbacks callbacks);

  absl::Status Begin();
  absl::Status OpenLanPool();
  void RegisterHandlers();
  std::vector<v1::StatGroup> Stats() const;
  void Join(const std::string& address, bool wan,
            std::function<void(absl::StatusOr<uint32_t>)> done);
  void ForceLeave(const v1::ForceLeaveRequest& request, std::function<void(absl::Status)> done);
  void Probe(bool wan, std::function<void(absl::StatusOr<v1::ProbeReachabilityResponse>)> done);
  // Null: not known, or the pool has stopped.
  std::optional<coordinate::v1::Coordinate> OwnPlace();
  void TellEvent(const event::v1::Event& event, std::function<void(absl::Status)> done);
  void RequestLeave(std::function<void(absl::Status)> done);
  void Fail(const std::string& why);

  // gossip::Pool::Listener, of the LAN pool.
  void OnMemberEvent(const gossip::MemberEvent& event) override;
  void OnMembersPublished() override;
  void OnUserEvent(const gossip::UserEvent& event) override;
  void OnNameLost(const gossip::NameConflict& conflict) override;

  const config::Config config_;
  // On the data-dir, which is one agent's.
  const std::unique_ptr<base::FileLock> lock_;
  const std::string node_id_;
  // Everything that adds to them is below.
  base::Metrics metrics_;
  // Of this life of the agent: its catalog writes carry it, and its member's tags tell it, so that
  // what it wrote late can be told from what its next life writes.
  const std::string generation_;
  base::Logger* const logger_;
  const AgentCallbacks callbacks_;
  rpc::Handlers handlers_;
  api::AgentView view_;
  api::EventList heard_;
  api::EventView event_view_;
  // What their calls wait on outlives the backend, which may still tell them something.
  api::SnapshotRestores restores_;
  std::unique_ptr<NodeSync> node_sync_;
  std::unique_ptr<Role> role_;
  std::unique_ptr<gossip::Pool> lan_;
  std::unique_ptr<Joiner> joiner_;
  base::Mutex mutex_;
  std::vector<std::function<void(absl::Status)>> leaving_ GUARDED_BY(mutex_);
  std::optional<absl::Status> left_ GUARDED_BY(mutex_);  // how the leave went
};

}  // namespace consul::agent

#endif  // CONSUL_SERVICES_AGENT_AGENT_H_
