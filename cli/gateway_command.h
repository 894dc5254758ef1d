// cli/gateway_command.h
//
// What `consul gateway` is told on its command line.
//
// Threads: a plain value.
#ifndef CONSUL_CLI_GATEWAY_COMMAND_H_
#define CONSUL_CLI_GATEWAY_COMMAND_H_

#include <optional>
#include <string>

#include "services/agent/config/config.h"

namespace consul::cli {

struct GatewayOptions {
  // The agent that is asked, host:port.
  std::string rpc_address;
  // Nullopt: that face is off. An address is an IP literal.
  std::optional<agent::config::Endpoint> http_listen;
  std::optional<agent::config::Endpoint> dns_listen;
  // Of names without a datacenter, and of the DNS names served; nullopt: as the agent has it.
  std::optional<std::string> datacenter;
  std::optional<std::string> domain;
};

}  // namespace consul::cli

#endif  // CONSUL_CLI_GATEWAY_COMMAND_H_
