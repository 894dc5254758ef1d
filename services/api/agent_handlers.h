// services/api/agent_handlers.h
//
// consul.agent.v1.AgentService: what an agent answers without asking a server.
//
// Threads: AgentView's functions are called from any thread.
#ifndef CONSUL_SERVICES_API_AGENT_HANDLERS_H_
#define CONSUL_SERVICES_API_AGENT_HANDLERS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "consul/agent/v1/agent.pb.h"
#include "services/base/log.h"
#include "services/base/metrics.h"
#include "services/gossip/member_list.h"
#include "services/rpc/handlers.h"

namespace consul::api {

// What the handlers see of the agent. Everything in it outlives them.
struct AgentView {
  // All of GetSelfResponse but what changes: the member and the figures.
  agent::v1::GetSelfResponse self;
  agent::v1::GatewaySettings gateway_settings;
  const gossip::MemberList* lan = nullptr;
  // Null on a client agent.
  const gossip::MemberList* wan = nullptr;
  // The figures by group, sorted by name.
  std::function<std::vector<agent::v1::StatGroup>()> stats;
  // Begins to leave; `done` is told on any thread when the agent has left, or why it has not.
  std::function<void(std::function<void(absl::Status)> done)> leave;
  // Joins the pool of the agent at an address; tells how many members answered.
  std::function<void(const std::string& address, bool wan,
                     std::function<void(absl::StatusOr<uint32_t>)> done)>
      join;
  // Makes a failed member one that has left.
  std::function<void(const agent::v1::ForceLeaveRequest& request,
                     std::function<void(absl::Status)> done)>
      force_leave;
  // Tells which members of a pool hear this agent.
  std::function<void(
      bool wan, std::function<void(absl::StatusOr<agent::v1::ProbeReachabilityResponse>)> done)>
      probe;
  const base::Metrics* metrics = nullptr;
  base::Metrics::Names metric_names;
  base::Logger* logger = nullptr;
};

// `view` outlives `handlers`.
void RegisterAgent(const AgentView* view, rpc::Handlers* handlers);

}  // namespace consul::api

#endif  // CONSUL_SERVICES_API_AGENT_HANDLERS_H_
