// Who works on Core. A turn is all that is done with what has come in until then, and one thread at
// a time has it. The thread `raft` takes it when something is due, and for the callers of this
// server. What another server says, and what the disk says, is worked on by the thread that brings
// it, where nobody has the turn: to wake another thread takes longer than most turns. So is the
// first proposal or read where nothing is under way; those behind it share a turn.
#include <algorithm>
#include <chrono>
#include <iterator>
#include <optional>
#include <utility>

#include "services/raft/node_impl.h"

namespace consul::raft {
namespace {

// Of a thread that is not raft's alone: others wait for it, too.
constexpr int kTurnsInARow = 3;

// What readers that have lent themselves may take of such a thread for a message: heartbeats, and
// the acks of writes, wait behind it.
constexpr std::chrono::milliseconds kReadersMax{1};

}  // namespace

void NodeImpl::Run() {
  Inbox inbox;
  Pump();
  EndTurn(/*next=*/nullptr);
  while (WaitForTurn(&inbox)) {
    Work(&inbox, /*borrower=*/nullptr, /*on_raft_thread=*/true);
    EndTurn(/*next=*/nullptr);
  }
  AnswerAll(std::move(inbox));
}

// Of the thread `raft`. Returns false when the node stops; then this turn is the last.
bool NodeImpl::WaitForTurn(Inbox* inbox) {
  base::MutexLock lock(&mutex_);
  while (turn_taken_ || !IsDueLocked()) {
    sleeping_ = true;
    sleeping_until_ = turn_taken_ ? Time::max() : due_.at;
    if (sleeping_until_ == Time::max()) {
      wake_.Wait(&mutex_);
    } else if (const Duration wait = sleeping_until_ - BootNow(); wait > Duration{0}) {
      wake_.WaitFor(&mutex_, wait);
    }
  }
  sleeping_ = false;
  turn_taken_ = true;
  applied_more_ = false;
  std::swap(*inbox, inbox_);
  return !stopping_;
}

bool NodeImpl::IsDueLocked() const {
  return stopping_ || due_.at_once || inbox_.urgent() || HasDueReadsLocked() ||
         (due_.when_applied && applied_more_) ||
         (due_.at != Time::max() && BootNow() >= due_.at);
}

bool NodeImpl::HasDueReadsLocked() const {
  for (size_t mode = 0; mode < due_.asking.size(); ++mode) {
    if (inbox_.reads_of[mode] && !due_.asking[mode]) return true;
  }
  return false;
}

// Of any other thread; false: it is not for the taking.
bool NodeImpl::TakeTurnLocked(Inbox* inbox) {
  if (turn_taken_ || stopping_ || !due_.anybody) return false;
  turn_taken_ = true;
  applied_more_ = false;
  std::swap(*inbox, inbox_);
  inbox_.woken = std::exchange(inbox->woken, false);
  return true;
}

// Goes on with what came meanwhile: to wake the thread `raft` for it would take longer. The thread
// `disk` does not, for it may have been given something to write.
void NodeImpl::WorkHere(Inbox inbox, Bringer bringer) {
  std::optional<base::Borrower> borrower;
  if (bringer == Bringer::kPeer) borrower.emplace(kReadersMax);
  const int turns_max = bringer == Bringer::kDisk ? 1 : kTurnsInARow;
  for (int turns = 1;; ++turns) {
    Work(&inbox, borrower.has_value() ? &*borrower : nullptr, /*on_raft_thread=*/false);
    if (!EndTurn(turns < turns_max ? &inbox : nullptr)) return;
  }
}

// Only the thread `raft` may wait for others of this class to end, and for files.
void NodeImpl::Work(Inbox* inbox, base::Borrower* borrower, bool on_raft_thread) {
  Time now = BootNow();
  asked_in_vain_ = false;
  TakeDisk();
  if (on_raft_thread) disk_.SetThreaded(!IsOnlyMember());
  TakeHeld(now);
  TakeInbox(now, inbox);
  if (borrower != nullptr && LetReadersGoOn(now, borrower, inbox)) now = BootNow();
  TakeReads(now, std::exchange(inbox->reads, {}));
  TakeOrders(now);
  TakeProposals();
  TakeForwarded();
  Pump();
  GiveUpStalled(now);
  if (on_raft_thread) StepTransfers(now);
  AskLeader(now);
  if (on_raft_thread) {
    if (absl::Status status = snapshotter_.Step(now); !status.ok()) Fail(status);
  }
  KeepDisk(now);
  MeasureContact(now);
}

// Those that the messages of this turn let go on, where they have lent themselves to whoever brings
// that: what they ask next shares a round with what is asked already. Returns whether there were
// any.
bool NodeImpl::LetReadersGoOn(Time now, base::Borrower* borrower, Inbox* inbox) {
  if (reads_.empty() && barriers_.empty()) return false;
  Pump();
  AnswerBarriers(now);
  FlushAnswers();
  if (!borrower->Run()) return false;
  Inbox more;
  {
    base::MutexLock lock(&mutex_);
    std::swap(more, inbox_);
    inbox_.woken = std::exchange(more.woken, false);
  }
  TakeInbox(BootNow(), &more);
  std::move(more.reads.begin(), more.reads.end(), std::back_inserter(inbox->reads));
  return true;
}

// Returns whether the caller has the next turn, too, for which it asks with `next`, an empty inbox.
bool NodeImpl::EndTurn(Inbox* next) {
  Due due;
  due.at = WakeAt();
  due.when_applied = WantsProgress();
  const bool waits =
      !proposals_.empty() || !forwarded_.empty() || !orders_.empty() || !held_.empty();
  // More than one group's worth, unless room for it is being made: then the disk speaks.
  due.at_once = !WaitsForRoom() && waits;
  disk_.EndTurn(/*anybody_waits=*/waits || refused_.has_value());
  // Without a thread of its own the disk is the thread `raft`'s, and so are snapshots on their way.
  due.anybody = disk_.threaded() && !transfers_.busy();
  for (const ReadMode mode : {ReadMode::kLease, ReadMode::kReadIndex}) {
    due.asking[static_cast<size_t>(mode)] = !reads_.empty() || barriers_.asking(mode);
  }
  due.quiet = due.anybody && reads_.empty() && barriers_.empty() && waiters_.empty() &&
              forwarder_.empty() && !due.at_once;
  base::MutexLock lock(&mutex_);
  due_ = due;
  turn_taken_ = false;
  const bool more = inbox_.urgent_for_anybody() || HasDueReadsLocked();
  if (next != nullptr && more && TakeTurnLocked(next)) return true;
  if (sleeping_ && (due.at < sleeping_until_ || IsDueLocked())) wake_.Signal();
  return false;
}

Time NodeImpl::WakeAt() const {
  Time at = std::min({core_.NextDeadline(), snapshotter_.NextDeadline(),
                      transfers_.NextDeadline(), forwarder_.NextDeadline(),
                      barriers_.NextDeadline(), RetryFullDiskAt()});
  if (settle_at_.has_value()) at = std::min(at, *settle_at_);
  return at;
}

// Whether the next turn is due as soon as more was applied. A wake costs more than a batch:
// progress is asked for only where something waits for it.
bool NodeImpl::WantsProgress() const {
  if (!reads_.empty() || barriers_.wait_to_apply() || core_.commit_index() > handed_) return true;
  if (core_.role() != Role::kLeader) return false;
  const PlacedConfiguration& placed = core_.configuration();
  return !view_.ready() || (!view_.alone() && placed.configuration.members().size() == 1);
}

}  // namespace consul::raft
