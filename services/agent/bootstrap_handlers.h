// services/agent/bootstrap_handlers.h
//
// consul.internal.bootstrap.v1.BootstrapService: what servers ask each other before there is a
// cluster.
//
// Threads: as services/rpc/handlers.h.
#ifndef CONSUL_SERVICES_AGENT_BOOTSTRAP_HANDLERS_H_
#define CONSUL_SERVICES_AGENT_BOOTSTRAP_HANDLERS_H_

#include <functional>

#include "services/rpc/handlers.h"
#include "services/server/bootstrapper.h"

namespace consul::agent {

// `bootstrapper` gives what is there by the time of the first call.
void RegisterBootstrap(std::function<server::Bootstrapper*()> bootstrapper,
                       rpc::Handlers* handlers);

}  // namespace consul::agent

#endif  // CONSUL_SERVICES_AGENT_BOOTSTRAP_HANDLERS_H_
