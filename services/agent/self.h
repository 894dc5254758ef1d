// services/agent/self.h
//
// What an agent says of itself: its member in the pools, its entry in the catalog, its
// configuration for people and for gateways, the figures of its process.
//
// Threads: pure functions of the configuration, but for RuntimeStats, which asks the kernel.
#ifndef CONSUL_SERVICES_AGENT_SELF_H_
#define CONSUL_SERVICES_AGENT_SELF_H_

#include <string>
#include <utility>
#include <vector>

#include "consul/agent/v1/agent.pb.h"
#include "consul/catalog/v1/catalog.pb.h"
#include "services/agent/config/config.h"

namespace consul::agent {

using Figures = std::vector<std::pair<std::string, std::string>>;

// The member that the agent is. `node_id` is the resolved one, `generation` the agent's life, which
// its catalog writes carry. Tags stand in the order in which `consul members` prints them; those it
// does not print follow.
v1::Member LanMember(const config::Config& config, const std::string& node_id,
                     const std::string& generation);
// The same in the WAN pool, where names carry the datacenter, and which the catalog is not made of.
v1::Member WanMember(const config::Config& config, const std::string& node_id);

// The agent's node as the catalog should have it, without indexes.
catalog::v1::Node CatalogNode(const config::Config& config, const std::string& node_id);

// All of it but the member and the figures.
v1::GetSelfResponse Self(const config::Config& config, const std::string& node_id);

// What HTTP and DNS answer by: the agent's own faces, and those of a gateway in its place.
v1::GatewaySettings GatewaySettings(const config::Config& config);

// The figures sorted by name: groups of `consul info`.
Figures RuntimeStats();
Figures BuildStats();

// A group of figures as the API has it.
v1::StatGroup Group(std::string name, const Figures& figures);

}  // namespace consul::agent

#endif  // CONSUL_SERVICES_AGENT_SELF_H_
