#include "services/raft/node.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "services/base/check.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/raft/apply_thread.h"
#include "services/raft/core.h"
#include "services/raft/log_store.h"
#include "services/raft/node_recovery.h"
#include "services/raft/node_view.h"
#include "services/raft/node_words.h"
#include "services/raft/snapshotter.h"

namespace consul::raft {
namespace {

using base::StrCat;

// A log that was not written for so long gets its mark synced: until then, a bit that the disk
// flips in the very last group after a power cut could be taken for a torn write.
constexpr Duration kSettleAfter = std::chrono::seconds(1);
// How long after a full disk kept the core's own records from being written it is tried again.
constexpr Duration kFullDiskRetry = std::chrono::seconds(1);
// Proposals leave this much of a segment, so that votes still find room on a full disk.
constexpr uint64_t kReservedForVotesBytes = 1024;

absl::Status StoppedStatus() { return absl::CancelledError("this server is stopping"); }

absl::Status LostStatus() {
  return absl::UnknownError("leadership was lost: the command may yet be applied, or not");
}

// A proposal on its way to the raft thread.
struct Proposed {
  Buffer command;
  uint64_t bytes = 0;
  ProposeCallback callback;
};

class NodeImpl final : public Node {
 public:
  NodeImpl(NodeOptions options, StateMachine* state_machine, RecoveredNode recovered)
      : options_(std::move(options)),
        log_(std::move(recovered.log)),
        core_(options_.core, std::move(recovered.restart), BootNow()),
        handed_(core_.snapshot().index),
        told_applied_(handed_),
        snapshotter_(options_.snapshots, std::move(recovered.snapshots), &core_, log_.get(),
                     &apply_,
                     {.log = [this](LogLevel level, std::string_view text) { Log(level, text); },
                      .wake = [this] { Wake(); }},
                     BootNow()),
        apply_(state_machine, handed_, [this](Index, uint64_t bytes) { OnApplied(bytes); }) {}

  ~NodeImpl() override { Stop(); }

  // Says what role it wakes up in. Before Start.
  void WakeUp() { Pump(); }
  const Core& core() const { return core_; }

  void Start() override;

  void Propose(Buffer command, ProposeCallback callback) override;
  void ReadBarrier(ReadCallback callback) override;
  void Receive(Message message) override;
  NodeStatus status() const override;
  Leader leader() const override;
  PlacedConfiguration configuration() const override;
  std::map<std::string, std::string> Stats() const override;
  void Stop() override;

 private:
  // What other threads gave the raft thread.
  struct Inbox {
    std::deque<Proposed> proposals;
    std::vector<ReadCallback> reads;
    std::vector<Message> messages;
    bool woken = false;  // for the snapshotter
    bool empty() const {
      return proposals.empty() && reads.empty() && messages.empty() && !woken;
    }
  };

  // On the raft thread.
  void Run();
  bool WaitForWork(Inbox* inbox);
  void AnswerAll(Inbox inbox);
  Time WakeAt() const;
  void TakeProposals(std::deque<Proposed>* proposals);
  void ProposeBatch(std::vector<Proposed> batch, uint64_t records_bytes);
  void TakeReads(std::vector<ReadCallback> reads);
  void Pump();
  void Handle(Output* output);
  void Say(const Output& output);
  void Load(const LoadRequest& request);
  void HandCommitted(std::vector<Entry> entries);
  void Persist();
  void SettleWhenQuiet(Time now);
  void Fail(const absl::Status& why);
  void DropWaiters(const absl::Status& why);
  void Refuse(std::vector<Proposed>* batch, const absl::Status& why);
  void Publish();
  std::string AddressOf(const ServerId& id) const;
  void Log(LogLevel level, std::string_view text) const {
    if (options_.log) options_.log(level, text);
  }

  // On the apply thread.
  void OnApplied(uint64_t bytes);
  // On any.
  void Wake();

  const NodeOptions options_;
  const std::unique_ptr<LogStore> log_;

