// services/agent/config/node_id.h
//
// A node's id across restarts: the configured one, or the one in data_dir/node-id, or a new random
// UUID that is written there.
//
// Threads: call ResolveNodeId once, before the agent starts; it touches data_dir.
#ifndef CONSUL_SERVICES_AGENT_CONFIG_NODE_ID_H_
#define CONSUL_SERVICES_AGENT_CONFIG_NODE_ID_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace consul::agent::config {

// The id in the text of a node-id file, in lower case; empty when there is white space alone.
// INVALID_ARGUMENT: neither that nor a UUID with white space behind it.
absl::StatusOr<std::string> ParseNodeId(std::string_view text);

// Returns `configured` in lower case when it is not empty, else what data_dir/node-id holds, else a
// new id. Whatever is returned is in the file afterwards, durably. `data_dir` must exist.
// INVALID_ARGUMENT: an id that is no UUID, naming it and where it came from. Else the file's error.
absl::StatusOr<std::string> ResolveNodeId(const std::string& configured,
                                          const std::string& data_dir);

}  // namespace consul::agent::config

#endif  // CONSUL_SERVICES_AGENT_CONFIG_NODE_ID_H_
