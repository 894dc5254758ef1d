// services/agent/config/config_dump.h
//
// A Config as lines of text, for tests and for whoever wants to see what an agent runs with.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_AGENT_CONFIG_CONFIG_DUMP_H_
#define CONSUL_SERVICES_AGENT_CONFIG_CONFIG_DUMP_H_

#include <string>
#include <utility>
#include <vector>

#include "services/agent/config/config.h"

namespace consul::agent::config {

// Every setting by name, in a fixed order: {"dns.node_ttl", "0s"}. An off port is "off", lists are
// joined by spaces. No value is a secret.
std::vector<std::pair<std::string, std::string>> Dump(const Config& config);

}  // namespace consul::agent::config

#endif  // CONSUL_SERVICES_AGENT_CONFIG_CONFIG_DUMP_H_
