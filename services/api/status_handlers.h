// services/api/status_handlers.h
//
// consul.status.v1.StatusService.
//
// Threads: as rpc::Handlers.
#ifndef CONSUL_SERVICES_API_STATUS_HANDLERS_H_
#define CONSUL_SERVICES_API_STATUS_HANDLERS_H_

#include <functional>
#include <string>
#include <vector>

#include "services/rpc/handlers.h"

namespace consul::api {

// Called from any thread.
struct StatusView {
  // `ip:port` of the leader; empty: none known.
  std::function<std::string()> leader;
  // `ip:port` of each server of the configuration.
  std::function<std::vector<std::string>()> peers;
};

void RegisterStatus(StatusView view, rpc::Handlers* handlers);

}  // namespace consul::api

#endif  // CONSUL_SERVICES_API_STATUS_HANDLERS_H_
