#include "services/server/server_members.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "services/base/strings.h"
#include "services/raft/core/configuration.h"

namespace consul::server {
namespace {

constexpr std::string_view kServerRole = "consul";

// The whole text as a number; 0 where it is none.
template <typename Number>
Number NumberIn(std::string_view text) {
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : Number{0};
}

std::string AddressOf(const agent::v1::Member& member, uint16_t port) {
  const std::string& ip = member.addr();
  const bool v6 = ip.find(':') != std::string::npos;
  return v6 ? base::StrCat("[", ip, "]:", port) : base::StrCat(ip, ":", port);
}

int RankOf(const ServerMember& server) {
  if (server.present()) return 2;
  return server.status == agent::v1::MEMBER_STATUS_FAILED ? 1 : 0;
}

}  // namespace

std::string_view TagOf(const agent::v1::Member& member, std::string_view key) {
  for (const auto& tag : member.tags()) {
    if (tag.key() == key) return tag.value();
  }
  return {};
}

uint16_t PortOf(const agent::v1::Member& member) {
  return NumberIn<uint16_t>(TagOf(member, "port"));
}

std::vector<ServerMember> OnePerId(std::vector<ServerMember> servers) {
  std::stable_sort(servers.begin(), servers.end(), [](const auto& one, const auto& other) {
    return one.id != other.id ? one.id < other.id : RankOf(one) > RankOf(other);
  });
  const auto same_id = [](const auto& one, const auto& other) { return one.id == other.id; };
  servers.erase(std::unique(servers.begin(), servers.end(), same_id), servers.end());
  return servers;
}

std::vector<ServerMember> ServerMembers(const agent::v1::ListMembersResponse& members,
                                        std::string_view datacenter) {
  std::vector<ServerMember> servers;
  for (const agent::v1::Member& member : members.members()) {
    if (TagOf(member, "role") != kServerRole || TagOf(member, "dc") != datacenter) continue;
    const std::string_view id = TagOf(member, "id");
    const uint16_t port = PortOf(member);
    if (id.empty() || id.size() > raft::Configuration::kIdBytesMax || port == 0) continue;
    // "1.2.3:revision"
    const std::string_view build = TagOf(member, "build");
    servers.push_back({.id = raft::ServerId{std::string(id)},
                       .name = member.name(),
                       .address = AddressOf(member, port),
                       .status = member.status(),
                       .version = std::string(build.substr(0, build.find(':'))),
                       .bootstrap = TagOf(member, "bootstrap") == "1",
                       .expect = NumberIn<uint32_t>(TagOf(member, "expect")),
                       .tags = {member.tags().begin(), member.tags().end()}});
  }
  return OnePerId(std::move(servers));
}

const ServerMember* FindServer(const std::vector<ServerMember>& servers,
                               const raft::ServerId& id) {
  const auto found =
      std::find_if(servers.begin(), servers.end(), [&id](const auto& one) { return one.id == id; });
  return found == servers.end() ? nullptr : &*found;
}

}  // namespace consul::server
