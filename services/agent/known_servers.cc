#include "services/agent/known_servers.h"

#include "services/server/server_members.h"

namespace consul::agent {
namespace {

rpc::ServerStanding StandingOf(const server::ServerMember& server) {
  if (server.alive()) return rpc::ServerStanding::kAlive;
  return server.status == v1::MEMBER_STATUS_FAILED ? rpc::ServerStanding::kFailed
                                                   : rpc::ServerStanding::kLeft;
}

}  // namespace

rpc::ServerList KnownServers(const v1::ListMembersResponse& members, std::string_view datacenter) {
  rpc::ServerList list;
  list.members = static_cast<size_t>(members.members_size());
  for (server::ServerMember& server : server::ServerMembers(members, datacenter)) {
    list.servers.push_back({.id = std::move(server.id.value),
                            .name = std::move(server.name),
                            .address = std::move(server.address),
                            .standing = StandingOf(server)});
  }
  return list;
}

}  // namespace consul::agent
