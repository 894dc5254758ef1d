// services/agent/pool_options.h
//
// The pools of an agent, as its configuration says.
//
// Threads: pure functions, but for the keyring file.
#ifndef CONSUL_SERVICES_AGENT_POOL_OPTIONS_H_
#define CONSUL_SERVICES_AGENT_POOL_OPTIONS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/agent/config/config.h"
#include "services/gossip/pool.h"

namespace consul::agent {

// The tag that tells the agent's generation. services/server/reconcile.cc reads it, too.
inline constexpr std::string_view kGenerationTag = "gen";

// Who the agent is to its pools.
struct AgentIdentity {
  std::string node_id;
  // Of this life of the agent; its writes to the catalog carry it.
  std::string generation;
};

// Errors name what is wrong: an address, the keyring's file, tags that are too long. What is odd
// goes to `warnings`.
absl::StatusOr<gossip::PoolOptions> LanPoolOptions(const config::Config& config,
                                                   const AgentIdentity& identity,
                                                   std::vector<std::string>* warnings);
// REQUIRES: config.serf_wan_listen is there.
absl::StatusOr<gossip::PoolOptions> WanPoolOptions(const config::Config& config,
                                                   const AgentIdentity& identity,
                                                   std::vector<std::string>* warnings);

}  // namespace consul::agent

#endif  // CONSUL_SERVICES_AGENT_POOL_OPTIONS_H_
