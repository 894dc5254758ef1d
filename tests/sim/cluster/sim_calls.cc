#include "tests/sim/cluster/sim_calls.h"

#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/state/fsm.h"
#include "services/state/version.h"

namespace consul::sim {
namespace {

using raft::ForwardStatus;
using raft::Index;
using raft::ReadId;
using raft::ReadMode;

constexpr uint64_t kReservedForVotesBytes = 1024;
// As of raft::Node.
constexpr int kAskAgainHeartbeats = 4;
constexpr int kReadWaitElections = 3;

raft::ReadBarriers::Limits ReadLimits(const raft::Options& options) {
  return {.ask_again = options.heartbeat_interval * kAskAgainHeartbeats,
          .wait_max = options.election_timeout_max * kReadWaitElections,
          .reads_max = options.reads_waiting_max};
}

ReadMode ModeOf(Consistency consistency) {
  return consistency == Consistency::kDefault ? ReadMode::kLease : ReadMode::kReadIndex;
}

}  // namespace

struct SimCalls::Call {
  uint64_t number;
  Request request;
  std::function<void(const Answer&)> done;
  bool answered = false;
  bool expired = false;  // waited long enough
  std::shared_ptr<state::Waiter> waiter;
};

class SimCalls::CallWaiter final : public state::Waiter {
 public:
  CallWaiter(SimCalls* calls, uint64_t number) : calls_(calls), number_(number) {}
  void Fire() override { calls_->woken_.push_back(number_); }

