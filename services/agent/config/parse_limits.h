// services/agent/config/parse_limits.h
//
// What both parsers ask of a text before they read it.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_AGENT_CONFIG_PARSE_LIMITS_H_
#define CONSUL_SERVICES_AGENT_CONFIG_PARSE_LIMITS_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "services/agent/config/value.h"

namespace consul::agent::config {

// Takes a byte-order mark off `text`, then refuses what is too large or not UTF-8.
absl::Status CheckText(std::string_view* text, std::string_view source);

// Line and column, both from 1 and the column in bytes, of the byte at `offset`.
Position PositionOf(std::string_view text, size_t offset);

}  // namespace consul::agent::config

#endif  // CONSUL_SERVICES_AGENT_CONFIG_PARSE_LIMITS_H_
