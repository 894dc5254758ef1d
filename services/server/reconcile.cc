#include "services/server/reconcile.h"

#include <algorithm>
#include <cstdint>
#include <unordered_set>
#include <utility>

#include "services/base/strings.h"
#include "services/server/server_members.h"
#include "services/state/registration.h"

namespace consul::server {
namespace {

using agent::v1::Member;
using internal::raft::v1::CatalogRegister;

// The reference's words for serfHealth.
constexpr std::string_view kSerfCheckName = "Serf Health Status";
constexpr std::string_view kSerfCheckAlive = "Agent alive and reachable";
constexpr std::string_view kSerfCheckFailed = "Agent not live or unreachable";
// The service that every server is an instance of, and the value of its role tag.
constexpr std::string_view kServerService = "consul";
// Where an agent tells the generation that its catalog writes carry.
constexpr std::string_view kGenerationTag = "gen";

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

void AddSerfCheck(bool alive, CatalogRegister* registration) {
  health::v1::HealthCheck* const check = registration->add_checks();
  check->set_node(registration->node().node());
  check->set_check_id(std::string(state::kSerfCheckId));
  check->set_name(std::string(kSerfCheckName));
  check->set_status(alive ? health::v1::CHECK_STATUS_PASSING
                          : health::v1::CHECK_STATUS_CRITICAL);
  check->set_output(std::string(alive ? kSerfCheckAlive : kSerfCheckFailed));
}

void Fill(const Member& member, std::string_view datacenter, bool alive,
          CatalogRegister* registration) {
  registration->set_by_membership(true);
  registration->mutable_node()->set_node(member.name());
  registration->mutable_node()->set_id(std::string(TagOf(member, "id")));
  registration->mutable_node()->set_address(member.addr());
  registration->mutable_node()->set_datacenter(std::string(datacenter));
  if (alive && TagOf(member, "role") == kServerService) {
    *registration->mutable_service() = ServerService(member);
  }
  AddSerfCheck(alive, registration);
}

std::string SubjectOf(std::string_view name) { return base::StrCat("member '", name, "'"); }

const health::v1::HealthCheck* SerfCheck(std::string_view name, const state::Version& version) {
  return version.checks().Find(state::OfNodeKey(name, state::kSerfCheckId), nullptr);
}

// Whether the node of that name in the catalog is this member's, and not that of another who has
// its name now.
bool IsNodeOf(const Member& member, const state::Version& version) {
  const catalog::v1::Node* const node =
      version.nodes().Find(state::NodeKey(member.name()), nullptr);
  return node != nullptr && (node->id().empty() || node->id() == TagOf(member, "id"));
}

// Whether nobody in the pool is the node that has the member's name: the member's machine was set
// up anew, and is another node now.
bool Succeeds(const Member& member, const catalog::v1::Node& holder,
              const agent::v1::ListMembersResponse& members) {
  if (holder.id().empty() || holder.address() != member.addr()) return false;
  const std::string id = state::NodeIdKey(holder.id());
  return std::none_of(members.members().begin(), members.members().end(), [&](const Member& each) {
    const bool there = each.status() == agent::v1::MEMBER_STATUS_ALIVE ||
                       each.status() == agent::v1::MEMBER_STATUS_LEAVING;
    return there && state::NodeIdKey(TagOf(each, "id")) == id;
  });
}

// What the failure of the one before would have been, had there been the time to see it: its name
// is free from then on.
Correction EndOf(const catalog::v1::Node& holder) {
  Correction correction;
  correction.subject = SubjectOf(holder.node());
  auto* const registration = correction.command.mutable_catalog_register();
  registration->set_by_membership(true);
  registration->mutable_node()->set_node(holder.node());
  registration->mutable_node()->set_id(holder.id());
  registration->mutable_node()->set_address(holder.address());
  registration->mutable_node()->set_datacenter(holder.datacenter());
  AddSerfCheck(/*alive=*/false, registration);
  correction.news = base::StrCat(correction.subject, " of node id ", holder.id(),
                                 " is gone, marking health critical");
  return correction;
}

void ReconcileAlive(const Member& member, const agent::v1::ListMembersResponse& members,
                    std::string_view datacenter, const state::Version& version,
                    Corrections* corrections) {
  const bool passing = IsPassing(SerfCheck(member.name(), version));
  // It was made to leave, or was forgotten, while nobody heard of it.
  const std::string_view generation = TagOf(member, kGenerationTag);
  const bool taken_back = state::HasLeft(version.tables(), generation);
  if (!taken_back && InCatalog(member, passing, version)) return;
  Correction correction;
  correction.subject = SubjectOf(member.name());
  auto* const registration = correction.command.mutable_catalog_register();
  Fill(member, datacenter, /*alive=*/true, registration);
  if (taken_back) registration->set_generation(std::string(generation));
  state::Refusal refusal =
      state::CheckRegistration(version.tables(), correction.command.catalog_register());
  const auto* const holder = version.nodes().Find(state::NodeKey(member.name()), nullptr);
  const bool succeeds = refusal.reason == errors::v1::REASON_NODE_NAME_RESERVED &&
                        Succeeds(member, *holder, members);
  if (refusal.refused() && !succeeds) {
    corrections->conflicts.push_back({std::move(correction.subject), std::move(refusal.text)});
    return;
  }
  if (succeeds) corrections->writes.push_back(EndOf(*holder));
  if (!passing || succeeds) correction.news = correction.subject + " joined, marking health alive";
  corrections->writes.push_back(std::move(correction));
}

// What a failed member has stays; one that never came into the catalog does not come there now.
void ReconcileFailed(const Member& member, std::string_view datacenter,
                     const state::Version& version, Corrections* corrections) {
  const health::v1::HealthCheck* const check = SerfCheck(member.name(), version);
  if (check == nullptr || check->status() == health::v1::CHECK_STATUS_CRITICAL) return;
  if (!IsNodeOf(member, version)) return;
  Correction correction;
  correction.subject = SubjectOf(member.name());
  Fill(member, datacenter, /*alive=*/false, correction.command.mutable_catalog_register());
  if (state::CheckRegistration(version.tables(), correction.command.catalog_register())
          .refused()) {
    return;
  }
  correction.news = correction.subject + " failed, marking health critical";
  corrections->writes.push_back(std::move(correction));
}

void ReconcileLeft(const Member& member, const state::Version& version,
                   Corrections* corrections) {
  if (!IsNodeOf(member, version)) return;
  std::optional<Correction> forget =
      ForgetNode(member.name(), TagOf(member, kGenerationTag), "left", version);
  if (forget.has_value()) corrections->writes.push_back(*std::move(forget));
}

}  // namespace

Corrections Reconcile(const agent::v1::ListMembersResponse& members, std::string_view datacenter,
                      const state::Version& version) {
  Corrections corrections;
  for (const Member& member : members.members()) {
    switch (member.status()) {
      case agent::v1::MEMBER_STATUS_ALIVE:
        ReconcileAlive(member, members, datacenter, version, &corrections);
        break;
      case agent::v1::MEMBER_STATUS_FAILED:
        ReconcileFailed(member, datacenter, version, &corrections);
        break;
      case agent::v1::MEMBER_STATUS_LEFT:
        ReconcileLeft(member, version, &corrections);
        break;
      default:  // leaving: still there; proto enums are open
        break;
    }
  }
  return corrections;
}

std::vector<std::string> AbsentNodes(const agent::v1::ListMembersResponse& members,
                                     const state::Version& version) {
  // Keys of nodes do not tell case; the members' list does.
  std::unordered_set<std::string> present;
  for (const Member& member : members.members()) present.insert(state::NodeKey(member.name()));
  std::vector<std::string> absent;
  version.checks().ForEach("", nullptr, [&](const health::v1::HealthCheck& check) {
    if (check.check_id() == state::kSerfCheckId &&
        !present.contains(state::NodeKey(check.node()))) {
      absent.push_back(check.node());
    }
    return true;
  });
  return absent;
}

std::optional<Correction> ForgetNode(std::string_view name, std::string_view generation,
                                     std::string_view why, const state::Version& version) {
  if (SerfCheck(name, version) == nullptr) return std::nullopt;
  Correction correction;
  correction.subject = SubjectOf(name);
  auto* const deregister = correction.command.mutable_catalog_deregister();
  deregister->set_node(std::string(name));
  deregister->set_left_generation(std::string(generation));
  correction.news = base::StrCat(correction.subject, " ", why, ", deregistering");
  return correction;
}

}  // namespace consul::server
