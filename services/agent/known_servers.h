// services/agent/known_servers.h
//
// Which members of the pool are servers that an agent may forward calls to.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_AGENT_KNOWN_SERVERS_H_
#define CONSUL_SERVICES_AGENT_KNOWN_SERVERS_H_

#include <string_view>

#include "consul/agent/v1/agent.pb.h"
#include "services/rpc/server_list.h"

namespace consul::agent {

// The servers of `datacenter`, and what the pool believes of each. Tags come from other machines: a
// member without a node id or a port that is one is no server.
rpc::ServerList KnownServers(const v1::ListMembersResponse& members, std::string_view datacenter);

}  // namespace consul::agent

#endif  // CONSUL_SERVICES_AGENT_KNOWN_SERVERS_H_
