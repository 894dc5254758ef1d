// services/raft/apply_thread.h
//
// The one thread that touches the state machine: takes committed entries in order, applies each
// batch, and answers those who proposed them.
//
// Threads: Push, Freeze and Restore by one thread, Stop by the owner; callbacks on the apply
// thread.
#ifndef CONSUL_SERVICES_RAFT_APPLY_THREAD_H_
#define CONSUL_SERVICES_RAFT_APPLY_THREAD_H_

#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "services/base/metrics.h"
#include "services/base/mutex.h"
#include "services/raft/core/types.h"
#include "services/raft/state_machine.h"
#include "services/raft/waiter.h"

namespace consul::raft {

struct ApplyBatch {
  std::vector<Entry> entries;   // contiguous, not empty
  std::vector<Waiter> waiters;  // for some of them
};

class ApplyThread {
 public:
  // How long things take, in milliseconds.
  struct Times {
    base::MetricSeries* apply;  // an entry, on average over its batch
    base::MetricSeries* restore;
    base::MetricSeries* freeze;
  };

  // `applied` is told after each batch, once its waiters are answered: how far the state machine is
  // and how many bytes of proposals that let go.
  // `begin` is where the state machine stands: its snapshot's index.
  ApplyThread(StateMachine* state_machine, Index begin, Times times,
              std::function<void(Index, uint64_t)> applied);
  ~ApplyThread();

  void Push(ApplyBatch batch);

  // Freezes the state as what was pushed so far leaves it, and gives it to `frozen`.
  void Freeze(std::function<void(std::unique_ptr<FrozenState>)> frozen);

  // Behind what was pushed so far, puts the state at `index` in place of what is there, and tells
  // `restored` what StateMachine::Restore said. When it is OK the next batch begins behind `index`;
  // otherwise nothing has changed.
  // REQUIRES: `index` is behind everything pushed; nothing is pushed before `restored` has run.
  void Restore(Index index, SnapshotSource source, std::function<void(absl::Status)> restored);

  // What the state machine has applied; readers see it before any waiter is answered.
  Index applied() const { return Index{applied_index_.load(std::memory_order_acquire)}; }
  // Entries that wait to be applied.
  uint64_t pending() const { return pending_.load(std::memory_order_relaxed); }

  // Applies what was pushed, then ends the thread. Idempotent.
  void Stop();

 private:
  struct Restoring {
    Index index;
    SnapshotSource source;
    std::function<void(absl::Status)> restored;
  };
  using Freezing = std::function<void(std::unique_ptr<FrozenState>)>;
  using Work = std::variant<ApplyBatch, Freezing, Restoring>;

  void Enqueue(Work work);
  void Run();
  void Do(Work* work);
  void Apply(ApplyBatch* batch);
  void RestoreNow(Restoring* restoring);

  StateMachine* const state_machine_;
  const Times times_;
  const std::function<void(Index, uint64_t)> applied_;
  std::atomic<uint64_t> applied_index_;
  std::atomic<uint64_t> pending_{0};
  base::Mutex mutex_;
  base::CondVar wake_;
  std::deque<Work> queue_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<ApplyResult> results_;
  std::thread thread_;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_APPLY_THREAD_H_
