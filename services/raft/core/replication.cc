// Entries from the leader to its followers, and what counts as committed.
#include <algorithm>
#include <functional>
#include <utility>

#include "services/base/check.h"
#include "services/raft/core/core.h"

namespace consul::raft {
namespace {

// From one who lacks more entries than these nothing is kept.
constexpr uint64_t kKeptEntriesMax = 64;

// Whether a request's entries are what a log could hold after its position: anything else is a
// broken peer's and is dropped before it does harm.
bool IsWellFormed(const Message& message, const AppendRequest& request) {
  LogPosition before{request.prev_index, request.prev_term};
  if (before.term > message.term) return false;
  for (const Entry& entry : request.entries) {
    if (entry.index != before.index.Next()) return false;
    if (entry.term < before.term || entry.term > message.term) return false;
    if (entry.kind == EntryKind::kConfiguration) {
      if (entry.payload == nullptr || !Configuration::Decode(*entry.payload)) return false;
    }
    before = LogPosition{entry.index, entry.term};
  }
  return true;
}

}  // namespace

// ---- Follower.

void Core::HandleAppendRequest(const Message& message, AppendRequest& request) {
  if (role() == Role::kLeader || !IsWellFormed(message, request)) return;
  LeaderSpoke(message.from);
  const Index last_sent = request.prev_index + request.entries.size();
  AppendReply reply{.accepted = true, .round = request.round};
  if (last_sent <= commit_) {
    // An old request: committed entries are equal in both logs.
    reply.match = commit_;
    matched_term_ = hard_state_.term;
    Send(message.from, hard_state_.term, reply, /*after_persist=*/true);
    return;
  }
  if (request.prev_index >= commit_ &&
      !log_.Matches(LogPosition{request.prev_index, request.prev_term})) {
    Refuse(message, request);
    return;
  }
  for (Entry& entry : request.entries) {
    if (entry.index <= commit_) continue;
    const std::optional<Term> ours = log_.TermAt(entry.index);
    if (ours == entry.term) continue;
    if (ours.has_value()) TruncateLog(entry.index);
    AppendToLog(std::move(entry));
  }
  SetCommit(std::min(request.commit, last_sent));
  reply.match = last_sent;
  matched_term_ = hard_state_.term;
  Send(message.from, hard_state_.term, reply, /*after_persist=*/true);
}

void Core::Refuse(const Message& message, const AppendRequest& request) {
  const LogPosition hint = log_.LastAtMost(request.prev_index, request.prev_term);
  AppendReply reply{.refused = request.prev_index, .round = request.round};
  reply.hint_index = hint.index;
  reply.hint_term = hint.term;
  Send(message.from, hard_state_.term, reply, /*after_persist=*/false);
}

// ---- Leader.

Progress* Core::FindPeer(const ServerId& id) {
  auto* leader = std::get_if<LeaderState>(&state_);
  if (leader == nullptr) return nullptr;
  auto found = leader->peers.find(id);
  return found == leader->peers.end() ? nullptr : &found->second;
}

void Core::HandleAppendReply(const Message& message, const AppendReply& reply) {
  Progress* peer = FindPeer(message.from);
  if (peer == nullptr) return;
  Heard(message.from, reply.round);
  if (reply.accepted) {
    if (reply.round >= peer->acks_from()) TakeAck(message.from, peer, reply.match, reply.round);
    return;
  }
  const Index retry = reply.hint_index < log_.base().index
                          ? reply.hint_index.Next()
                          : log_.LastAtMost(reply.hint_index, reply.hint_term).index.Next();
  const Index before = peer->match();
  peer->Refused(reply.refused, retry, now_);
  if (peer->match() < before) peer->set_acks_from(AskAll());
}

// An answer to something of `round`; 0: nobody knows to what.
void Core::TakeAck(const ServerId& from, Progress* peer, Index match, Round round) {
  if (match > log_.last_index()) return;
  if (peer->match() == Index{0}) {
    peer->set_matched_round(std::get<LeaderState>(state_).round);
  }
  const Index before = peer->match_max();
  const bool moved = peer->Accepted(match, now_);
  if (!peer->Vouched(round, match) && !moved) return;
  CameNearer(from, before, peer->match());
  AdvanceCommit();
}

void Core::PumpPeers() {
  for (auto& [id, peer] : std::get<LeaderState>(state_).peers) PumpPeer(id, peer);
  DropLeaving();
}

void Core::PumpPeer(const ServerId& id, Progress& peer) {
  // The log may have been cut below what this peer still needs, even with requests under way.
  if (peer.mode() != Progress::Mode::kSnapshot && peer.next().Previous() < log_.base().index) {
    StartSnapshotTransfer(id, peer);
  }
  const auto untold = [&] {
    return peer.mode() == Progress::Mode::kReplicate && peer.commit_told() < commit_;
  };
  const bool may_wait = MayWait(peer) && !IsNeeded(id, peer);
  if (may_wait || untold()) peer.SpareUntil(now_ + options_.spare_delay);
  const bool due = now_ >= peer.spared_until();
  const bool waits_for_entries = may_wait && !due;
  if (!waits_for_entries) {
    while (HasRoom(peer)) {
      if (!SendEntries(id, peer)) break;
    }
  }
  if (peer.mode() == Progress::Mode::kSnapshot) {
    PumpSnapshot(id, peer);
  } else if (untold()) {
    const bool wanted = std::min(peer.commit_wanted(), commit_) > peer.commit_told();
    if (wanted || due || TellsOfItsRemoval()) SendAppend(id, peer, {});
  }
  if (!waits_for_entries && !untold()) peer.SpareNothing();
}

bool Core::HasRoom(const Progress& peer) const {
  return peer.HasRoom(options_.in_flight_bytes_max, options_.in_flight_requests_max);
}

// At once, for then it leads no more.
bool Core::TellsOfItsRemoval() const {
  return !configuration().configuration.IsVoter(options_.self) &&
         commit_ >= configuration().index;
}

// Whether it was sent all that this server has, or could be at once.
bool Core::KeepsUp(const Progress& peer) const {
  if (peer.mode() != Progress::Mode::kReplicate || IsStuck(peer)) return false;
  if (peer.next() > log_.last_index()) return true;
  return peer.next() >= log_.memory_first() && HasRoom(peer) &&
         log_.last_index().value - peer.next().value < kKeptEntriesMax;
}

// Whether it would be sent entries now, and takes no harm from having them a moment later.
bool Core::MayWait(const Progress& peer) const {
  return KeepsUp(peer) && peer.next() <= log_.last_index() &&
         peer.commit_wanted() < peer.next() && !TellsOfItsRemoval();
}

// Whether its ack will be of those that make a majority first, or is of use for something else.
bool Core::IsNeeded(const ServerId& id, const Progress& peer) const {
  const LeaderState& leader = std::get<LeaderState>(state_);
  if (id == leader.transfer_target) return true;
  const Configuration& members = configuration().configuration;
  if (!members.IsVoter(id)) return false;
  // Of two that are equal the first is needed, and has been sent them when the other is looked at.
  const ExpectedAck ack = AckOf(peer);
  size_t sooner = members.IsVoter(options_.self) && OwnAck() < ack;
  for (const auto& [other_id, other] : leader.peers) {
    sooner += members.IsVoter(other_id) && AckOf(other) < ack;
  }
  return sooner < members.quorum();
}

// Of the log's last entry. Who has been sent it, or is at once, is preferred to one who is as quick
// and not to one who is twice as quick: so much a message is worth.
Core::ExpectedAck Core::AckOf(const Progress& peer) const {
  if (!KeepsUp(peer) || peer.counted() != peer.match()) return {Duration::max(), true};
  const bool later = peer.next() <= log_.last_index() && peer.commit_wanted() < peer.next();
  return {peer.ack_time(now_) / (later ? 1 : 2), later};
}

// This server writes at once what it sends.
Core::ExpectedAck Core::OwnAck() const {
  Duration time = write_time_.value();
  if (!persisting_.empty()) time = std::max(time, now_ - persisting_.front().at);
  return {time / 2, false};
}

void Core::WantsCommit(const ServerId& id, Index index) {
  if (Progress* peer = FindPeer(id); peer != nullptr) peer->WantCommit(index);
}

// Sends the next request if there is anything to say; returns whether it did.
bool Core::SendEntries(const ServerId& id, Progress& peer) {
  const bool probing = peer.mode() == Progress::Mode::kProbe;
  const bool stuck = IsStuck(peer);
  // The first entry that it lacks, now and then, shows whether it takes any.
  const uint64_t bytes_max = stuck ? 1 : options_.append_bytes_max;
  const bool is_time =
      !peer.tried_at().has_value() || now_ >= *peer.tried_at() + PatienceWith(peer);
  const bool may_try = !stuck || (is_time && peer.in_flight_requests() == 0);
  if (!may_try || peer.next() > log_.last_index() || peer.next() < log_.memory_first()) {
    if (probing) {
      SendAppend(id, peer, {});
      return true;
    }
    if (may_try && peer.next() <= log_.last_index() && !peer.loading()) {
      peer.set_loading(true);
      output_.loads.push_back(
          LoadRequest{id, peer.next(), log_.memory_first().Previous(), bytes_max});
    }
    return false;
  }
  std::vector<Entry> entries;
  log_.Copy(peer.next(), log_.last_index(), bytes_max, &entries);
  SendAppend(id, peer, std::move(entries));
  return true;
}

// The entries, which may be none, follow peer.next() - 1. REQUIRES: the log reaches back to there.
void Core::SendAppend(const ServerId& id, Progress& peer, std::vector<Entry> entries) {
  const LeaderState& leader = std::get<LeaderState>(state_);
  AppendRequest request;
  request.prev_index = peer.next().Previous();
  CONSUL_CHECK(request.prev_index >= log_.base().index);
  request.prev_term = *log_.TermAt(request.prev_index);
  request.commit = commit_;
  request.round = leader.round;
  request.entries = std::move(entries);
  if (!request.entries.empty()) peer.Tried(now_);
  if (!request.entries.empty() || peer.mode() == Progress::Mode::kProbe) {
    uint64_t bytes = 0;
    for (const Entry& entry : request.entries) bytes += entry.bytes();
    peer.Sent(request.prev_index + request.entries.size(), bytes, now_);
  } else {
    peer.touch(now_);
  }
  peer.set_commit_told(commit_);
  Send(id, hard_state_.term, std::move(request), /*after_persist=*/false);
}

Index Core::awaited_index() const {
  const auto* leader = std::get_if<LeaderState>(&state_);
  return leader == nullptr ? commit_.Next() : std::max(commit_.Next(), leader->first_index);
}

// A voter that catches up will have what is awaited before long.
void Core::CameNearer(const ServerId& id, Index before, Index now) {
  auto* leader = std::get_if<LeaderState>(&state_);
  if (leader == nullptr || now <= before || before >= awaited_index()) return;
  if (configuration().configuration.IsVoter(id)) leader->commit_awaited_since = now_;
}

bool Core::commit_stalled() const {
  const auto* leader = std::get_if<LeaderState>(&state_);
  return leader != nullptr && commit_ < log_.last_index() &&
         now_ >= leader->commit_awaited_since + options_.commit_wait_max;
}

// Only entries of the leader's own term are committed by counting; earlier ones follow with them
// (figure 8 of the Raft paper). The leader counts itself up to what its disk has.
void Core::AdvanceCommit() {
  const auto* leader = std::get_if<LeaderState>(&state_);
  if (leader == nullptr) return;
  const Configuration& members = configuration().configuration;
  if (members.IsSoleVoter(options_.self)) {
    if (durable_ > commit_ && durable_ >= leader->first_index) SetCommit(durable_);
    return;
  }
  std::vector<Index> matches;
  for (const Member& member : members.members()) {
    if (member.kind != MemberKind::kVoter) continue;
    matches.push_back(member.id == options_.self ? durable_
                                                 : leader->peers.at(member.id).counted());
  }
  std::sort(matches.begin(), matches.end(), std::greater<>());
  const Index agreed = matches[members.quorum() - 1];
  if (agreed > commit_ && agreed >= leader->first_index) SetCommit(agreed);
}

void Core::SetCommit(Index commit) {
  CONSUL_CHECK(commit <= log_.last_index());
  auto* leader = std::get_if<LeaderState>(&state_);
  if (leader != nullptr && commit > commit_) leader->commit_awaited_since = now_;
  commit_ = std::max(commit_, commit);
  if (leader == nullptr) return;
  while (!leader->uncommitted.empty() && leader->uncommitted.front().last <= commit_) {
    leader->uncommitted_bytes -= leader->uncommitted.front().bytes;
    leader->uncommitted.pop_front();
  }
}

}  // namespace consul::raft
