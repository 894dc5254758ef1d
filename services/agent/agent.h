// services/agent/agent.h
//
// One agent: a configuration put to work. It owns the server, the pools and the table of methods,
// and offers them as a Backend; the faces (gRPC, HTTP, DNS) are the process's, which starts them on
// that backend and stops them before the agent.
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
#include "services/api/agent_handlers.h"
#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/gossip/pool.h"
#include "services/rpc/handlers.h"
#include "services/rpc/local_backend.h"
#include "services/server/server.h"

namespace consul::agent {

class NodeSync;

class Agent {
 public:
  // Tells the owner, on any thread, that someone has asked the agent to leave.
  using LeaveListener = std::function<void()>;

  // `logger` outlives the agent. Errors name what is in the way: the data-dir, the log, the node
  // id. REASON_UNSUPPORTED: a client agent, which has no pool to find servers in yet.
  static absl::StatusOr<std::unique_ptr<Agent>> Start(config::Config config,
                                                      base::Logger* logger,
                                                      LeaveListener leave_asked);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  rpc::Backend* backend() { return backend_.get(); }
  const config::Config& config() const { return config_; }
  const std::string& node_id() const { return node_id_; }

  // Leaves gracefully: ends the writes to the catalog, then tells the pools. Blocks for as long as
  // a write takes. UNAVAILABLE: there was no leader for five seconds, and it did not leave.
  absl::Status Leave();
  // Tells those who asked for the leave how it went.
  void AnswerLeave(const absl::Status& status);

  // Ends everything, in order. Calls that come later fail. Idempotent.
  void Stop();

 private:
  Agent(config::Config config, std::string node_id, base::Logger* logger,
        LeaveListener leave_asked);

  absl::Status StartServer();
  void RegisterHandlers();
  std::vector<v1::StatGroup> Stats() const;
  void RequestLeave(std::function<void(absl::Status)> done);
  void LogEvent(const gossip::Event& event) const;

  const config::Config config_;
  const std::string node_id_;
  base::Logger* const logger_;
  const LeaveListener leave_asked_;
  gossip::Pool lan_;
  gossip::Pool wan_;
  ReservedPorts ports_;
  server::Server server_;
  rpc::Handlers handlers_;
  api::AgentView view_;
  std::unique_ptr<NodeSync> node_sync_;
  std::unique_ptr<rpc::LocalBackend> backend_;
  base::Mutex mutex_;
  std::vector<std::function<void(absl::Status)>> leaving_ GUARDED_BY(mutex_);
};

}  // namespace consul::agent

#endif  // CONSUL_SERVICES_AGENT_AGENT_H_