 private:
  SimCalls* const calls_;
  const uint64_t number_;
};

SimCalls::SimCalls(ClusterChecks* checks, const SimOptions& options, Server server,
                   server::ReplicatedState* state)
    : checks_(checks),
      options_(options),
      server_(std::move(server)),
      state_(state),
      forwarder_(server_.core->snapshot().index, server_.life << 32),
      barriers_(ReadLimits(options.core), server_.life << 32) {}

SimCalls::~SimCalls() {
  while (!parked_.empty()) Unpark(parked_.begin()->second);
  for (const auto& [number, call] : std::exchange(calls_, {})) {
    call->done(Answer{});
  }
}

void SimCalls::Begin(Request request, std::function<void(const Answer&)> done) {
  auto call = std::make_shared<Call>();
  call->number = ++numbers_;
  call->request = std::move(request);
  call->done = std::move(done);
  calls_[call->number] = call;
  if (call->request.command.has_value()) {
    Write(call);
  } else if (call->request.consistency == Consistency::kStale) {
    Read(call);
  } else {
    Barrier(call);
  }
}

void SimCalls::Finish(const CallPtr& call, Answer answer) {
  if (call->answered) return;
  call->answered = true;
  Unpark(call);
  calls_.erase(call->number);
  call->done(answer);
}

void SimCalls::FinishAs(const CallPtr& call, Answer::Outcome outcome) {
  Answer answer;
  answer.outcome = outcome;
  Finish(call, std::move(answer));
}

bool SimCalls::Receive(const raft::Message& message) {
  if (const auto* forwarded = std::get_if<raft::ForwardedProposals>(&message.body)) {
    OnForwarded(message, *forwarded);
  } else if (const auto* placed = std::get_if<raft::ProposalsPlaced>(&message.body)) {
    forwarder_.Placed(message.from, message.term, *placed,
                      [this](Index index) { return server_.core->log().TermAt(index); });
  } else if (const auto* request = std::get_if<raft::ReadIndexRequest>(&message.body)) {
    OnReadIndexRequest(message, *request);
  } else if (const auto* reply = std::get_if<raft::ReadIndexReply>(&message.body)) {
    barriers_.Answered(server_.now(), message.from, *reply);
  } else {
    return false;
  }
  return true;
}

void SimCalls::AskLeader() {
  const raft::ServerId leader = server_.core->leader();
  const raft::Term term = server_.core->term();
  const raft::Time now = server_.now();
  forwarder_.LeaderIs(now, term, leader);
  forwarder_.Expire(now);
  barriers_.LeaderIs(term, leader);
  const bool unapplied = options_.mistake == Mistake::kFollowerReadUnapplied;
  barriers_.Applied(unapplied ? Index{UINT64_MAX} : applied());
  barriers_.Expire(now);
  for (const raft::ReadIndexRequest& request : barriers_.Ask(now, leader, term)) {
    server_.send({server_.id, leader, term, request});
  }
  FlushAnswers();
}

void SimCalls::FlushAnswers() {
  for (raft::RefusedProposal& refused : forwarder_.TakeRefused()) refused.callback(refused.why);
  for (raft::AnsweredRead& read : barriers_.TakeAnswered()) read.callback(read.status);
}

void SimCalls::OnRoleChange(const raft::RoleChange& change) {
  const bool leads = change.role == raft::Role::kLeader;
  if (!std::exchange(leads_, leads) || leads) return;
  // Whoever leads next may have the entry or not.
  for (raft::Waiter& waiter : std::exchange(waiters_, {})) {
    waiter.callback(absl::UnknownError("leadership was lost"));
  }
}

// ---- Writes.

void SimCalls::Write(const CallPtr& call) {
  raft::Proposed proposed;
  proposed.command = raft::MakeBuffer(*call->request.command);
  proposed.callback = [this, call](absl::StatusOr<raft::Applied> applied) {
    Written(call, applied);
  };
  if (server_.core->role() == raft::Role::kLeader) {
    ForwardStatus refused{};
    const auto result = Propose({proposed.command}, &refused);
    if (!result.has_value()) return FinishAs(call, Answer::Outcome::kRefused);
    waiters_.push_back({result->first, 0, std::move(proposed.callback)});
    return;
  }
  const raft::ServerId leader = server_.core->leader();
  if (leader.empty()) return FinishAs(call, Answer::Outcome::kRefused);
  const raft::Term term = server_.core->term();
  std::vector<raft::Proposed> batch;
  batch.push_back(std::move(proposed));
  server_.send({server_.id, leader, term,
                forwarder_.Forward(server_.now(), leader, term, std::move(batch))});
}

void SimCalls::Written(const CallPtr& call, const absl::StatusOr<raft::Applied>& applied) {
  if (!applied.ok()) {
    const bool unknown = applied.status().code() == absl::StatusCode::kUnknown;
    return FinishAs(call, unknown ? Answer::Outcome::kUnknown : Answer::Outcome::kRefused);
  }
  Answer answer;
  answer.outcome = Answer::Outcome::kDone;
  answer.applied = static_cast<const state::CommandResult*>(applied->result.get())->applied;
  Finish(call, std::move(answer));
}

std::optional<raft::ProposeResult> SimCalls::Propose(const std::vector<raft::Buffer>& commands,
                                                     ForwardStatus* refused) {
  uint64_t bytes = kReservedForVotesBytes;
  std::vector<raft::Proposal> batch;
  for (const raft::Buffer& command : commands) {
    bytes += raft::RecordBytes(command->size());
    batch.push_back({raft::EntryKind::kCommand, command});
  }
  *refused = ForwardStatus::kDiskFull;
  if (!server_.disk->Reserve(bytes).ok()) return std::nullopt;
  const raft::ProposeResult result = server_.core->Propose(server_.now(), std::move(batch));
  switch (result.status) {
    case raft::ProposeStatus::kAccepted:
      return result;
    case raft::ProposeStatus::kNotLeader:
      *refused = ForwardStatus::kNotLeader;
      break;
    case raft::ProposeStatus::kTransferring:
      *refused = ForwardStatus::kTransferring;
      break;
    case raft::ProposeStatus::kBusy:
      *refused = ForwardStatus::kBusy;
      break;
    case raft::ProposeStatus::kTooLarge:
      *refused = ForwardStatus::kTooLarge;
      break;
    case raft::ProposeStatus::kNoMajority:
      *refused = ForwardStatus::kNoMajority;
      break;
  }
  return std::nullopt;
}

void SimCalls::OnForwarded(const raft::Message& message,
                           const raft::ForwardedProposals& forwarded) {
  raft::ProposalsPlaced reply{.first_id = forwarded.first_id, .count = forwarded.commands.size()};
  raft::Term term = server_.core->term();
  if (server_.core->role() == raft::Role::kLeader) {
    if (const auto result = Propose(forwarded.commands, &reply.status)) {
      reply.status = ForwardStatus::kPlaced;
      reply.first = result->first;
      term = result->term;
    }
  }
  server_.send({server_.id, message.from, term, reply});
}

void SimCalls::OnCommitted(const std::vector<raft::Entry>& entries) {
  std::vector<raft::Waiter> waiters;
  while (!waiters_.empty() && waiters_.front().index <= entries.back().index) {
    waiters.push_back(std::move(waiters_.front()));
    waiters_.pop_front();
  }
  forwarder_.Committed(server_.now(), entries, &waiters);
  for (raft::Waiter& waiter : waiters) applying_.emplace(waiter.index, std::move(waiter));
}

void SimCalls::OnApplied(const std::vector<raft::Entry>& entries,
                         const std::vector<raft::ApplyResult>& results) {
  while (!applying_.empty() && applying_.begin()->first <= entries.back().index) {
    auto waiter = applying_.extract(applying_.begin());
    const Index index = waiter.key();
    waiter.mapped().callback(raft::Applied{index, results[index - entries.front().index]});
  }
  WakeUp();
  CheckWaiting();
}

void SimCalls::OnInstalled(Index index) {
  forwarder_.SnapshotInstalled(server_.now(), index);
  WakeUp();
  CheckWaiting();
}

// ---- What a read waits for.

void SimCalls::Barrier(const CallPtr& call) {
  const ReadMode mode = ModeOf(call->request.consistency);
  if (server_.core->role() == raft::Role::kLeader) {
    if (MayReadAtOnce(mode)) return Read(call);
    const ReadId id = NextReadId();
    checks_->OnReadRequested(server_.id, id);
    if (server_.core->ReadRequest(server_.now(), id, mode) != raft::ReadRequestStatus::kWaiting) {
      return FinishAs(call, Answer::Outcome::kRefused);
    }
    reads_[id] = call;
    return;
  }
  barriers_.Add(server_.now(), mode, [this, call](absl::Status status) {
    if (status.ok()) return Read(call);
    FinishAs(call, Answer::Outcome::kRefused);
  });
}

bool SimCalls::MayReadAtOnce(ReadMode mode) const {
  const raft::Core& core = *server_.core;
  const bool all_applied = applied() == core.commit_index();
  switch (options_.mistake) {
    case Mistake::kLeaderReadEarly:
      if (core.log().TermAt(applied()) != core.term()) return true;
      break;
    case Mistake::kLeaderReadUnapplied:
      return mode == ReadMode::kLease && server_.now() < core.LeaseUntil();
    case Mistake::kLeaseOutlives:
      return mode == ReadMode::kLease && all_applied &&
             server_.now() < core.LeaseUntil() + std::chrono::seconds(1);
    default:
      break;
  }
  return mode == ReadMode::kLease && all_applied && server_.now() < core.LeaseUntil();
}

void SimCalls::OnReadResult(const raft::ReadResult& result) {
  const bool ready = result.status == raft::ReadStatus::kReady;
  if (const auto read = reads_.extract(result.id); !read.empty()) {
    if (ready) return Read(read.mapped());
    return FinishAs(read.mapped(), Answer::Outcome::kRefused);
  }
  const auto asked = asked_.extract(result.id);
  if (asked.empty()) return;
  server_.send({server_.id, asked.mapped().from, server_.core->term(),
                raft::ReadIndexReply{asked.mapped().id, ready, result.index}});
}

void SimCalls::OnReadIndexRequest(const raft::Message& message,
                                  const raft::ReadIndexRequest& request) {
  const ReadId id = NextReadId();
  checks_->OnReadRequested(server_.id, id);
  if (server_.core->ReadRequest(server_.now(), id, request.mode) ==
      raft::ReadRequestStatus::kWaiting) {
    asked_[id] = {message.from, request.id};
    return;
  }
  server_.send({server_.id, message.from, server_.core->term(),
                raft::ReadIndexReply{.id = request.id, .granted = false}});
}

// ---- Reading, and waiting for a change.

KvAnswer SimCalls::ReadState(const Request& request, state::WatchSet* watch) const {
  const auto versioned = state_->source().Load();
  const auto& version = static_cast<const state::Version&>(*versioned);
  KvAnswer answer;
  answer.applied = version.index();
  const auto take = [&answer](const kv::v1::KeyValue& row) {
    answer.rows[row.key()] = {row.value(), row.modify_index()};
    return true;
  };
  if (request.recurse) {
    version.kv().ForEach(request.key, watch, take);
  } else if (const kv::v1::KeyValue* row = version.kv().Find(request.key, watch)) {
    take(*row);
  }
  answer.index = version.IndexOf(*watch);
  return answer;
}

void SimCalls::Read(const CallPtr& call) {
  if (call->answered) return;
  const Request& request = call->request;
  state::WatchSet watch;
  Answer answer;
  answer.outcome = Answer::Outcome::kDone;
  answer.kv = ReadState(request, &watch);
  answer.in_vain = request.index > 0 && answer.kv.index <= request.index;
  if (answer.in_vain && !call->expired) return Park(call, watch);
  checks_->OnAnswer(server_.id, request.key, request.recurse, answer.kv);
  Finish(call, std::move(answer));
}

void SimCalls::Park(const CallPtr& call, const state::WatchSet& watch) {
  if (call->waiter == nullptr) {
    call->waiter = std::make_shared<CallWaiter>(this, call->number);
    server_.after(call->request.wait, [this, call] {
      call->expired = true;
      if (!parked_.contains(call->number)) return;
      Unpark(call);
      Read(call);
    });
  }
  parked_[call->number] = call;
  CONSUL_CHECK(state_->source().Park(call->waiter, watch, call->request.index));
}

void SimCalls::Unpark(CallPtr call) {
  if (parked_.erase(call->number) == 0) return;
  state_->source().registry().Cancel(call->waiter.get());
}

void SimCalls::WakeUp() {
  for (const uint64_t number : std::exchange(woken_, {})) {
    const auto found = parked_.extract(number);
    if (!found.empty()) Read(found.mapped());
  }
}

void SimCalls::CheckWaiting() {
  for (const auto& [number, call] : parked_) {
    checks_->OnStillWaiting(server_.id, call->request.key, call->request.recurse,
                            call->request.index, applied().value);
  }
}

}  // namespace consul::sim
