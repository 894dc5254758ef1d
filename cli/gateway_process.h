// cli/gateway_process.h
//
// The process of a gateway that stands alone: HTTP and DNS on an agent that is reached over gRPC.
//
// Threads: the main thread, before any other exists.
#ifndef CONSUL_CLI_GATEWAY_PROCESS_H_
#define CONSUL_CLI_GATEWAY_PROCESS_H_

#include "cli/gateway_command.h"

namespace consul::cli {

// Serves by the agent's settings until it is told to end. Returns the exit code: 0 after an
// interrupt or a termination, 1 when an address could not be had. An agent that does not answer is
// no reason to end: it may come. Until it has, HTTP answers 500 and DNS SERVFAIL.
int RunGateway(const GatewayOptions& options);

}  // namespace consul::cli

#endif  // CONSUL_CLI_GATEWAY_PROCESS_H_
