#include "services/gossip/event_coalescer.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace consul::gossip {
namespace {

// Whether an update would be told between the two.
bool Differ(const ClusterMember& a, const ClusterMember& b) {
  return std::tie(a.id, a.address, a.tags, a.protocol, a.versions) !=
         std::tie(b.id, b.address, b.tags, b.protocol, b.versions);
}

}  // namespace

void CoalescePeriod::Came(Time now) {
  if (end_ == Time::max()) started_ = now;
  end_ = std::min(started_ + period_, now + quiescent_period_);
}

std::vector<MemberEvent> MemberEventCoalescer::Add(Time now, MemberEvent event) {
  if (period_.off()) return {std::move(event)};
  std::vector<MemberEvent> told;
  if (waiting_.size() >= members_max_ && !waiting_.contains(event.member.name)) told = Flush();
  period_.Came(now);
  const auto [waiting, is_new] = waiting_.try_emplace(event.member.name, event);
  if (is_new) return told;
  // A member that appears and then changes has appeared, as what it is now.
  const bool still_joins = waiting->second.kind == MemberEventKind::kJoin &&
                           event.kind == MemberEventKind::kUpdate;
  waiting->second = std::move(event);
  if (still_joins) waiting->second.kind = MemberEventKind::kJoin;
  return told;
}

std::vector<MemberEvent> MemberEventCoalescer::Take(Time now) {
  if (now < period_.end()) return {};
  return Flush();
}

std::vector<MemberEvent> MemberEventCoalescer::Flush() {
  period_.Ended();
  std::vector<MemberEvent> events;
  for (auto& [name, event] : std::exchange(waiting_, {})) {
    if (IsNews(&event)) events.push_back(std::move(event));
  }
  return events;
}

bool MemberEventCoalescer::IsNews(MemberEvent* event) {
  const std::string& name = event->member.name;
  switch (event->kind) {
    case MemberEventKind::kUpdate:
      if (const auto last = told_.find(name); last != told_.end()) {
        last->second.kind = MemberEventKind::kJoin;  // it is there
        last->second.member = event->member;
      }
      return true;
    case MemberEventKind::kReap:
      told_.erase(name);
      return true;
    case MemberEventKind::kJoin:
    case MemberEventKind::kLeave:
    case MemberEventKind::kFailed:
      break;
  }
  const auto [found, is_first] = told_.try_emplace(name, *event);
  if (is_first) return true;
  const MemberEvent last = std::exchange(found->second, *event);
  if (last.kind != event->kind) return true;
  if (event->kind != MemberEventKind::kJoin || !Differ(last.member, event->member)) return false;
  event->kind = MemberEventKind::kUpdate;
  return true;
}

std::vector<UserEvent> UserEventCoalescer::Add(Time now, UserEvent event) {
  if (period_.off() || !event.coalesce) return {std::move(event)};
  std::vector<UserEvent> told;
  if (waiting_.size() >= names_max_ && !waiting_.contains(event.name)) told = Flush();
  period_.Came(now);
  std::vector<UserEvent>& newest = waiting_[event.name];
  if (!newest.empty() && newest.front().time > event.time) return told;
  if (!newest.empty() && newest.front().time < event.time) newest.clear();
  newest.push_back(std::move(event));
  return told;
}

std::vector<UserEvent> UserEventCoalescer::Take(Time now) {
  if (now < period_.end()) return {};
  return Flush();
}

std::vector<UserEvent> UserEventCoalescer::Flush() {
  period_.Ended();
  std::vector<UserEvent> events;
  for (auto& [name, newest] : std::exchange(waiting_, {})) {
    for (UserEvent& event : newest) events.push_back(std::move(event));
  }
  return events;
}

}  // namespace consul::gossip
