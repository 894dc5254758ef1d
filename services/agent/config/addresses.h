// services/agent/config/addresses.h
//
// The text of an address key: IP literals, or a template that asks the machine.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_AGENT_CONFIG_ADDRESSES_H_
#define CONSUL_SERVICES_AGENT_CONFIG_ADDRESSES_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/agent/config/machine.h"

namespace consul::agent::config {

bool IsIpAddress(std::string_view text);
bool IsIpV6Address(std::string_view text);
// 0.0.0.0 and ::, in any spelling.
bool IsWildcard(std::string_view address);
// An address of a private network: RFC 1918, and fc00::/7 of RFC 4193.
bool IsPrivate(std::string_view address);

// Splits at spaces, and replaces the templates {{ GetPrivateIP }}, {{ GetPublicIP }} and
// {{ GetInterfaceIP "eth0" }}; IPv6 loses its brackets. INVALID_ARGUMENT names `key` and what is no
// address; a template that finds nothing is one too. Empty text is an empty list.
absl::StatusOr<std::vector<std::string>> ResolveAddresses(std::string_view key,
                                                          std::string_view text,
                                                          const Machine& machine);

}  // namespace consul::agent::config

#endif  // CONSUL_SERVICES_AGENT_CONFIG_ADDRESSES_H_
