// The part of ClusterMembers that deals with going: leaving, making others leave, trying the failed
// ones again, forgetting those that are gone for long.
#include <algorithm>
#include <vector>

#include "services/base/check.h"
#include "services/gossip/cluster_members.h"

namespace consul::gossip {

void ClusterMembers::AnnounceJoin() {
  if (leaving()) return;
  const std::string& name = context_->self_name();
  const Intent intent{context_->member_clock.Take(), kJoinIntent};
  SetIntent(name, &records_.find(name)->second, intent);
  PassOn(name, intent);
}

void ClusterMembers::SelfUpdated() {
  const std::string& name = context_->self_name();
  Tell(MemberEventKind::kUpdate, *context_->swim.Find(name), records_.find(name)->second);
}

bool ClusterMembers::ForceLeave(std::string_view name, bool prune) {
  const auto found = records_.find(name);
  if (found == records_.end() || found->second.hidden) return false;
  Hear(name, {context_->member_clock.Take(), prune ? kPruneIntent : kLeaveIntent});
  return true;
}

// ---- Leaving.

void ClusterMembers::Leave() {
  if (leaving()) return;
  context_->output.records.emplace_back(std::in_place_type<LeaveRecord>);
  leave_ = LeaveStep::kTells;
  leave_deadline_ = context_->now + context_->options.broadcast_timeout;
  const auto self = records_.find(context_->self_name());
  const Intent intent{context_->member_clock.Take(), kLeaveIntent};
  SetIntent(self->first, &self->second, intent);
  Refresh(self->first, &self->second, /*is_new=*/false);
  PassOn(self->first, intent);
  Proceed();
}

void ClusterMembers::StartSwimLeave() {
  leave_ = LeaveStep::kLeaves;
  leave_deadline_ = Time::max();  // Swim has its own
  const bool alone = context_->alone();
  context_->swim.Leave(context_->now);
  if (alone) SwimLeft();
}

// Another member has this one's name: Swim leaves by itself.
void ClusterMembers::NameLost() {
  if (leave_ == LeaveStep::kStays || leave_ == LeaveStep::kTells) StartSwimLeave();
}

void ClusterMembers::SwimLeft() {
  if (leave_ != LeaveStep::kLeaves) return;
  leave_ = LeaveStep::kHasLeft;
  const auto self = records_.find(context_->self_name());
  Refresh(self->first, &self->second, /*is_new=*/false);
  context_->output.leave_done = true;
}

// ---- Those that are gone.

Duration ClusterMembers::TimeoutOf(const Entry& entry) const {
  return entry.state == LifeState::kDead ? context_->options.reconnect_timeout
                                         : context_->options.tombstone_timeout;
}

bool ClusterMembers::IsOver(const Entry& entry) const {
  return context_->now - entry.since >= TimeoutOf(entry);
}

void ClusterMembers::Reap() {
  const std::vector<std::string> gone(gone_.begin(), gone_.end());
  for (const std::string& name : gone) ReapOne(name);
}

void ClusterMembers::ReapOne(const std::string& name) {
  const auto found = records_.find(name);
  CONSUL_CHECK(found != records_.end());
  Record& record = found->second;
  const std::optional<Entry> entry = context_->swim.Find(name);
  if (!IsOver(*entry)) {
    // One that was reaped is young again: it has been here meanwhile, and others list it.
    if (record.reaped) Refresh(name, &record, /*is_new=*/false);
    return;
  }
  if (!record.hidden) {
    const Record before = record;
    record.reaped = true;
    record.hidden = true;
    Recount(name, before, record, /*is_new=*/false);
    TellTransition(*entry, before, record, /*is_new=*/false);
  }
  const Duration age = context_->now - entry->since;
  if (age < TimeoutOf(*entry) + context_->options.reap_grace) return;
  CONSUL_CHECK(context_->swim.Evict(name));
  gone_.erase(name);
  records_.erase(found);
}

void ClusterMembers::Reconnect() {
  if (leaving()) return;
  std::vector<const std::string*> failed;
  for (const std::string& name : gone_) {
    const Record& record = records_.find(name)->second;
    if (record.hidden || record.status != MemberStatus::kFailed) continue;
    if (record.reconnect_at <= context_->now) failed.push_back(&name);
  }
  const size_t alive = counts_.listed - counts_.failed - counts_.left;
  if (failed.empty()) return;
  if (context_->random.Unit() * static_cast<double>(alive) >= static_cast<double>(failed.size())) {
    return;
  }
  const std::string& name = *failed[context_->random.Below(failed.size())];
  const Entry entry = *context_->swim.Find(name);
  const Duration wait = (context_->now - entry.since) / context_->options.reconnect_patience;
  records_.find(name)->second.reconnect_at =
      context_->now + std::min(wait, context_->options.reconnect_wait_max);
  const Endpoint& address = entry.member->info.address;
  context_->Say({ClusterFactKind::kReconnecting, name, address, 0, ""});
  reconnects_.emplace(context_->swim.Join(context_->now, address), name);
}

// ---- Time.

void ClusterMembers::Tick() {
  const Time now = context_->now;
  if (now >= reap_at_) {
    reap_at_ = now + context_->options.reap_interval;
    Reap();
  }
  if (now >= reconnect_at_) {
    reconnect_at_ = now + context_->options.reconnect_interval;
    Reconnect();
  }
  if (now >= leave_deadline_) {
    context_->Say({ClusterFactKind::kLeaveTimedOut, context_->self_name(), {}, 0, ""});
    StartSwimLeave();
  }
  TellAll(coalescer_.Take(now));
}

void ClusterMembers::Proceed() {
  if (leave_ == LeaveStep::kTells &&
      (context_->alone() || context_->swim.queue_lengths().intents == 0)) {
    StartSwimLeave();
  }
  ArmTimers();
}

void ClusterMembers::ArmTimers() {
  if (gone_.empty()) {
    reap_at_ = Time::max();
  } else if (reap_at_ == Time::max()) {
    reap_at_ = context_->now + context_->options.reap_interval;
  }
  if (counts_.failed == 0) {
    reconnect_at_ = Time::max();
  } else if (reconnect_at_ == Time::max()) {
    // Not all at the same moment: they saw it fail at about the same time.
    const Duration interval = context_->options.reconnect_interval;
    const auto half = static_cast<uint64_t>((interval / 2).count());
    reconnect_at_ = context_->now + interval / 2 +
                    Duration(static_cast<int64_t>(context_->random.Below(half + 1)));
  }
}

Time ClusterMembers::NextDeadline() const {
  return std::min({reap_at_, reconnect_at_, leave_deadline_, coalescer_.deadline()});
}

}  // namespace consul::gossip
