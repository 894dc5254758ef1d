#include "services/raft/apply_thread.h"

#include <pthread.h>

#include <chrono>
#include <utility>

#include "services/base/check.h"

namespace consul::raft {
namespace {

constexpr std::chrono::seconds kIdleAfter{1};

}  // namespace

ApplyThread::ApplyThread(StateMachine* state_machine, Index begin, Times times,
                         std::function<void(Index, uint64_t)> applied)
    : state_machine_(state_machine),
      times_(times),
      applied_(std::move(applied)),
      applied_index_(begin.value),
      thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "apply");
}

ApplyThread::~ApplyThread() { Stop(); }

void ApplyThread::Push(ApplyBatch batch) {
  CONSUL_CHECK(!batch.entries.empty());
  pending_.fetch_add(batch.entries.size(), std::memory_order_relaxed);
  Enqueue(std::move(batch));
}

void ApplyThread::Freeze(std::function<void(std::unique_ptr<FrozenState>)> frozen) {
  Enqueue(std::move(frozen));
}

void ApplyThread::Restore(Index index, SnapshotSource source,
                          std::function<void(absl::Status)> restored) {
  Enqueue(Restoring{index, std::move(source), std::move(restored)});
}

void ApplyThread::Enqueue(Work work) {
  bool wake = false;
  {
    base::MutexLock lock(&mutex_);
    queue_.push_back(std::move(work));
    wake = queue_.size() == 1;
  }
  // A thread that is woken under the mutex would only wait for it.
  if (wake) wake_.Signal();
}

void ApplyThread::Stop() {
  {
    base::MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.Signal();
  }
  if (thread_.joinable()) thread_.join();
}

void ApplyThread::Run() {
  bool idle = false;
  for (;;) {
    Work work;
    {
      base::MutexLock lock(&mutex_);
      bool quiet = false;
      while (queue_.empty() && !stopping_ && !quiet) {
        if (idle) {
          wake_.Wait(&mutex_);
        } else {
          quiet = !wake_.WaitFor(&mutex_, kIdleAfter);
        }
      }
      if (queue_.empty() && stopping_) return;
      idle = queue_.empty();
      if (!idle) {
        work = std::move(queue_.front());
        queue_.pop_front();
      }
    }
    if (idle) {
      state_machine_->Idle();
    } else {
      Do(&work);
    }
  }
}

void ApplyThread::Do(Work* work) {
  if (auto* batch = std::get_if<ApplyBatch>(work)) {
    Apply(batch);
  } else if (auto* frozen = std::get_if<Freezing>(work)) {
    const base::MetricTimer took;
    std::unique_ptr<FrozenState> state = state_machine_->Freeze();
    times_.freeze->Add(took.ms());
    (*frozen)(std::move(state));
  } else {
    RestoreNow(&std::get<Restoring>(*work));
  }
}

void ApplyThread::RestoreNow(Restoring* restoring) {
  CONSUL_CHECK(restoring->index > applied());
  const base::MetricTimer took;
  absl::Status status = state_machine_->Restore(restoring->index, restoring->source);
  times_.restore->Add(took.ms());
  const bool restored = status.ok();
  if (restored) applied_index_.store(restoring->index.value, std::memory_order_release);
  restoring->restored(std::move(status));
  if (restored) applied_(restoring->index, 0);
}

void ApplyThread::Apply(ApplyBatch* batch) {
  const std::vector<Entry>& entries = batch->entries;
  results_.clear();
  const base::MetricTimer took;
  state_machine_->ApplyBatch(entries, batch->waiters.empty() ? nullptr : &results_);
  times_.apply->Add(took.ms() / static_cast<double>(entries.size()), entries.size());
  CONSUL_CHECK(batch->waiters.empty() || results_.size() == entries.size());
  applied_index_.store(entries.back().index.value, std::memory_order_release);
  pending_.fetch_sub(entries.size(), std::memory_order_relaxed);
  uint64_t bytes = 0;
  for (Waiter& waiter : batch->waiters) {
    const size_t at = waiter.index - entries.front().index;
    waiter.callback(Applied{waiter.index, std::move(results_[at])});
    bytes += waiter.bytes;
  }
  applied_(entries.back().index, bytes);
}

}  // namespace consul::raft
