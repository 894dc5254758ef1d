// What a leader and its followers know of each other's presence: heartbeats, rounds, the lease,
// reads, and handing leadership over.
#include <algorithm>
#include <functional>
#include <tuple>
#include <utility>
#include <vector>

#include "services/base/check.h"
#include "services/raft/core/core.h"

namespace consul::raft {
namespace {

// Rounds under way at once before reads wait for the next: more would be more messages, not more
// reads.
constexpr size_t kReadRoundsMax = 1;
// Of a round that reads wait for only so many peers are asked as make a quorum. When one of them
// has not answered for so long, all are: long beside an answer within a datacenter, short beside a
// heartbeat.
constexpr Duration kRoundPatience = std::chrono::milliseconds(5);
// An ack this many heartbeats overdue is asked for again. Who has acknowledged nothing for longer
// is asked after a share of that, up to a limit; from there on entries come one at a time.
constexpr int kOverdueHeartbeats = 4;
constexpr int kOverdueShare = 4;
constexpr Duration kOverdueMax = std::chrono::seconds(1);

}  // namespace

// ---- Leader: time.

void Core::TickLeader() {
  LeaderState& leader = std::get<LeaderState>(state_);
  const Configuration& members = configuration().configuration;
  const Duration patience = Scaled(options_.election_timeout_max);
  if (!members.IsSoleVoter(options_.self) && now_ >= leader.quorum_heard_at + patience) {
    Say(FactKind::kSteppedDownNoQuorum);
    BecomeFollower(hard_state_.term, ServerId{});
    return;
  }
  if (!leader.transfer_target.empty() && now_ >= leader.transfer_deadline) {
    Say(FactKind::kTransferGivenUp, leader.transfer_target);
    leader.transfer_last = std::exchange(leader.transfer_target, ServerId{});
    leader.timeout_now_sent = false;
  }
  // They wait for the first entry of this term as well.
  if (commit_ < leader.first_index && commit_stalled()) FailReads();
  if (now_ >= leader.heartbeat_at || now_ >= RoundOverdueAt()) leader.broadcast_due = true;
}

// When those who were asked for the oldest round that reads wait for have taken too long; or for
// the newest one, where reads wait to be part of the next.
Time Core::RoundOverdueAt() const {
  const LeaderState& leader = std::get<LeaderState>(state_);
  if (leader.reads.empty() || leader.rounds.empty()) return Time::max();
  const LeaderState::StartedRound& oldest = leader.rounds.front();
  if (oldest.round > leader.broadcast) return oldest.at + Scaled(kRoundPatience);
  if (leader.reads.back().round.has_value()) return Time::max();
  return leader.rounds.back().at + Scaled(kRoundPatience);
}

// Acks of this round and later ones prove that leadership still held after now. All reads that wait
// for a round get this one. A heartbeat is a round that all peers are asked for.
void Core::BeginRound() {
  LeaderState& leader = std::get<LeaderState>(state_);
  leader.round.value += 1;
  leader.rounds.push_back({leader.round, now_});
  for (auto read = leader.reads.rbegin(); read != leader.reads.rend(); ++read) {
    if (read->round.has_value()) break;
    read->round = leader.round;
  }
  const auto ask = [&](const ServerId& id, const Progress& peer) {
    Send(id, hard_state_.term, HeartbeatFor(peer), /*after_persist=*/false);
  };
  if (leader.broadcast_due) {
    leader.broadcast_due = false;
    leader.broadcast = leader.round;
    leader.heartbeat_at = now_ + Scaled(options_.heartbeat_interval);
    for (const auto& [id, peer] : leader.peers) ask(id, peer);
  } else {
    for (const ServerId& id : QuickestQuorum()) ask(id, leader.peers.at(id));
  }
  CountRounds();
}

Heartbeat Core::HeartbeatFor(const Progress& peer) const {
  const Round round = std::get<LeaderState>(state_).round;
  const Index commit = std::min(commit_, peer.match());
  const std::optional<Term> term = log_.TermAt(commit);
  // What is before the log's base comes with the snapshot.
  return term.has_value() ? Heartbeat{commit, round, *term} : Heartbeat{Index{0}, round};
}

// Whose acks make a quorum with this server's own, those first who have answered the newest rounds.
std::vector<ServerId> Core::QuickestQuorum() const {
  const LeaderState& leader = std::get<LeaderState>(state_);
  const Configuration& members = configuration().configuration;
  std::vector<ServerId> voters;
  for (const auto& [id, peer] : leader.peers) {
    if (members.IsVoter(id)) voters.push_back(id);
  }
  std::stable_sort(voters.begin(), voters.end(), [&](const ServerId& a, const ServerId& b) {
    return leader.peers.at(a).acked_round() > leader.peers.at(b).acked_round();
  });
  const size_t needed = members.quorum() - (members.IsVoter(options_.self) ? 1 : 0);
  if (voters.size() > needed) voters.resize(needed);
  return voters;
}

void Core::Heard(const ServerId& from, Round round) {
  Progress* peer = FindPeer(from);
  if (peer == nullptr || round > std::get<LeaderState>(state_).round) return;
  if (!IsHeard(*peer)) peer->TryAgain();
  peer->Heard(round, now_);
  CountRounds();
}

// Finds the newest round that a quorum has acknowledged; it renews the lease and confirms reads.
void Core::CountRounds() {
  LeaderState& leader = std::get<LeaderState>(state_);
  const Configuration& members = configuration().configuration;
  if (members.voters_count() == 0) return;
  std::vector<Round> rounds;
  for (const Member& member : members.members()) {
    if (member.kind != MemberKind::kVoter) continue;
    rounds.push_back(member.id == options_.self ? leader.round
                                                : leader.peers.at(member.id).acked_round());
  }
  std::sort(rounds.begin(), rounds.end(), std::greater<>());
  const Round agreed = rounds[members.quorum() - 1];
  while (!leader.rounds.empty() && leader.rounds.front().round <= agreed) {
    leader.quorum_heard_at = std::max(leader.quorum_heard_at, leader.rounds.front().at);
    leader.lease_from = leader.rounds.front().at;
    leader.rounds.pop_front();
  }
  while (!leader.reads.empty() && leader.reads.front().round.has_value() &&
         *leader.reads.front().round <= agreed) {
    leader.confirmed.push_back(leader.reads.front());
    leader.reads.pop_front();
  }
}

// How long its ack may be overdue.
Duration Core::PatienceWith(const Progress& peer) const {
  const Duration least = Scaled(options_.heartbeat_interval) * kOverdueHeartbeats;
  if (!peer.owes() || !peer.tried_at().has_value()) return least;
  return std::clamp((now_ - peer.awaited_since()) / kOverdueShare, least,
                    std::max(least, Scaled(kOverdueMax)));
}

// It is asked as seldom as anybody is: whole windows of entries would come to nothing again.
bool Core::IsStuck(const Progress& peer) const {
  return peer.owes() && now_ >= peer.awaited_since() + Scaled(kOverdueMax) * kOverdueShare;
}

Round Core::AskAll() {
  LeaderState& leader = std::get<LeaderState>(state_);
  leader.broadcast_due = true;
  return Round{leader.round.value + 1};
}

void Core::HandleHeartbeatReply(const Message& message, const HeartbeatReply& reply) {
  Progress* peer = FindPeer(message.from);
  if (peer == nullptr) return;
  Heard(message.from, reply.round);
  // An old answer to a question of before that says nothing.
  if (reply.unmatched && peer->match() > Index{0} && reply.round > peer->matched_round()) {
    peer->BeganAnew(std::max(peer->match(), log_.base().index).Next(), now_);
    peer->set_acks_from(AskAll());
  }
  if (!reply.unmatched && peer->Vouched(reply.round, peer->match())) AdvanceCommit();
  const Duration overdue = PatienceWith(*peer);
  const Duration silence = now_ - peer->moved_at();
  switch (peer->mode()) {
    case Progress::Mode::kProbe:
      if (silence >= overdue) peer->ProbeAgain();
      break;
    case Progress::Mode::kReplicate:
      // Nothing follows the last request, so only a question shows whether it was lost.
      if (silence >= overdue && peer->match().Next() < peer->next() &&
          peer->next().Previous() >= log_.base().index) {
        SendAppend(message.from, *peer, {});
      }
      break;
    case Progress::Mode::kSnapshot:
      if (silence >= Scaled(options_.election_timeout_max)) peer->snapshot().sent = false;
      break;
  }
}

// ---- Follower.

void Core::HandleHeartbeat(const Message& message, const Heartbeat& heartbeat) {
  if (role() == Role::kLeader) return;
  LeaderSpoke(message.from);
  const LogPosition commit{heartbeat.commit, heartbeat.commit_term};
  if (commit.term == Term{0} || log_.Matches(commit)) {
    SetCommit(std::min(commit.index, log_.last_index()));
  }
  HeartbeatReply reply{heartbeat.round, /*unmatched=*/matched_term_ != hard_state_.term};
  Send(message.from, hard_state_.term, reply, /*after_persist=*/false);
}

// ---- Reads.

Time Core::LeaseUntil() const {
  const auto* leader = std::get_if<LeaderState>(&state_);
  if (leader == nullptr || leader->lease_ended || applied_ < leader->first_index) {
    return Time::min();
  }
  if (configuration().configuration.IsSoleVoter(options_.self)) return Time::max();
  if (!leader->lease_from.has_value()) return Time::min();
  const Duration min = Scaled(options_.election_timeout_min);
  return *leader->lease_from + min * (100 - kClockDriftPercent) / 100;
}

bool Core::LeadsAndAppliedOwnTerm() const {
  const auto* leader = std::get_if<LeaderState>(&state_);
  return leader != nullptr && applied_ >= leader->first_index;
}

ReadRequestStatus Core::ReadRequest(Time now, ReadId id, ReadMode mode) {
  Advance(now);
  auto* leader = std::get_if<LeaderState>(&state_);
  if (leader == nullptr) return ReadRequestStatus::kNotLeader;
  if (leader->reads.size() + leader->confirmed.size() >= options_.reads_waiting_max) {
    return ReadRequestStatus::kBusy;
  }
  // What earlier leaders committed is before this term's first entry, though this one may not know
  // yet how much of it is committed.
  const Index index = std::max(commit_, leader->first_index);
  if (mode == ReadMode::kLease && now_ < LeaseUntil()) {
    leader->confirmed.push_back({id, index, std::nullopt});
  } else {
    leader->reads.push_back({id, index, std::nullopt});
  }
  return ReadRequestStatus::kWaiting;
}

void Core::PumpReads() {
  LeaderState& leader = std::get<LeaderState>(state_);
  const bool reads_wait = !leader.reads.empty() && !leader.reads.back().round.has_value();
  if (leader.broadcast_due || (reads_wait && leader.rounds.size() < kReadRoundsMax)) BeginRound();
}

// ---- Handing over.

// The one that is furthest on of those that are heard; where there is another, not who gave this
// server the lead, or did not take it over.
ServerId Core::BestTransferTarget() const {
  const LeaderState& leader = std::get<LeaderState>(state_);
  ServerId best;
  std::tuple<bool, bool, Index> best_rank;
  for (const auto& [id, peer] : leader.peers) {
    if (!configuration().configuration.IsVoter(id)) continue;
    const std::tuple rank(IsHeard(peer), id != leader.transfer_last, peer.match());
    if (!best.empty() && rank <= best_rank) continue;
    best = id;
    best_rank = rank;
  }
  return best;
}

bool Core::OthersCanCommit() const {
  const auto* leader = std::get_if<LeaderState>(&state_);
  if (leader == nullptr) return false;
  const Configuration& members = configuration().configuration;
  const Duration patience = Scaled(options_.election_timeout_max);
  const size_t count = std::ranges::count_if(leader->peers, [&](const auto& item) {
    const auto& [id, peer] = item;
    if (!members.IsVoter(id) || peer.match() == Index{0} || !IsHeard(peer)) return false;
    // It may lack what was appended a moment ago, but nothing that only the disk has.
    return peer.next() >= log_.memory_first() &&
           (!peer.owes() || now_ < peer.awaited_since() + patience);
  });
  return count >= members.quorum();
}

TransferStatus Core::TransferLeadership(Time now, const ServerId& target) {
  Advance(now);
  auto* leader = std::get_if<LeaderState>(&state_);
  if (leader == nullptr) return TransferStatus::kNotLeader;
  if (!leader->transfer_target.empty()) return TransferStatus::kInProgress;
  const ServerId chosen = target.empty() ? BestTransferTarget() : target;
  if (chosen == options_.self || !configuration().configuration.IsVoter(chosen)) {
    return TransferStatus::kNoTarget;
  }
  leader->transfer_target = chosen;
  leader->transfer_deadline = now_ + Scaled(options_.election_timeout_max);
  Say(FactKind::kTransferStarted, chosen);
  return TransferStatus::kStarted;
}

bool Core::transferring() const {
  const auto* leader = std::get_if<LeaderState>(&state_);
  return leader != nullptr && !leader->transfer_target.empty();
}

void Core::PumpTransfer() {
  LeaderState& leader = std::get<LeaderState>(state_);
  if (leader.transfer_target.empty() || leader.timeout_now_sent) return;
  const Progress* peer = FindPeer(leader.transfer_target);
  if (peer == nullptr || peer->match() != log_.last_index()) return;
  leader.timeout_now_sent = true;
  // For the rest of the term: it may arrive late, and the votes that it asks for are not withheld.
  leader.lease_ended = true;
  Send(leader.transfer_target, hard_state_.term, TimeoutNow{}, /*after_persist=*/false);
}

// A leader that removed itself leads until that is committed, then asks the voter that is furthest
// on to take over, which spares the others an election timeout.
void Core::StepDownIfRemoved() {
  if (configuration().configuration.IsVoter(options_.self)) return;
  if (commit_ < configuration().index) return;
  const ServerId heir = BestTransferTarget();
  Say(FactKind::kSteppedDownRemoved);
  if (!heir.empty()) Send(heir, hard_state_.term, TimeoutNow{}, /*after_persist=*/false);
  BecomeFollower(hard_state_.term, ServerId{});
}

}  // namespace consul::raft