  // Of the raft thread.
  Core core_;
  Index handed_;        // to the state machine
  Index told_applied_;  // to core_
  std::deque<Waiter> waiters_;  // for uncommitted entries of this leader, ascending
  std::unordered_map<uint64_t, ReadCallback> reads_;
  uint64_t read_last_ = 0;
  std::deque<Proposed> proposals_;  // taken from the inbox, not yet proposed
  std::vector<raft::Persist> persists_;  // handed out by core_, not yet durable
  std::vector<Message> after_persist_;
  std::optional<Time> disk_full_retry_;
  std::optional<Time> settle_at_;
  RoleChange role_;
  std::string said_role_;

  // Between threads.
  base::Mutex mutex_;
  base::CondVar wake_;
  Inbox inbox_ GUARDED_BY(mutex_);
  bool sleeping_ GUARDED_BY(mutex_) = false;
  bool wake_when_applied_ GUARDED_BY(mutex_) = false;
  bool applied_more_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::atomic<uint64_t> pending_bytes_{0};

  NodeView view_;
  Snapshotter snapshotter_;
  ApplyThread apply_;
  std::thread thread_;
};

// --- For any thread. ---

void NodeImpl::Propose(Buffer command, ProposeCallback callback) {
  const uint64_t size = command == nullptr ? 0 : command->size();
  const uint64_t bytes = size + Entry::kOverheadBytes;
  absl::Status refused;
  if (size > options_.proposal_bytes_max) {
    refused = absl::InvalidArgumentError(StrCat("a command of ", size,
                                                " bytes exceeds the limit of ",
                                                options_.proposal_bytes_max, " bytes"));
  } else if (!view_.leads()) {
    refused = absl::FailedPreconditionError("this server does not lead");
  } else if (pending_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes >
             options_.pending_bytes_max) {
    pending_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    refused = absl::ResourceExhaustedError(
        StrCat("proposals that wait exceed the limit of ", options_.pending_bytes_max, " bytes"));
  } else {
    bool wake = false;
    {
      base::MutexLock lock(&mutex_);
      if (stopping_) {
        refused = StoppedStatus();
      } else {
        inbox_.proposals.push_back({std::move(command), bytes, std::move(callback)});
        wake = std::exchange(sleeping_, false);
      }
    }
    // A thread that is woken under the mutex would only wait for it.
    if (wake) wake_.Signal();
    if (refused.ok()) return;
    pending_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  }
  callback(std::move(refused));
}

void NodeImpl::ReadBarrier(ReadCallback callback) {
  // Whatever was acknowledged was applied here first, and nobody else can acknowledge anything.
  if (view_.alone()) return callback(absl::OkStatus());
  absl::Status refused;
  if (!view_.leads()) {
    refused = absl::FailedPreconditionError("this server does not lead");
  } else {
    base::MutexLock lock(&mutex_);
    if (!stopping_) {
      inbox_.reads.push_back(std::move(callback));
      if (std::exchange(sleeping_, false)) wake_.Signal();
      return;
    }
    refused = StoppedStatus();
  }
  callback(std::move(refused));
}

void NodeImpl::Receive(Message message) {
  base::MutexLock lock(&mutex_);
  if (stopping_) return;
  inbox_.messages.push_back(std::move(message));
  if (std::exchange(sleeping_, false)) wake_.Signal();
}

NodeStatus NodeImpl::status() const {
  NodeStatus status = view_.status();
  status.applied_index = apply_.applied();
  return status;
}

Leader NodeImpl::leader() const {
  ServerId id = view_.leader();
  std::string address = id.empty() ? std::string() : AddressOf(id);
  return {std::move(id), std::move(address)};
}

PlacedConfiguration NodeImpl::configuration() const { return view_.configuration(); }

std::map<std::string, std::string> NodeImpl::Stats() const {
  return WordStats({.status = status(),
                    .last_term = view_.last_term(),
                    .snapshot = view_.snapshot(),
                    .configuration = configuration(),
                    .apply_pending = apply_.pending(),
                    .address_of = [this](const ServerId& id) { return AddressOf(id); }});
}

std::string NodeImpl::AddressOf(const ServerId& id) const {
  if (id == options_.core.self) return options_.address;
  return options_.address_of ? options_.address_of(id) : std::string();
}

void NodeImpl::Start() {
  if (options_.bootstrap) {
    core_.Bootstrap(BootNow(), Configuration({{options_.core.self, MemberKind::kVoter}}));
  }
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "raft");
}

void NodeImpl::Stop() {
  {
    base::MutexLock lock(&mutex_);
    stopping_ = true;
    sleeping_ = false;
    wake_.Signal();
  }
  if (!thread_.joinable()) return;
  thread_.join();
  apply_.Stop();
  snapshotter_.Stop();
  if (absl::Status status = log_->Settle(); !status.ok()) Log(LogLevel::kError, status.ToString());
}

// --- On the apply thread. ---

void NodeImpl::OnApplied(uint64_t bytes) {
  pending_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  base::MutexLock lock(&mutex_);
  applied_more_ = true;
  if (wake_when_applied_ && std::exchange(sleeping_, false)) wake_.Signal();
}

void NodeImpl::Wake() {
  base::MutexLock lock(&mutex_);
  inbox_.woken = true;
  if (std::exchange(sleeping_, false)) wake_.Signal();
}

// --- On the raft thread. ---

void NodeImpl::Run() {
  Pump();
  Inbox inbox;
  while (WaitForWork(&inbox)) {
    const Time now = BootNow();
    for (Message& message : inbox.messages) core_.Receive(now, std::move(message));
    if (const Index applied = apply_.applied(); applied > told_applied_) {
      told_applied_ = applied;
      core_.Applied(now, applied);
    }
    if (now >= core_.NextDeadline()) core_.Tick(now);
    TakeReads(std::move(inbox.reads));
    for (Proposed& proposed : inbox.proposals) proposals_.push_back(std::move(proposed));
    inbox = Inbox{};
    TakeProposals(&proposals_);
    Pump();
    if (absl::Status status = snapshotter_.Step(now); !status.ok()) Fail(status);
    SettleWhenQuiet(now);
  }
  AnswerAll(std::move(inbox));
}

// Nothing comes in any more: what is left waits in vain.
void NodeImpl::AnswerAll(Inbox inbox) {
  for (Proposed& proposed : inbox.proposals) proposals_.push_back(std::move(proposed));
  for (Proposed& proposed : std::exchange(proposals_, {})) proposed.callback(StoppedStatus());
  DropWaiters(StoppedStatus());
  for (ReadCallback& read : inbox.reads) read(StoppedStatus());
  for (auto& [id, read] : std::exchange(reads_, {})) read(StoppedStatus());
}

Time NodeImpl::WakeAt() const {
  Time at = std::min(core_.NextDeadline(), snapshotter_.NextDeadline());
  if (disk_full_retry_.has_value()) at = std::min(at, *disk_full_retry_);
  if (settle_at_.has_value()) at = std::min(at, *settle_at_);
  return at;
}

// Returns false when the node stops. Otherwise there is something to do, or a deadline has come.
bool NodeImpl::WaitForWork(Inbox* inbox) {
  const Time at = WakeAt();
  // A wake costs more than a batch: progress is asked for only where something waits for it.
  const bool wake_when_applied =
      !core_.CanReadAlone() || !reads_.empty() || core_.commit_index() > handed_;
  base::MutexLock lock(&mutex_);
  wake_when_applied_ = wake_when_applied;
  while (!stopping_ && inbox_.empty() && proposals_.empty() &&
         !(wake_when_applied && applied_more_)) {
    sleeping_ = true;
    if (at == Time::max()) {
      wake_.Wait(&mutex_);
    } else {
      const Duration wait = at - BootNow();
      if (wait <= Duration{0} || !wake_.WaitFor(&mutex_, wait)) break;
    }
  }
  sleeping_ = false;
  applied_more_ = false;
  std::swap(*inbox, inbox_);
  return !stopping_;
}

// One group's worth; the rest waits for the next.
void NodeImpl::TakeProposals(std::deque<Proposed>* proposals) {
  std::vector<Proposed> batch;
  uint64_t records_bytes = 0;
  while (!proposals->empty()) {
    const uint64_t bytes = RecordBytes(proposals->front().bytes - Entry::kOverheadBytes);
    if (!batch.empty() && records_bytes + bytes > options_.group_bytes_max) break;
    records_bytes += bytes;
    batch.push_back(std::move(proposals->front()));
    proposals->pop_front();
  }
  if (!batch.empty()) ProposeBatch(std::move(batch), records_bytes);
}

void NodeImpl::ProposeBatch(std::vector<Proposed> batch, uint64_t records_bytes) {
  // Room on the disk comes first: once the core has an entry, it can no longer be refused.
  absl::Status room = log_->Reserve(records_bytes + kReservedForVotesBytes);
  if (room.ok() && !persists_.empty()) {
    room = absl::ResourceExhaustedError("the disk is full");
  }
  if (room.code() == absl::StatusCode::kResourceExhausted) {
    room = absl::UnavailableError(room.message());
  }
  if (!room.ok()) return Refuse(&batch, room);
  std::vector<Proposal> proposals;
  proposals.reserve(batch.size());
  for (Proposed& proposed : batch) {
    proposals.push_back({EntryKind::kCommand, std::move(proposed.command)});
  }
  const ProposeResult result = core_.Propose(BootNow(), std::move(proposals));
  switch (result.status) {
    case ProposeStatus::kAccepted:
      for (size_t i = 0; i < batch.size(); ++i) {
        waiters_.push_back({result.first + i, batch[i].bytes, std::move(batch[i].callback)});
      }
      return;
    case ProposeStatus::kNotLeader:
      return Refuse(&batch, absl::FailedPreconditionError("this server does not lead"));
    case ProposeStatus::kTransferring:
      return Refuse(&batch, absl::FailedPreconditionError("leadership is being handed over"));
    case ProposeStatus::kBusy:
      return Refuse(&batch, absl::ResourceExhaustedError(
                                StrCat("uncommitted entries exceed the limit of ",
                                       options_.core.uncommitted_bytes_max, " bytes")));
    case ProposeStatus::kTooLarge:
      return Refuse(&batch, absl::InvalidArgumentError(
                                StrCat("a command exceeds the limit of ",
                                       options_.core.append_bytes_max, " bytes")));
  }
}

void NodeImpl::Refuse(std::vector<Proposed>* batch, const absl::Status& why) {
  for (Proposed& proposed : *batch) {
    pending_bytes_.fetch_sub(proposed.bytes, std::memory_order_relaxed);
    proposed.callback(why);
  }
}

void NodeImpl::TakeReads(std::vector<ReadCallback> reads) {
  for (ReadCallback& read : reads) {
    const ReadId id{++read_last_};
    switch (core_.ReadRequest(BootNow(), id, ReadMode::kReadIndex)) {
      case ReadRequestStatus::kWaiting:
        reads_.emplace(id.value, std::move(read));
        break;
      case ReadRequestStatus::kNotLeader:
        read(absl::FailedPreconditionError("this server does not lead"));
        break;
      case ReadRequestStatus::kBusy:
        read(absl::ResourceExhaustedError(StrCat("reads that wait exceed the limit of ",
                                                 options_.core.reads_waiting_max)));
        break;
    }
  }
}

// Until the core wants nothing more that can be done at once.
void NodeImpl::Pump() {
  for (;;) {
    Output output = core_.TakeOutput();
    const bool nothing = output.empty();
    if (!nothing) Handle(&output);
    Publish();
    if (disk_full_retry_.has_value() && BootNow() < *disk_full_retry_) return;
    if (nothing && persists_.empty()) return;
    Persist();
  }
}

void NodeImpl::Handle(Output* output) {
  if (!output->persist.empty()) persists_.push_back(std::move(output->persist));
  if (options_.transport != nullptr) {
    // Published before anybody hears of it: a lease must not outlive what the messages say.
    Publish();
    for (Message& message : output->messages) options_.transport->Send(std::move(message));
  }
  for (Message& message : output->messages_after_persist) {
    after_persist_.push_back(std::move(message));
  }
  Say(*output);
  if (!output->committed.empty()) HandCommitted(std::move(output->committed));
  for (const ReadResult& result : output->reads) {
    auto read = reads_.extract(result.id.value);
    if (read.empty()) continue;
    read.mapped()(result.status == ReadStatus::kReady
                      ? absl::OkStatus()
                      : absl::FailedPreconditionError("leadership was lost"));
  }
  for (const LoadRequest& request : output->loads) Load(request);
}

// A vote was won before its winner leads, and time ran out before its candidate stood.
void NodeImpl::Say(const Output& output) {
  size_t facts_said = 0;
  const auto say_facts = [&](bool through_victory) {
    while (facts_said < output.facts.size()) {
      const Fact& fact = output.facts[facts_said];
      if (!through_victory && fact.kind == FactKind::kElectionWon) return;
      const LogLine line = WordFact(fact);
      Log(line.level, line.text);
      ++facts_said;
    }
  };
  for (const RoleChange& change : output.role_changes) {
    say_facts(/*through_victory=*/change.role == Role::kLeader);
    const bool led = role_.role == Role::kLeader;
    role_ = change;
    const auto line = WordRole(change, options_.address);
    if (line.has_value() && (line->text != said_role_ || change.role == Role::kCandidate)) {
      Log(line->level, line->text);
      said_role_ = line->text;
    }
    if (led && change.role != Role::kLeader) DropWaiters(LostStatus());
    Publish();
    if (options_.on_role_change) options_.on_role_change(change);
  }
  say_facts(/*through_victory=*/true);
}

void NodeImpl::Load(const LoadRequest& request) {
  auto entries = log_->Read(request.first, request.last, request.bytes_max);
  if (!entries.ok()) return Fail(entries.status());
  if (entries->empty() && request.peer.empty()) {
    return Fail(absl::DataLossError(StrCat("the log has no entry ", request.first.value)));
  }
  core_.EntriesLoaded(BootNow(), request, std::move(*entries));
}

void NodeImpl::HandCommitted(std::vector<Entry> entries) {
  ApplyBatch batch;
  while (!waiters_.empty() && waiters_.front().index <= entries.back().index) {
    batch.waiters.push_back(std::move(waiters_.front()));
    waiters_.pop_front();
  }
  batch.entries = std::move(entries);
  handed_ = batch.entries.back().index;
  uint64_t bytes = 0;
  for (const Entry& entry : batch.entries) bytes += entry.bytes();
  snapshotter_.Handed(handed_, bytes);
  apply_.Push(std::move(batch));
}

// The one place that writes. All that the core handed out shares one sync.
void NodeImpl::Persist() {
  if (!persists_.empty()) {
    const absl::Status status = log_->Append(persists_);
    const Time now = BootNow();
    if (status.code() == absl::StatusCode::kResourceExhausted) {
      // Nothing was written and nothing is promised: the core waits, as behind a slow disk.
      Log(LogLevel::kError, StrCat("raft: disk full: ", base::ToStd(status.message())));
      disk_full_retry_ = now + kFullDiskRetry;
      return;
    }
    if (!status.ok()) return Fail(status);
    disk_full_retry_.reset();
    settle_at_ = now + kSettleAfter;
    core_.Persisted(now, persists_.back().id);
    persists_.clear();
  }
  std::vector<Message> messages = std::exchange(after_persist_, {});
  if (options_.transport == nullptr) return;
  for (Message& message : messages) options_.transport->Send(std::move(message));
}

void NodeImpl::SettleWhenQuiet(Time now) {
  if (!settle_at_.has_value() || now < *settle_at_) return;
  settle_at_.reset();
  if (absl::Status status = log_->Settle(); !status.ok()) Fail(status);
}

// The file system has ended the process, unless it is a test's: then nothing more may be promised.
void NodeImpl::Fail(const absl::Status& why) {
  Log(LogLevel::kError, StrCat("raft: fatal: ", why.ToString()));
  options_.file_system->Fatal(why);
  persists_.clear();
  {
    base::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  DropWaiters(absl::UnknownError(StrCat("the log failed: ", why.ToString())));
}

void NodeImpl::DropWaiters(const absl::Status& why) {
  for (Waiter& waiter : std::exchange(waiters_, {})) {
    pending_bytes_.fetch_sub(waiter.bytes, std::memory_order_relaxed);
    waiter.callback(why);
  }
}

void NodeImpl::Publish() {
  if (view_.Publish(core_, handed_) && options_.on_role_change) options_.on_role_change(role_);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Node>> Node::Open(NodeOptions options,
                                                 StateMachine* state_machine) {
  auto recovered = RecoverNode(options, state_machine);
  if (!recovered.ok()) return recovered.status();
  auto node = std::make_unique<NodeImpl>(options, state_machine, *std::move(recovered));
  absl::Status status = CheckIsOwn(options, node->core().configuration().configuration);
  if (!status.ok()) return status;
  node->WakeUp();
  return node;
}

}  // namespace consul::raft
