// services/api/autopilot_handlers.h
//
// consul.operators.v1.AutopilotService: what autopilot goes by, and what it thinks of the servers.
//
// Threads: as services/rpc/handlers.h.
#ifndef CONSUL_SERVICES_API_AUTOPILOT_HANDLERS_H_
#define CONSUL_SERVICES_API_AUTOPILOT_HANDLERS_H_

#include <functional>
#include <optional>

#include "consul/operators/v1/autopilot.pb.h"
#include "services/rpc/handlers.h"

namespace consul::api {

// Autopilot on the leader. Called from any thread; what is empty is not known, for this server does
// not lead any more.
struct AutopilotReport {
  std::function<operators::v1::AutopilotConfiguration()> configuration;
  std::function<std::optional<operators::v1::GetAutopilotHealthResponse>()> health;
  std::function<std::optional<operators::v1::GetAutopilotStateResponse>()> state;
};

void RegisterAutopilot(AutopilotReport report, rpc::Handlers* handlers);

}  // namespace consul::api

#endif  // CONSUL_SERVICES_API_AUTOPILOT_HANDLERS_H_
