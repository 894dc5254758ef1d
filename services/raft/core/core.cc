// Time, terms, roles, the log's ends, and outputs. Votes are in election.cc, entries in
// replication.cc, heartbeats and reads in contact.cc, members in membership.cc, snapshots in
// snapshots.cc.
#include "services/raft/core/core.h"

#include <algorithm>
#include <utility>

#include "services/base/check.h"

namespace consul::raft {
namespace {

// Whether the log on disk continues the snapshot. It does not when the server stopped between
// making an installed snapshot durable and dropping the log that the snapshot replaced.
bool LogFitsSnapshot(const Restart& restart) {
  const Index at = restart.snapshot.index;
  if (at == Index{0}) return true;
  if (restart.log_last < at) return false;
  CONSUL_CHECK(restart.log_first <= at.Next());
  if (restart.log_first > at) return true;
  Term term;
  for (const TermRun& run : restart.term_runs) {
    if (run.first <= at) term = run.term;
  }
  return term == restart.snapshot.term;
}

Restart Fitted(Restart restart) {
  if (LogFitsSnapshot(restart)) return restart;
  restart.log_first = restart.snapshot.index.Next();
  restart.log_last = restart.snapshot.index;
  restart.term_runs.clear();
  restart.configurations.clear();
  restart.tail.clear();
  return restart;
}

}  // namespace

Core::Core(Options options, Restart restart, Time now)
    : options_(std::move(options)),
      now_(now),
      random_state_(options_.seed),
      hard_state_(restart.hard_state),
      log_(Fitted(restart)),
      snapshot_(restart.snapshot),
      commit_(snapshot_.index),
      emitted_(snapshot_.index),
      applied_(snapshot_.index),
      durable_(log_.last_index()),
      state_(FollowerState{}),
      leader_heard_at_(now) {
  CONSUL_CHECK(!options_.self.empty());
  CONSUL_CHECK(options_.raft_multiplier > 0);
  CONSUL_CHECK(options_.heartbeat_interval > Duration{0});
  CONSUL_CHECK(options_.heartbeat_interval < options_.election_timeout_min);
  CONSUL_CHECK(options_.election_timeout_min < options_.election_timeout_max);
  if (!LogFitsSnapshot(restart)) output_.persist.reset_to = snapshot_.index;
  configurations_.push_back(snapshot_.configuration);
  for (PlacedConfiguration& placed : restart.configurations) {
    if (placed.index <= snapshot_.configuration.index) continue;
    if (placed.index <= log_.last_index()) configurations_.push_back(std::move(placed));
  }
  ArmElectionTimer();
  noted_ = RoleChange{Role::kFollower, hard_state_.term, ServerId{}};
  output_.role_changes.push_back(noted_);
}

// ---- Inputs.

void Core::Advance(Time now) { now_ = std::max(now_, now); }

void Core::Tick(Time now) {
  Advance(now);
  if (role() == Role::kLeader) {
    TickLeader();
  } else {
    TickElection();
  }
}

void Core::Receive(Time now, Message message) {
  Advance(now);
  if (message.to != options_.self || message.from == options_.self || message.from.empty()) return;
  if (const auto* request = std::get_if<VoteRequest>(&message.body)) {
    HandleVoteRequest(message, *request);
    return;
  }
  if (const auto* reply = std::get_if<VoteReply>(&message.body);
      reply != nullptr && reply->pre_vote && reply->granted) {
    HandleVoteReply(message, *reply);  // carries a term that nobody has adopted
    return;
  }
  if (message.term > hard_state_.term) {
    if (role() == Role::kLeader) Say(FactKind::kSteppedDownNewTerm, message.from);
    BecomeFollower(message.term, ServerId{});
  } else if (message.term < hard_state_.term) {
    AnswerOldTerm(message);
    return;
  }
  Dispatch(message);
}

void Core::Dispatch(Message& message) {
  if (auto* append = std::get_if<AppendRequest>(&message.body)) {
    HandleAppendRequest(message, *append);
  } else if (const auto* append_reply = std::get_if<AppendReply>(&message.body)) {
    HandleAppendReply(message, *append_reply);
  } else if (const auto* heartbeat = std::get_if<Heartbeat>(&message.body)) {
    HandleHeartbeat(message, *heartbeat);
  } else if (const auto* heartbeat_reply = std::get_if<HeartbeatReply>(&message.body)) {
    HandleHeartbeatReply(message, *heartbeat_reply);
  } else if (const auto* vote_reply = std::get_if<VoteReply>(&message.body)) {
    HandleVoteReply(message, *vote_reply);
  } else if (auto* chunk = std::get_if<SnapshotChunk>(&message.body)) {
    HandleSnapshotChunk(message, *chunk);
  } else if (const auto* snapshot_reply = std::get_if<SnapshotReply>(&message.body)) {
    HandleSnapshotReply(message, *snapshot_reply);
  } else if (std::holds_alternative<TimeoutNow>(message.body)) {
    HandleTimeoutNow(message);
  }
}

// A leader of the past learns from the term that it is one.
void Core::AnswerOldTerm(const Message& message) {
  if (std::holds_alternative<AppendRequest>(message.body) ||
      std::holds_alternative<Heartbeat>(message.body) ||
      std::holds_alternative<SnapshotChunk>(message.body)) {
    Send(message.from, hard_state_.term, HeartbeatReply{}, /*after_persist=*/false);
  }
}

bool Core::Bootstrap(Time now, const Configuration& configuration) {
  Advance(now);
  if (hard_state_ != HardState{} || log_.last_index() != Index{0}) return false;
  CONSUL_CHECK(configuration.voters_count() > 0);
  SetHardState(Term{1}, ServerId{});
  AppendToLog(Entry{Term{1}, Index{1}, EntryKind::kConfiguration,
                    MakeBuffer(configuration.Encode())});
  NoteRole();
  return true;
}

ProposeResult Core::Propose(Time now, std::vector<Proposal> batch) {
  Advance(now);
  auto* leader = std::get_if<LeaderState>(&state_);
  if (leader == nullptr) return {ProposeStatus::kNotLeader, {}, {}};
  if (!leader->transfer_target.empty()) return {ProposeStatus::kTransferring, {}, {}};
  uint64_t bytes = 0;
  for (const Proposal& proposal : batch) {
    CONSUL_CHECK(proposal.kind != EntryKind::kConfiguration);
    const uint64_t payload = proposal.payload == nullptr ? 0 : proposal.payload->size();
    if (payload + Entry::kOverheadBytes > options_.append_bytes_max) {
      return {ProposeStatus::kTooLarge, {}, {}};
    }
    bytes += payload + Entry::kOverheadBytes;
  }
  if (commit_stalled()) return {ProposeStatus::kNoMajority, {}, {}};
  if (leader->uncommitted_bytes + bytes > options_.uncommitted_bytes_max) {
    return {ProposeStatus::kBusy, {}, {}};
  }
  const ProposeResult result{ProposeStatus::kAccepted, hard_state_.term, log_.last_index().Next()};
  if (batch.empty()) return result;
  if (output_.persist.entries.empty()) output_.persist.entries.reserve(batch.size());
  for (Proposal& proposal : batch) {
    AppendToLog(Entry{hard_state_.term, log_.last_index().Next(), proposal.kind,
                      std::move(proposal.payload)});
  }
  leader->uncommitted.push_back({log_.last_index(), bytes});
  leader->uncommitted_bytes += bytes;
  return result;
}

void Core::Persisted(Time now, PersistId id) {
  Advance(now);
  CONSUL_CHECK(id <= persist_last_);
  if (id <= persisted_) return;
  persisted_ = id;
  const Index durable_before = durable_;
  while (!persisting_.empty() && persisting_.front().id <= id) {
    durable_ = std::max(durable_, persisting_.front().last);
    write_time_.Add(now_ - persisting_.front().at);
    persisting_.pop_front();
  }
  if (auto* candidate = std::get_if<CandidateState>(&state_);
      candidate != nullptr && !candidate->pre_vote && candidate->vote_durable_at <= id) {
    candidate->granted.emplace(options_.self, now_);
    CountVotes();
  }
  CameNearer(options_.self, durable_before, durable_);
  AdvanceCommit();
}

void Core::Applied(Time now, Index index) {
  Advance(now);
  CONSUL_CHECK(index <= emitted_);
  applied_ = std::max(applied_, index);
  while (!applying_.empty() && applying_.front().last <= index) {
    applying_bytes_ -= applying_.front().bytes;
    applying_.pop_front();
  }
}

void Core::EntriesLoaded(Time now, const LoadRequest& request, std::vector<Entry> entries) {
  Advance(now);
  if (!request.peer.empty()) {
    Progress* peer = FindPeer(request.peer);
    if (peer == nullptr || !peer->loading()) return;
    peer->set_loading(false);
    // The peer may have moved on while the disk was read, or fallen behind the log.
    if (entries.empty() || entries.front().index != peer->next() ||
        peer->mode() != Progress::Mode::kReplicate ||
        !HasRoom(*peer) ||
        peer->next().Previous() < log_.base().index) {
      return;
    }
    SendAppend(request.peer, *peer, std::move(entries));
    return;
  }
  apply_loading_ = false;
  if (incoming_.has_value() && incoming_->installing) return;  // asked for again if it is refused
  if (request.first != emitted_.Next()) return;                // a snapshot was installed meanwhile
  CONSUL_CHECK(!entries.empty());
  uint64_t bytes = 0;
  for (Entry& entry : entries) {
    if (entry.index > commit_) break;
    CONSUL_CHECK(entry.index == emitted_.Next());
    CONSUL_CHECK(log_.TermAt(entry.index) == entry.term);
    bytes += entry.bytes();
    emitted_ = entry.index;
    output_.committed.push_back(std::move(entry));
  }
  applying_.push_back({emitted_, bytes});
  applying_bytes_ += bytes;
}

// ---- Roles.

Role Core::role() const {
  if (std::holds_alternative<LeaderState>(state_)) return Role::kLeader;
  if (const auto* candidate = std::get_if<CandidateState>(&state_)) {
    return candidate->pre_vote ? Role::kPreCandidate : Role::kCandidate;
  }
  return Role::kFollower;
}

ServerId Core::leader() const {
  if (role() == Role::kLeader) return options_.self;
  const auto* follower = std::get_if<FollowerState>(&state_);
  return follower == nullptr ? ServerId{} : follower->leader;
}

void Core::NoteRole() {
  RoleChange change{role(), hard_state_.term, leader()};
  if (change == noted_) return;
  noted_ = change;
  output_.role_changes.push_back(std::move(change));
}

void Core::BecomeFollower(Term term, ServerId leader) {
  if (term > hard_state_.term) SetHardState(term, ServerId{});
  FailReads();
  if (const auto* led = std::get_if<LeaderState>(&state_)) {
    const bool alone = configuration().configuration.IsSoleVoter(options_.self);
    led_until_ = alone ? now_ : led->quorum_heard_at;
  }
  if (role() != Role::kFollower) ArmElectionTimer();
  state_ = FollowerState{std::move(leader)};
  NoteRole();
}

void Core::LeaderSpoke(const ServerId& leader) {
  if (role() != Role::kFollower || this->leader() != leader) {
    BecomeFollower(hard_state_.term, leader);
  }
  leader_heard_at_ = now_;
  leader_heard_ = true;
  stream_broken_ = false;
  ArmElectionTimer();
}

void Core::FailReads() {
  auto* leader = std::get_if<LeaderState>(&state_);
  if (leader == nullptr) return;
  for (const auto* queue : {&leader->confirmed, &leader->reads}) {
    for (const LeaderState::WaitingRead& read : *queue) {
      output_.reads.push_back(ReadResult{read.id, ReadStatus::kNotLeader, Index{0}});
    }
  }
  leader->confirmed.clear();
  leader->reads.clear();
}

void Core::SetHardState(Term term, ServerId voted_for) {
  CONSUL_CHECK(term >= hard_state_.term);
  CONSUL_CHECK(term > hard_state_.term || hard_state_.voted_for.empty() ||
               hard_state_.voted_for == voted_for);
  hard_state_ = HardState{term, std::move(voted_for)};
  hard_state_persist_ = pending_persist_id();
  output_.persist.hard_state = hard_state_;
}

// ---- The log's end.

void Core::AppendToLog(Entry entry) {
  if (auto* leader = std::get_if<LeaderState>(&state_);
      leader != nullptr && commit_ == log_.last_index()) {
    leader->commit_awaited_since = now_;
  }
  if (entry.kind == EntryKind::kConfiguration) {
    log_.Append(entry);
    ConfigurationAppended(entry);
  } else {
    log_.Append(entry);
  }
  output_.persist.entries.push_back(std::move(entry));
}

void Core::TruncateLog(Index first) {
  CONSUL_CHECK(first > commit_);
  log_.TruncateFrom(first);
  std::vector<Entry>& entries = output_.persist.entries;
  while (!entries.empty() && entries.back().index >= first) entries.pop_back();
  durable_ = std::min(durable_, first.Previous());
  for (PendingPersist& persist : persisting_) {
    persist.last = std::min(persist.last, first.Previous());
  }
  Say(FactKind::kLogTruncated, ServerId{}, first.value);
  bool fell_back = false;
  while (configurations_.back().index >= first) {
    configurations_.pop_back();
    fell_back = true;
  }
  if (fell_back) {
    Say(FactKind::kConfigurationFellBack, ServerId{}, configurations_.back().index.value);
  }
}

// ---- Outputs.

void Core::Send(const ServerId& to, Term term, Body body, bool after_persist) {
  std::vector<Message>& lane = after_persist || !hard_state_durable()
                                   ? output_.messages_after_persist
                                   : output_.messages;
  lane.push_back(Message{options_.self, to, term, std::move(body)});
}

void Core::Say(FactKind kind, ServerId server, uint64_t number) {
  output_.facts.push_back(Fact{kind, hard_state_.term, std::move(server), number});
}

Output Core::TakeOutput() {
  if (role() == Role::kLeader) {
    PumpReads();
    PumpTransfer();
    PumpPeers();
    StepDownIfRemoved();
  }
  EmitCommitted();
  EmitReads();
  log_.Evict(options_.tail_bytes_max, durable_);
  Output output = std::exchange(output_, Output{});
  Persist& persist = output.persist;
  if (persist.reset_to.has_value() || !persist.entries.empty() || persist.hard_state.has_value()) {
    persist.id = pending_persist_id();
    persist_last_ = persist.id;
    persisting_.push_back({persist.id, log_.last_index(), now_});
  }
  output.messages_wait_for = persist_last_;
  return output;
}

void Core::EmitCommitted() {
  if (incoming_.has_value() && incoming_->installing) return;
  while (emitted_ < commit_ && applying_bytes_ < options_.applying_bytes_max) {
    const Index first = emitted_.Next();
    if (first < log_.memory_first()) {
      if (apply_loading_) return;
      apply_loading_ = true;
      const Index last = std::min(commit_, log_.memory_first().Previous());
      output_.loads.push_back(LoadRequest{ServerId{}, first, last, options_.append_bytes_max});
      return;
    }
    const uint64_t bytes_max = options_.applying_bytes_max - applying_bytes_;
    const uint64_t bytes = log_.Copy(first, commit_, bytes_max, &output_.committed);
    emitted_ = output_.committed.back().index;
    applying_.push_back({emitted_, bytes});
    applying_bytes_ += bytes;
  }
}

void Core::EmitReads() {
  auto* leader = std::get_if<LeaderState>(&state_);
  if (leader == nullptr) return;
  while (!leader->confirmed.empty() && leader->confirmed.front().index <= applied_) {
    const LeaderState::WaitingRead& read = leader->confirmed.front();
    output_.reads.push_back(ReadResult{read.id, ReadStatus::kReady, read.index});
    leader->confirmed.pop_front();
  }
}

Time Core::NextDeadline() const {
  if (const auto* leader = std::get_if<LeaderState>(&state_)) {
    if (leader->peers.empty()) return Time::max();
    Time at = std::min(leader->heartbeat_at, RoundOverdueAt());
    for (const auto& [id, peer] : leader->peers) at = std::min(at, peer.spared_until());
    return at;
  }
  if (!MayCampaign()) return Time::max();
  const auto* candidate = std::get_if<CandidateState>(&state_);
  if (configuration().configuration.IsSoleVoter(options_.self)) {
    // A real candidate only waits for its own vote to be durable.
    if (candidate != nullptr && !candidate->pre_vote) return Time::max();
    return SoleVoterMayCampaign() ? now_ : vote_free_at();
  }
  if (candidate != nullptr) return candidate->campaign_at.value_or(election_deadline_);
  return election_deadline_;
}

std::vector<MemberProgress> Core::Members() const {
  std::vector<MemberProgress> members;
  if (const auto* leader = std::get_if<LeaderState>(&state_)) {
    for (const auto& [id, peer] : leader->peers) {
      members.push_back(MemberProgress{id, peer.match(), peer.heard_at()});
    }
  }
  return members;
}

}  // namespace consul::raft
