#include "services/agent/known_servers.h"

#include <charconv>
#include <cstdint>
#include <string>

#include "services/agent/config/config.h"

namespace consul::agent {
namespace {

std::string_view TagOf(const v1::Member& member, std::string_view key) {
  for (const auto& tag : member.tags()) {
    if (tag.key() == key) return tag.value();
  }
  return {};
}

// 0: none.
uint16_t PortOf(const v1::Member& member) {
  const std::string_view text = TagOf(member, "port");
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() ? port : 0;
}

}  // namespace

rpc::ServerList KnownServers(const v1::ListMembersResponse& members, std::string_view datacenter) {
  rpc::ServerList list;
  list.members = static_cast<size_t>(members.members_size());
  for (const v1::Member& member : members.members()) {
    if (TagOf(member, "role") != "consul" || TagOf(member, "dc") != datacenter) continue;
    const std::string_view id = TagOf(member, "id");
    const uint16_t port = PortOf(member);
    if (id.empty() || port == 0) continue;
    list.servers.push_back({.id = std::string(id),
                            .name = member.name(),
                            .address = config::Endpoint{member.addr(), port}.ToString(),
                            .alive = member.status() == v1::MEMBER_STATUS_ALIVE});
  }
  return list;
}

}  // namespace consul::agent
