#include "services/server/voter_versions.h"

#include <algorithm>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/state/sealed_command.h"

namespace consul::server {
namespace {

// Somebody who has to wait for longer asks in between.
constexpr VoterVersions::Clock::duration kLaterMax = std::chrono::hours(1);

}  // namespace

std::optional<uint32_t> VoterVersions::Of(const raft::ServerId& id) const {
  if (id == options_.self) return options_.own;
  const std::optional<uint32_t> said = options_.said(id);
  if (!said.has_value()) return std::nullopt;
  return std::max(*said, state::kBaselineVersion);
}

std::optional<uint32_t> VoterVersions::Common() const { return CommonOf(members_->view()); }

std::optional<uint32_t> VoterVersions::CommonOf(const RaftMembers::View& view) const {
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

void VoterVersions::Changed(Clock::time_point now) {
  base::MutexLock lock(&mutex_);
  LookLocked(now, members_->view());
}

void VoterVersions::LookLocked(Clock::time_point now, const RaftMembers::View& view) {
  const std::optional<uint32_t> common = view.leads ? CommonOf(view) : std::nullopt;
  if (common == common_ && view.term == common_term_) return;
  common_ = common;
  common_term_ = view.term;
  common_since_ = now;
}

VoterVersions::Raise VoterVersions::BeginRaise(Clock::time_point now, Hold hold) {
  base::MutexLock lock(&mutex_);
  const RaftMembers::View view = members_->view();
  LookLocked(now, view);
  SettleLocked(view);
  CONSUL_CHECK(raising_to_ == 0 || in_doubt_);
  if (in_doubt_) return {.kind = Raise::Kind::kLater, .at = now};
  if (!common_.has_value() || *common_ <= options_.cluster_version()) return {};
  if (promoting_) return {.kind = Raise::Kind::kLater, .at = now};
  const Clock::duration stable_for = options_.stable_for();
  if (hold == Hold::kUntilStable && now - common_since_ < stable_for) {
    const Clock::time_point at = std::min(common_since_ + stable_for, now + kLaterMax);
    return {.kind = Raise::Kind::kLater, .at = at};
  }
  raising_to_ = *common_;
  raising_term_ = view.term;
  return {.kind = Raise::Kind::kNow, .at = now, .version = *common_, .term = view.term};
}

void VoterVersions::EndRaise(Outcome outcome) {
  base::MutexLock lock(&mutex_);
  CONSUL_CHECK(raising_to_ != 0 && !in_doubt_);
  in_doubt_ = outcome == Outcome::kInDoubt;
  if (!in_doubt_) raising_to_ = 0;
}

void VoterVersions::SettleLocked(const RaftMembers::View& view) {
  if (!in_doubt_) return;
  const bool later = view.leads && view.term != raising_term_;
  if (!later && options_.cluster_version() < raising_to_) return;
  in_doubt_ = false;
  raising_to_ = 0;
}

bool VoterVersions::BeginPromotion(const raft::ServerId& id) {
  base::MutexLock lock(&mutex_);
  CONSUL_CHECK(!promoting_);
  SettleLocked(members_->view());
  const uint32_t known = Of(id).value_or(state::kBaselineVersion);
  promoting_ = known >= std::max(raising_to_, options_.cluster_version());
  return promoting_;
}

void VoterVersions::EndPromotion() {
  base::MutexLock lock(&mutex_);
  CONSUL_CHECK(promoting_);
  promoting_ = false;
}

}  // namespace consul::server
