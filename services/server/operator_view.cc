#include "services/server/operator_view.h"

#include <chrono>
#include <string>

#include "services/base/version.h"

namespace consul::server {
namespace {

using google::protobuf::Duration;
using google::protobuf::Timestamp;

void Set(raft::Duration duration, Duration* out) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
  out->set_seconds(seconds.count());
  out->set_nanos(static_cast<int32_t>((duration - seconds).count()));
}

// A member that was never heard has a contact of -1 ns, as in the reference.
void SetContact(const ServerHealth& server, Duration* out) {
  Set(server.last_contact.value_or(raft::Duration{-1}), out);
}

void SetTime(const ServerHealth& server, Timestamp* out) {
  const auto since = std::chrono::round<std::chrono::seconds>(server.stable_since_wall);
  out->set_seconds(since.time_since_epoch().count());
}

operators::v1::ServerStatus StatusOf(const ServerHealth& server) {
  if (server.leader) return operators::v1::SERVER_STATUS_LEADER;
  return server.voter ? operators::v1::SERVER_STATUS_VOTER
                      : operators::v1::SERVER_STATUS_NON_VOTER;
}

// What both messages have of a server.
template <typename Message>
void Fill(const ServerHealth& server, Message* message) {
  message->set_id(server.id.value);
  if (server.member.has_value()) {
    message->set_name(server.member->name);
    message->set_address(server.member->address);
    message->set_version(server.member->version);
  }
  SetContact(server, message->mutable_last_contact());
  message->set_last_term(server.last_term.value);
  message->set_last_index(server.last_index.value);
  message->set_healthy(server.healthy);
  SetTime(server, message->mutable_stable_since());
}

}  // namespace

operators::v1::GetRaftConfigurationResponse RaftConfigurationOf(
    const RaftMembers::View& members, const std::vector<ServerMember>& pool) {
  operators::v1::GetRaftConfigurationResponse response;
  response.set_index(members.configuration.index.value);
  for (const raft::Member& member : members.configuration.configuration.members()) {
    operators::v1::RaftServer* const server = response.add_servers();
    server->set_id(member.id.value);
    const ServerMember* const known = FindServer(pool, member.id);
    server->set_node(known == nullptr ? "(unknown)" : known->name);
    if (known != nullptr) server->set_address(known->address);
    server->set_leader(member.id == members.leader);
    server->set_protocol_version(std::to_string(base::kRaftProtocol));
    server->set_voter(member.kind == raft::MemberKind::kVoter);
    if (!members.leads) continue;
    if (member.id == members.self) server->set_last_index(members.last_index.value);
    for (const raft::MemberProgress& progress : members.progress) {
      if (progress.id == member.id) server->set_last_index(progress.match.value);
    }
  }
  return response;
}

operators::v1::GetAutopilotHealthResponse HealthMessage(const ClusterHealth& health) {
  operators::v1::GetAutopilotHealthResponse response;
  response.set_healthy(health.healthy);
  response.set_failure_tolerance(static_cast<uint32_t>(health.failure_tolerance));
  for (const ServerHealth& each : health.servers) {
    operators::v1::ServerHealth* const server = response.add_servers();
    Fill(each, server);
    server->set_serf_status(each.status());
    server->set_leader(each.leader);
    server->set_voter(each.voter);
  }
  return response;
}

operators::v1::GetAutopilotStateResponse StateMessage(const ClusterHealth& health) {
  operators::v1::GetAutopilotStateResponse response;
  response.set_healthy(health.healthy);
  response.set_failure_tolerance(static_cast<uint32_t>(health.failure_tolerance));
  for (const ServerHealth& each : health.servers) {
    if (each.leader) response.set_leader(each.id.value);
    if (each.voter) response.add_voters(each.id.value);
    operators::v1::ServerStateEntry* const entry = response.add_servers();
    entry->set_key(each.id.value);
    operators::v1::ServerState* const server = entry->mutable_value();
    Fill(each, server);
    server->set_node_status(each.status());
    server->set_status(StatusOf(each));
    if (!each.member.has_value()) continue;
    for (const query::v1::StringPair& tag : each.member->tags) *server->add_meta() = tag;
  }
  return response;
}

}  // namespace consul::server
