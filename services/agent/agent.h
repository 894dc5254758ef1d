// services/agent/agent.h
//
// One agent: a configuration put to work. It owns what every agent has (its place in the LAN pool,
// its own node in the catalog, the methods of the agent itself) and its role, which is a server's
// or a client's, and offers them as a Backend; the faces (gRPC, HTTP, DNS) are the process's, which
// starts them on that backend and stops them before the agent.
//
// Threads: Start, Leave and Stop by one owner; backend() and RequestLeave from any.
#ifndef CONSUL_SERVICES_AGENT_AGENT_H_
#define CONSUL_SERVICES_AGENT_AGENT_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/agent/config/config.h"
#include "services/agent/reserved_ports.h"
#include "services/agent/role.h"
#include "services/api/agent_handlers.h"
#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/gossip/pool.h"
#include "services/rpc/handlers.h"

namespace consul::agent {

class NodeSync;

class Agent {
 public:
  // Tells the owner, on any thread, that someone has asked the agent to leave.
  using LeaveListener = std::function<void()>;

  // `logger` outlives the agent. Errors name what is in the way: the data-dir, the log, the node
  // id, a port.
  static absl::StatusOr<std::unique_ptr<Agent>> Start(config::Config config,
                                                      base::Logger* logger,
                                                      LeaveListener leave_asked);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  rpc::Backend* backend() { return role_->backend(); }
  const config::Config& config() const { return config_; }
  const std::string& node_id() const { return node_id_; }

  // Leaves gracefully: ends the writes to the catalog, then tells the pools. Blocks for as long as
  // a write takes. UNAVAILABLE: a server without a leader for five seconds, which did not leave.
  absl::Status Leave();
  // Tells those who asked for the leave how it went.
  void AnswerLeave(const absl::Status& status);

  // Ends everything, in order. Calls that come later fail. Idempotent.
  void Stop();

  // As if the LAN pool had these members.
  void SetMembersForTest(const gossip::MemberList::Members& members) {
    role_->MembersChanged(members);
  }

 private:
  Agent(config::Config config, std::string node_id, base::Logger* logger,
        LeaveListener leave_asked);

  absl::Status Begin();
  std::vector<v1::StatGroup> Stats() const;
  void RequestLeave(std::function<void(absl::Status)> done);
  void LogEvent(const gossip::Event& event) const;

  const config::Config config_;
  const std::string node_id_;
  // Of this life of the agent: its catalog writes carry it, and its member's tags tell it, so that
  // what it wrote late can be told from what its next life writes.
  const std::string generation_;
  base::Logger* const logger_;
  const LeaveListener leave_asked_;
  rpc::Handlers handlers_;
  api::AgentView view_;
  // What its calls wait on outlives the backend, which may still tell them something.
  std::unique_ptr<NodeSync> node_sync_;
  std::unique_ptr<Role> role_;  // the LAN pool's listener looks for it from the start
  gossip::Pool lan_;
  ReservedPorts ports_;
  base::Mutex mutex_;
  std::vector<std::function<void(absl::Status)>> leaving_ GUARDED_BY(mutex_);
};

}  // namespace consul::agent

#endif  // CONSUL_SERVICES_AGENT_AGENT_H_
