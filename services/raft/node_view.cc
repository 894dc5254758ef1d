#include "services/raft/node_view.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "services/base/check.h"

namespace consul::raft {

namespace {

// Members() is for people and for autopilot: what they see may be so old.
constexpr Duration kMembersInterval = std::chrono::milliseconds(10);

}  // namespace

Time BootNow() {
  timespec now;
  CONSUL_CHECK(::clock_gettime(CLOCK_BOOTTIME, &now) == 0);
  return Time(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
}

bool NodeView::Publish(const Core& core, Index handed) {
  const ServerId leader = core.leader();
  const bool ready = core.LeadsAndAppliedOwnTerm();
  const PlacedConfiguration& placed = core.configuration();
  term_.store(core.term().value, std::memory_order_relaxed);
  leader_known_.store(!leader.empty(), std::memory_order_relaxed);
  member_.store(core.is_member(), std::memory_order_relaxed);
  had_contact_.store(core.had_contact(), std::memory_order_relaxed);
  last_index_.store(core.last_index().value, std::memory_order_relaxed);
  last_term_.store(core.last_term().value, std::memory_order_relaxed);
  handed_.store(handed.value, std::memory_order_relaxed);
  contact_at_.store(core.contact_at().time_since_epoch().count(), std::memory_order_relaxed);
  // A lease covers what was committed until it was published; so that comes first.
  commit_.store(core.commit_index().value, std::memory_order_release);
  lease_until_.store(core.LeaseUntil().time_since_epoch().count(), std::memory_order_release);
  // A learner, or a member until its removal, may have acknowledged what this server has not
  // applied.
  alone_.store(core.CanReadAlone() && placed.configuration.members().size() == 1 &&
                   core.applied_index() >= placed.index,
               std::memory_order_release);
  role_.store(core.role(), std::memory_order_release);
  {
    base::MutexLock lock(&mutex_);
    if (leader_ != leader) leader_ = leader;
    if (configuration_ != placed) configuration_ = placed;
    if (snapshot_ != core.snapshot()) snapshot_ = core.snapshot();
  }
  PublishMembers(core);
  return !ready_.exchange(ready, std::memory_order_acq_rel) && ready;
}

void NodeView::PublishMembers(const Core& core) {
  const bool leads = core.role() == Role::kLeader;
  if (!leads && members_at_ == Time{}) return;
  const Time now = BootNow();
  if (leads && now < members_at_ + kMembersInterval) return;
  members_at_ = leads ? now : Time{};
  std::vector<MemberProgress> members = core.Members();
  base::MutexLock lock(&mutex_);
  members_ = std::move(members);
}

bool NodeView::LeaseHolds(Index applied) const {
  const Time until{Duration(lease_until_.load(std::memory_order_acquire))};
  if (until == Time::min()) return false;
  if (applied.value < commit_.load(std::memory_order_acquire)) return false;
  return until == Time::max() || BootNow() < until;
}

std::vector<MemberProgress> NodeView::members() const {
  base::MutexLock lock(&mutex_);
  return members_;
}

NodeStatus NodeView::status(Index applied) const {
  NodeStatus status;
  status.role = role_.load(std::memory_order_acquire);
  status.term = Term{term_.load(std::memory_order_relaxed)};
  status.leader_known = leader_known_.load(std::memory_order_relaxed);
  status.leader_ready = ready_.load(std::memory_order_acquire);
  status.commit_index = Index{handed_.load(std::memory_order_relaxed)};
  status.applied_index = applied;
  status.lease_holds = LeaseHolds(applied);
  status.alone = alone();
  status.member = member_.load(std::memory_order_relaxed);
  status.last_index = Index{last_index_.load(std::memory_order_relaxed)};
  if (status.role != Role::kLeader) {
    status.had_contact = had_contact_.load(std::memory_order_relaxed);
    const Time contact_at{Duration(contact_at_.load(std::memory_order_relaxed))};
    status.last_contact = std::max(BootNow() - contact_at, Duration{0});
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
