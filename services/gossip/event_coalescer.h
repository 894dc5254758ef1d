// services/gossip/event_coalescer.h
//
// Holds events back for a moment, so that what changes several times in it is told once: of each
// key (a member, or the name of a user event) the last one. A batch ends when nothing came for the
// quiescent period, and after the period in any case.
//
// Threads: a value type with one owner.
// Background: services/gossip/README.md (Cluster).
#ifndef CONSUL_SERVICES_GOSSIP_EVENT_COALESCER_H_
#define CONSUL_SERVICES_GOSSIP_EVENT_COALESCER_H_

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "services/gossip/cluster_output.h"
#include "services/gossip/types.h"

namespace consul::gossip {

// When a batch ends.
class CoalescePeriod {
 public:
  // A `period` of zero: off.
  CoalescePeriod(Duration period, Duration quiescent_period)
      : period_(period), quiescent_period_(quiescent_period) {}

  bool off() const { return period_ == Duration{0}; }
  void Came(Time now);
  void Ended() { end_ = Time::max(); }
  // Time::max() while nothing waits.
  Time end() const { return end_; }

 private:
  const Duration period_;
  const Duration quiescent_period_;
  Time started_;
  Time end_ = Time::max();
};

// Of each member the last event, unless it is what was told of it last; updates are always told.
// Who was gone and is back, though not as it was, has been updated.
class MemberEventCoalescer {
 public:
  MemberEventCoalescer(Duration period, Duration quiescent_period, size_t members_max)
      : period_(period, quiescent_period), members_max_(members_max) {}

  // Events to tell at once: `event` itself when coalescing is off, a whole batch when it is full.
  std::vector<MemberEvent> Add(Time now, MemberEvent event);
  // The batch when it has ended at `now`, by name; else nothing.
  std::vector<MemberEvent> Take(Time now);
  Time deadline() const { return period_.end(); }

 private:
  std::vector<MemberEvent> Flush();
  bool IsNews(MemberEvent* event);

  CoalescePeriod period_;
  const size_t members_max_;
  std::map<std::string, MemberEvent> waiting_;
  std::map<std::string, MemberEvent> told_;  // last, of members that are remembered
};

// Of each name the events of the newest Lamport time. Those that do not ask for it are told at
// once.
class UserEventCoalescer {
 public:
  UserEventCoalescer(Duration period, Duration quiescent_period, size_t names_max)
      : period_(period, quiescent_period), names_max_(names_max) {}

  std::vector<UserEvent> Add(Time now, UserEvent event);
  std::vector<UserEvent> Take(Time now);
  Time deadline() const { return period_.end(); }

 private:
  std::vector<UserEvent> Flush();

  CoalescePeriod period_;
  const size_t names_max_;
  std::map<std::string, std::vector<UserEvent>> waiting_;  // all of one time
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_EVENT_COALESCER_H_
