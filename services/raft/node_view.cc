#include "services/raft/node_view.h"

#include <time.h>

#include <algorithm>
#include <chrono>

#include "services/base/check.h"

namespace consul::raft {

Time BootNow() {
  timespec now;
  CONSUL_CHECK(::clock_gettime(CLOCK_BOOTTIME, &now) == 0);
  return Time(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
}

bool NodeView::Publish(const Core& core, Index handed) {
  const ServerId leader = core.leader();
  const bool ready = core.LeaseUntil() != Time::min();
  term_.store(core.term().value, std::memory_order_relaxed);
  leader_known_.store(!leader.empty(), std::memory_order_relaxed);
  last_index_.store(core.last_index().value, std::memory_order_relaxed);
  last_term_.store(core.last_term().value, std::memory_order_relaxed);
  commit_.store(handed.value, std::memory_order_relaxed);
  heard_at_.store(core.leader_heard_at().time_since_epoch().count(), std::memory_order_relaxed);
  alone_.store(core.CanReadAlone(), std::memory_order_release);
  role_.store(core.role(), std::memory_order_release);
  {
    base::MutexLock lock(&mutex_);
    if (leader_ != leader) leader_ = leader;
    if (configuration_ != core.configuration()) configuration_ = core.configuration();
    if (snapshot_ != core.snapshot()) snapshot_ = core.snapshot();
  }
  return !ready_.exchange(ready, std::memory_order_acq_rel) && ready;
}

NodeStatus NodeView::status() const {
  NodeStatus status;
  status.role = role_.load(std::memory_order_acquire);
  status.term = Term{term_.load(std::memory_order_relaxed)};
  status.leader_known = leader_known_.load(std::memory_order_relaxed);
  status.leader_ready = ready_.load(std::memory_order_acquire);
  status.commit_index = Index{commit_.load(std::memory_order_relaxed)};
  status.last_index = Index{last_index_.load(std::memory_order_relaxed)};
  if (status.role != Role::kLeader) {
    const Time heard_at{Duration(heard_at_.load(std::memory_order_relaxed))};
    status.last_contact = std::max(BootNow() - heard_at, Duration{0});
  }
  return status;
}

ServerId NodeView::leader() const {
  base::MutexLock lock(&mutex_);
  return leader_;
}

PlacedConfiguration NodeView::configuration() const {
  base::MutexLock lock(&mutex_);
  return configuration_;
}

SnapshotMeta NodeView::snapshot() const {
  base::MutexLock lock(&mutex_);
  return snapshot_;
}

}  // namespace consul::raft
