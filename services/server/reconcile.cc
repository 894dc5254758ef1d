#include "services/server/reconcile.h"

#include <charconv>
#include <cstdint>
#include <utility>

#include "services/base/strings.h"
#include "services/state/registration.h"

namespace consul::server {
namespace {

using agent::v1::Member;
using internal::raft::v1::CatalogRegister;

// The reference's words for serfHealth.
constexpr std::string_view kSerfCheckName = "Serf Health Status";
constexpr std::string_view kSerfCheckAlive = "Agent alive and reachable";
// The service that every server is an instance of, and the value of its role tag.
constexpr std::string_view kServerService = "consul";

std::string_view TagOf(const Member& member, std::string_view key) {
  for (const auto& tag : member.tags()) {
    if (tag.key() == key) return tag.value();
  }
  return {};
}

// The tag comes from another machine: what is no port is none.
uint32_t PortOf(const Member& member) {
  const std::string_view text = TagOf(member, "port");
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() ? port : 0;
}

catalog::v1::Service ServerService(const Member& member) {
  catalog::v1::Service service;
  service.set_node(member.name());
  service.set_id(std::string(kServerService));
  service.set_service(std::string(kServerService));
  service.set_port(PortOf(member));
  auto* const version = service.add_meta();
  version->set_key("version");
  const std::string_view build = TagOf(member, "build");
  version->set_value(std::string(build.substr(0, build.find(':'))));
  service.mutable_weights()->set_passing(1);
  service.mutable_weights()->set_warning(1);
  return service;
}

bool SameService(const catalog::v1::Service* have, const catalog::v1::Service& want) {
  if (have == nullptr) return false;
  catalog::v1::Service same = *have;
  same.clear_create_index();
  same.clear_modify_index();
  // As the node spells it, which is another's concern.
  same.set_node(want.node());
  return same.SerializeAsString() == want.SerializeAsString();
}

bool IsPassing(const health::v1::HealthCheck* check) {
  return check != nullptr && check->status() == health::v1::CHECK_STATUS_PASSING;
}

bool InCatalog(const Member& member, bool passing, const state::Version& version) {
  const catalog::v1::Node* const node =
      version.nodes().Find(state::NodeKey(member.name()), nullptr);
  if (!passing || node == nullptr || node->address() != member.addr() ||
      node->id() != TagOf(member, "id")) {
    return false;
  }
  if (TagOf(member, "role") != kServerService) return true;
  return SameService(
      version.services().Find(state::OfNodeKey(member.name(), kServerService), nullptr),
      ServerService(member));
}

void Fill(const Member& member, std::string_view datacenter, CatalogRegister* registration) {
  registration->set_by_membership(true);
  registration->mutable_node()->set_node(member.name());
  registration->mutable_node()->set_id(std::string(TagOf(member, "id")));
  registration->mutable_node()->set_address(member.addr());
  registration->mutable_node()->set_datacenter(std::string(datacenter));
  if (TagOf(member, "role") == kServerService) {
    *registration->mutable_service() = ServerService(member);
  }
  health::v1::HealthCheck* const alive = registration->add_checks();
  alive->set_node(member.name());
  alive->set_check_id(std::string(state::kSerfCheckId));
  alive->set_name(std::string(kSerfCheckName));
  alive->set_status(health::v1::CHECK_STATUS_PASSING);
  alive->set_output(std::string(kSerfCheckAlive));
}

void ReconcileAlive(const Member& member, std::string_view datacenter,
                    const state::Version& version, Corrections* corrections) {
  const bool passing = IsPassing(
      version.checks().Find(state::OfNodeKey(member.name(), state::kSerfCheckId), nullptr));
  if (InCatalog(member, passing, version)) return;
  Correction correction;
  correction.subject = base::StrCat("member '", member.name(), "'");
  Fill(member, datacenter, correction.command.mutable_catalog_register());
  state::Refusal refusal =
      state::CheckRegistration(version.tables(), correction.command.catalog_register());
  if (refusal.refused()) {
    corrections->conflicts.push_back({std::move(correction.subject), std::move(refusal.text)});
    return;
  }
  if (!passing) correction.news = correction.subject + " joined, marking health alive";
  corrections->writes.push_back(std::move(correction));
}

}  // namespace

Corrections Reconcile(const agent::v1::ListMembersResponse& members, std::string_view datacenter,
                      const state::Version& version) {
  Corrections corrections;
  for (const Member& member : members.members()) {
    if (member.status() == agent::v1::MEMBER_STATUS_ALIVE) {
      ReconcileAlive(member, datacenter, version, &corrections);
    }
  }
  return corrections;
}

}  // namespace consul::server
