// services/server/server_members.h
//
// The servers of a datacenter as its LAN pool knows them: what members say of themselves by tags.
//
// Threads: pure functions and values.
#ifndef CONSUL_SERVICES_SERVER_SERVER_MEMBERS_H_
#define CONSUL_SERVICES_SERVER_SERVER_MEMBERS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "consul/agent/v1/agent.pb.h"
#include "services/raft/core/types.h"

namespace consul::server {

struct ServerMember {
  // Node id, by which consensus knows a server whatever its address.
  raft::ServerId id;
  std::string name;
  // `ip:port` of its server port.
  std::string address;
  agent::v1::MemberStatus status = agent::v1::MEMBER_STATUS_ALIVE;
  std::string version;  // of its program
  // It founds a cluster of its own (`-bootstrap`).
  bool bootstrap = false;
  // How many servers it expects (`-bootstrap-expect`); 0: it expects none.
  uint32_t expect = 0;
  std::vector<query::v1::StringPair> tags;

  bool alive() const { return status == agent::v1::MEMBER_STATUS_ALIVE; }
  // Alive, and may have said that it leaves.
  bool present() const { return alive() || status == agent::v1::MEMBER_STATUS_LEAVING; }
};

// The same by id. A server that has another name now has its old one too, as one that has failed or
// left: of several with one id the one that is most alive stays.
std::vector<ServerMember> OnePerId(std::vector<ServerMember> servers);

// Of `datacenter`, one per id. Tags come from other machines: a member without a node id or a port
// that is one is no server.
std::vector<ServerMember> ServerMembers(const agent::v1::ListMembersResponse& members,
                                        std::string_view datacenter);

// Null: there is none.
const ServerMember* FindServer(const std::vector<ServerMember>& servers,
                               const raft::ServerId& id);

// The value of a tag; empty where it is not there.
std::string_view TagOf(const agent::v1::Member& member, std::string_view key);
// The port in its tag; 0 where there is none that is one.
uint16_t PortOf(const agent::v1::Member& member);

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_SERVER_MEMBERS_H_
