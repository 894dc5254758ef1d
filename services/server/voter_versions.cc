#include "services/server/voter_versions.h"

#include <algorithm>

#include "services/base/strings.h"
#include "services/state/sealed_command.h"

namespace consul::server {

std::optional<uint32_t> VoterVersions::Of(const raft::ServerId& id) const {
  if (id == options_.self) return options_.own;
  const std::optional<uint32_t> said = options_.said(id);
  if (!said.has_value()) return std::nullopt;
  return std::max(*said, state::kBaselineVersion);
}

std::optional<uint32_t> VoterVersions::Common() const {
  const RaftMembers::View view = members_->view();
  std::optional<uint32_t> common;
  for (const raft::Member& member : view.configuration.configuration.members()) {
    if (member.kind != raft::MemberKind::kVoter) continue;
    const std::optional<uint32_t> known = Of(member.id);
    if (!known.has_value()) return std::nullopt;
    common = std::min(common.value_or(*known), *known);
  }
  return common;
}

std::string VoterVersions::Without(uint32_t version) const {
  const RaftMembers::View view = members_->view();
  std::string text;
  for (const raft::Member& member : view.configuration.configuration.members()) {
    if (member.kind != raft::MemberKind::kVoter) continue;
    const std::optional<uint32_t> known = Of(member.id);
    if (known.has_value() ? *known >= version : !view.leads) continue;
    const std::string name = options_.name_of(member.id);
    base::StrAppend(&text, text.empty() ? "" : ", ",
                    name.empty() ? member.id.value : base::StrCat(name, " (", member.id.value, ")"),
                    known.has_value() ? base::StrCat(" knows version ", *known) : " was not heard");
  }
  return text;
}

}  // namespace consul::server
