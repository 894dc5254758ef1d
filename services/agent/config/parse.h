// services/agent/config/parse.h
//
// The two languages of configuration files, HCL 1 and JSON, to one tree.
//
// Threads: pure functions.
// Background: services/agent/config/README.md.
#ifndef CONSUL_SERVICES_AGENT_CONFIG_PARSE_H_
#define CONSUL_SERVICES_AGENT_CONFIG_PARSE_H_

#include <cstddef>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/agent/config/value.h"

namespace consul::agent::config {

// A configuration file is read whole; service definitions of a large host fit many times over.
inline constexpr size_t kTextBytesMax = 8 << 20;
// Objects and lists in one another. The parser recurses; a real file has five or six.
inline constexpr int kDepthMax = 64;
// Keys of one object: look-ups in it are linear.
inline constexpr size_t kObjectKeysMax = 4096;

// Both: an object, or null for text without content. Every value carries `source`; those of HCL
// their position as well. INVALID_ARGUMENT "SOURCE:LINE:COLUMN: what"; text that is not UTF-8 or
// passes one of the limits above is refused with that limit named.
absl::StatusOr<Value> ParseHcl(std::string_view text, std::string_view source);
absl::StatusOr<Value> ParseJson(std::string_view text, std::string_view source);

}  // namespace consul::agent::config

#endif  // CONSUL_SERVICES_AGENT_CONFIG_PARSE_H_
