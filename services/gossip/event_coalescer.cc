#include "services/gossip/event_coalescer.h"

#include <algorithm>
#include <utility>

namespace consul::gossip {

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
    if (IsNews(name, event.kind)) events.push_back(std::move(event));
  }
  return events;
}

bool MemberEventCoalescer::IsNews(const std::string& name, MemberEventKind kind) {
  switch (kind) {
    case MemberEventKind::kUpdate:
      return true;
    case MemberEventKind::kReap:
      told_.erase(name);
      return true;
    case MemberEventKind::kJoin:
    case MemberEventKind::kLeave:
    case MemberEventKind::kFailed:
      break;
  }
  const auto [last, is_first] = told_.try_emplace(name, kind);
  if (is_first) return true;
  return std::exchange(last->second, kind) != kind;
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
