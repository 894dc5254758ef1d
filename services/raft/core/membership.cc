// The configuration in effect, and one-at-a-time changes of it.
#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/raft/core/core.h"

namespace consul::raft {
namespace {

// The changed configuration, or why there is none.
MembershipStatus Change(const Configuration& members, const MembershipChange& change,
                        Configuration* changed) {
  const bool voter = members.IsVoter(change.id);
  const bool member = members.Contains(change.id);
  const bool last_voter = members.IsSoleVoter(change.id);
  const bool full = !member && members.members().size() >= Configuration::kMembersMax;
  switch (change.kind) {
    case MembershipChange::Kind::kAddLearner:
      if (member) return MembershipStatus::kNoChange;  // a voter is demoted by asking for that
      if (full) return MembershipStatus::kTooMany;
      *changed = members.With(change.id, MemberKind::kLearner);
      return MembershipStatus::kAccepted;
    case MembershipChange::Kind::kAddVoter:
      if (voter) return MembershipStatus::kNoChange;
      if (full) return MembershipStatus::kTooMany;
      *changed = members.With(change.id, MemberKind::kVoter);
      return MembershipStatus::kAccepted;
    case MembershipChange::Kind::kDemote:
      if (!voter) return MembershipStatus::kNoChange;
      if (last_voter) return MembershipStatus::kLastVoter;
      *changed = members.With(change.id, MemberKind::kLearner);
      return MembershipStatus::kAccepted;
    case MembershipChange::Kind::kRemove:
      if (!member) return MembershipStatus::kNoChange;
      if (last_voter) return MembershipStatus::kLastVoter;
      *changed = members.Without(change.id);
      return MembershipStatus::kAccepted;
  }
  return MembershipStatus::kNoChange;
}

}  // namespace

MembershipResult Core::ChangeMembership(Time now, const MembershipChange& change) {
  Advance(now);
  auto* leader = std::get_if<LeaderState>(&state_);
  if (leader == nullptr) return {MembershipStatus::kNotLeader, {}, {}};
  if (!leader->transfer_target.empty()) return {MembershipStatus::kTransferring, {}, {}};
  if (change.id.empty() || change.id.value.size() > Configuration::kIdBytesMax) {
    return {MembershipStatus::kBadId, {}, {}};
  }
  if (commit_ < leader->first_index) return {MembershipStatus::kTermNotCommitted, {}, {}};
  if (commit_ < configuration().index) return {MembershipStatus::kChangePending, {}, {}};
  Configuration changed;
  const MembershipStatus status = Change(configuration().configuration, change, &changed);
  if (status != MembershipStatus::kAccepted) return {status, {}, {}};
  const Index index = log_.last_index().Next();
  AppendToLog(Entry{hard_state_.term, index, EntryKind::kConfiguration,
                    MakeBuffer(changed.Encode())});
  return {MembershipStatus::kAccepted, hard_state_.term, index};
}

// In effect from now on, committed or not.
void Core::ConfigurationAppended(const Entry& entry) {
  std::optional<Configuration> decoded = Configuration::Decode(*entry.payload);
  CONSUL_CHECK(decoded.has_value());
  if (auto* leader = std::get_if<LeaderState>(&state_);
      leader != nullptr && configuration().configuration.IsSoleVoter(options_.self)) {
    leader->quorum_heard_at = now_;  // it was the quorum until now
    leader->lease_from = now_;
  }
  configurations_.push_back(PlacedConfiguration{entry.index, *std::move(decoded)});
  Say(FactKind::kConfigurationChanged, ServerId{}, entry.index.value);
  SyncPeers();
}

// Makes the leader's peers those of the configuration. A removed one stays until it has heard of
// its removal (DropLeaving), or it would go on asking for votes.
void Core::SyncPeers() {
  auto* leader = std::get_if<LeaderState>(&state_);
  if (leader == nullptr) return;
  const PlacedConfiguration& placed = configuration();
  for (const Member& member : placed.configuration.members()) {
    if (member.id == options_.self) continue;
    auto [found, added] =
        leader->peers.try_emplace(member.id, Progress(log_.last_index().Next(), now_));
    found->second.set_leaving(std::nullopt);
    if (added) leader->broadcast_due = true;
  }
  for (auto& [id, peer] : leader->peers) {
    if (placed.configuration.Contains(id) || peer.leaving().has_value()) continue;
    peer.set_leaving(placed.index);
  }
}

void Core::DropLeaving() {
  LeaderState& leader = std::get<LeaderState>(state_);
  const Duration patience = Scaled(options_.election_timeout_max);
  std::erase_if(leader.peers, [this, patience](const auto& item) {
    const Progress& peer = item.second;
    if (!peer.leaving().has_value() || commit_ < *peer.leaving()) return false;
    const bool knows = peer.match() >= *peer.leaving() && peer.commit_told() >= *peer.leaving();
    return knows || now_ >= peer.heard_at() + patience;
  });
}

const PlacedConfiguration& Core::ConfigurationAt(Index index) const {
  CONSUL_CHECK(index >= snapshot_.index);
  for (auto placed = configurations_.rbegin(); placed != configurations_.rend(); ++placed) {
    if (placed->index <= index) return *placed;
  }
  return configurations_.front();
}

}  // namespace consul::raft
