// Votes and pre-votes: who asks, who gives, who withholds.
#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/raft/core/core.h"

namespace consul::raft {
namespace {

// Candidates that wait for the same withheld votes spread by this share of the minimum election
// timeout; a pre-vote that a broken stream caused is asked for again after as much, for others may
// notice later.
constexpr int kSpreadShare = 8;
// The worse of two candidates that wait for each other's vote stands back by this share, so that
// they do not split the votes. More than the spread, or it might still come first.
constexpr int kYieldShare = 4;
static_assert(kYieldShare < kSpreadShare);

}  // namespace

// SplitMix64: small, seeded, and the same on every platform, which std distributions are not.
Duration Core::RandomBelow(Duration bound) {
  random_state_ += 0x9e3779b97f4a7c15u;
  uint64_t z = random_state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return Duration{static_cast<int64_t>(z % static_cast<uint64_t>(bound.count()))};
}

void Core::ArmElectionTimer() {
  const Duration min = Scaled(options_.election_timeout_min);
  const Duration max = Scaled(options_.election_timeout_max);
  election_deadline_ = now_ + min + RandomBelow(max - min);
}

// A server that its latest configuration leaves out still campaigns until that configuration is
// known to be committed: it may be the only one whose log is long enough to commit it (thesis,
// 4.2.2). It does not count its own vote.
bool Core::MayCampaign() const {
  const PlacedConfiguration& latest = configuration();
  if (latest.configuration.IsVoter(options_.self)) return true;
  if (latest.index <= commit_ || latest.configuration.voters_count() == 0) return false;
  if (configurations_.size() < 2) return false;
  return configurations_[configurations_.size() - 2].configuration.IsVoter(options_.self);
}

// A sole voter waits for nobody, but for one case: another server may still lead, under a lease,
// the term in which it left this one as the sole voter. No such leader exists when none was heard
// since the start and the configuration is the first, is in a snapshot (so it is committed, and
// that leader is gone), or is older than a term that this server voted for itself in, since every
// later leader needed that vote.
bool Core::SoleVoterMayCampaign() const {
  if (now_ >= vote_free_at()) return true;
  if (leader_heard_) return false;
  const Index placed = configuration().index;
  if (placed <= Index{1} || placed <= snapshot_.index) return true;
  return hard_state_.voted_for == options_.self && hard_state_.term > log_.TermAt(placed);
}

void Core::TickElection() {
  if (!MayCampaign()) return;
  const auto* candidate = std::get_if<CandidateState>(&state_);
  if (configuration().configuration.IsSoleVoter(options_.self)) {
    if (candidate != nullptr && !candidate->pre_vote) return;  // its vote is on its way to the disk
    if (!SoleVoterMayCampaign()) return;
    Say(FactKind::kHeartbeatTimeout, leader());
    StartElection(ServerId{});
    return;
  }
  if (candidate != nullptr && candidate->campaign_at.has_value()) {
    if (now_ >= *candidate->campaign_at) StartElection(ServerId{});
    return;
  }
  if (now_ < election_deadline_) return;
  if (candidate == nullptr) {
    Say(FactKind::kHeartbeatTimeout, leader());
  } else if (!candidate->pre_vote) {
    Say(FactKind::kElectionTimeout);
  }
  StartPreVote();
}

void Core::StreamBroken(Time now, const ServerId& peer) {
  Advance(now);
  if (Progress* progress = FindPeer(peer); progress != nullptr) return progress->Doubt(AskAll());
  if (role() != Role::kFollower || peer.empty() || leader() != peer) return;
  stream_broken_ = true;
  Say(FactKind::kStreamBroken, peer);
  if (MayCampaign() && !configuration().configuration.IsSoleVoter(options_.self)) StartPreVote();
}

void Core::StartPreVote() {
  CandidateState candidate;
  candidate.granted.emplace(options_.self, std::max(now_, vote_free_at()));
  state_ = std::move(candidate);
  ArmElectionTimer();
  if (stream_broken_ && now_ < vote_free_at()) {
    const Duration spread = Scaled(options_.election_timeout_min) / kSpreadShare;
    election_deadline_ = now_ + spread + RandomBelow(spread);
  }
  NoteRole();
  AskForVotes();
  CountPreVotes();
}

void Core::StartElection(ServerId handed_by) {
  SetHardState(hard_state_.term.Next(), options_.self);
  CandidateState candidate;
  candidate.pre_vote = false;
  candidate.handed_by = std::move(handed_by);
  candidate.vote_durable_at = pending_persist_id();
  state_ = std::move(candidate);
  ArmElectionTimer();
  NoteRole();
  AskForVotes();
}

void Core::AskForVotes() {
  const CandidateState& candidate = std::get<CandidateState>(state_);
  const VoteRequest request{log_.last_index(), log_.last_term(), candidate.pre_vote,
                            /*transfer=*/!candidate.handed_by.empty()};
  const Term term = candidate.pre_vote ? hard_state_.term.Next() : hard_state_.term;
  for (const Member& member : configuration().configuration.members()) {
    if (member.kind != MemberKind::kVoter || member.id == options_.self) continue;
    Send(member.id, term, request, /*after_persist=*/!candidate.pre_vote);
  }
}

void Core::HandleVoteRequest(const Message& message, const VoteRequest& request) {
  if (request.pre_vote) {
    AnswerPreVote(message, request);
    return;
  }
  if (message.term < hard_state_.term) {
    Send(message.from, hard_state_.term, VoteReply{}, /*after_persist=*/false);
    return;
  }
  // A leader in good health hears itself. Whoever withholds does not even adopt the term, or a
  // server that nobody needs could unseat a leader that everybody hears.
  const bool withheld = role() == Role::kLeader || now_ < vote_free_at();
  if (withheld && !request.transfer) {
    Say(FactKind::kVoteWithheld, message.from);
    return;
  }
  if (message.term > hard_state_.term) {
    if (role() == Role::kLeader) Say(FactKind::kSteppedDownNewTerm, message.from);
    BecomeFollower(message.term, ServerId{});
  }
  const bool up_to_date =
      std::pair(request.last_term, request.last_index) >=
      std::pair(log_.last_term(), log_.last_index());
  const bool free = hard_state_.voted_for.empty() && leader().empty();
  const bool granted = up_to_date && (free || hard_state_.voted_for == message.from);
  if (granted) {
    if (hard_state_.voted_for.empty()) SetHardState(hard_state_.term, message.from);
    ArmElectionTimer();
    Say(FactKind::kVoteGranted, message.from);
  }
  Send(message.from, hard_state_.term, VoteReply{.granted = granted}, /*after_persist=*/granted);
}

void Core::AnswerPreVote(const Message& message, const VoteRequest& request) {
  const bool hears_leader =
      role() == Role::kLeader || (now_ < vote_free_at() && !stream_broken_);
  const bool up_to_date =
      std::pair(request.last_term, request.last_index) >=
      std::pair(log_.last_term(), log_.last_index());
  const bool granted = message.term > hard_state_.term && up_to_date && !hears_leader;
  VoteReply reply{.pre_vote = true, .granted = granted};
  if (granted) {
    reply.vote_wait = std::max(Duration{0}, vote_free_at() - now_);
    YieldTo(message.from, LogPosition{request.last_index, request.last_term});
  }
  Send(message.from, granted ? message.term : hard_state_.term, reply, /*after_persist=*/false);
}

// Two candidates that noticed a dead leader together would ask for votes together. The longer log
// goes first, then the smaller id.
void Core::YieldTo(const ServerId& other, LogPosition last) {
  auto* candidate = std::get_if<CandidateState>(&state_);
  if (candidate == nullptr || !candidate->pre_vote || candidate->yields) return;
  const bool equal = last == LogPosition{log_.last_index(), log_.last_term()};
  if (equal && options_.self < other) return;
  candidate->yields = true;
  if (candidate->campaign_at.has_value()) {
    *candidate->campaign_at += Scaled(options_.election_timeout_min) / kYieldShare;
  }
}

void Core::HandleVoteReply(const Message& message, const VoteReply& reply) {
  auto* candidate = std::get_if<CandidateState>(&state_);
  if (candidate == nullptr || candidate->pre_vote != reply.pre_vote || !reply.granted) return;
  if (!configuration().configuration.IsVoter(message.from)) return;
  if (reply.pre_vote) {
    if (message.term != hard_state_.term.Next()) return;
    const Duration wait = std::clamp(reply.vote_wait, Duration{0},
                                     Scaled(options_.election_timeout_max));
    candidate->granted.emplace(message.from, now_ + wait);
    CountPreVotes();
  } else {
    candidate->granted.emplace(message.from, now_);
    CountVotes();
  }
}

// With a majority of pre-votes the real election starts as soon as a majority's real votes can be
// had.
void Core::CountPreVotes() {
  CandidateState& candidate = std::get<CandidateState>(state_);
  const Configuration& members = configuration().configuration;
  const size_t tally = VotersAmongGranted(candidate);
  if (candidate.campaign_at.has_value() || tally < members.quorum()) return;
  std::vector<Time> free_at;
  for (const auto& [id, at] : candidate.granted) {
    if (members.IsVoter(id)) free_at.push_back(at);
  }
  std::sort(free_at.begin(), free_at.end());
  const Time at = std::max(free_at[members.quorum() - 1], candidate.granted.at(options_.self));
  Say(FactKind::kPreVoteWon, ServerId{}, tally);
  if (at <= now_) {
    StartElection(ServerId{});
    return;
  }
  const Duration min = Scaled(options_.election_timeout_min);
  candidate.campaign_at = at + RandomBelow(min / kSpreadShare);
  if (candidate.yields) *candidate.campaign_at += min / kYieldShare;
}

void Core::CountVotes() {
  const CandidateState& candidate = std::get<CandidateState>(state_);
  const size_t tally = VotersAmongGranted(candidate);
  if (tally < configuration().configuration.quorum()) return;
  // Its own vote must be durable: the term must not be voted in again after a restart.
  if (!candidate.granted.contains(options_.self)) return;
  BecomeLeader(tally);
}

size_t Core::VotersAmongGranted(const CandidateState& candidate) const {
  const Configuration& members = configuration().configuration;
  return std::count_if(candidate.granted.begin(), candidate.granted.end(),
                       [&members](const auto& item) { return members.IsVoter(item.first); });
}

void Core::BecomeLeader(uint64_t tally) {
  CONSUL_CHECK(hard_state_durable() && hard_state_.voted_for == options_.self);
  LeaderState leader;
  leader.first_index = log_.last_index().Next();
  leader.quorum_heard_at = now_;
  leader.commit_awaited_since = now_;
  leader.heartbeat_at = now_;
  leader.transfer_last = std::get<CandidateState>(state_).handed_by;
  state_ = std::move(leader);
  Say(FactKind::kElectionWon, ServerId{}, tally);
  NoteRole();
  SyncPeers();
  AppendToLog(Entry{hard_state_.term, log_.last_index().Next(), EntryKind::kNoOp, nullptr});
}

void Core::HandleTimeoutNow(const Message& message) {
  if (role() == Role::kLeader || !MayCampaign()) return;
  if (!leader().empty() && leader() != message.from) return;
  Say(FactKind::kTimeoutNowReceived, message.from);
  StartElection(message.from);
}

}  // namespace consul::raft
