// services/gossip/suspicion.h
//
// How long a suspected member may stay suspected before it is declared dead. Lifeguard shortens the
// wait as independent members confirm the suspicion; this file is that curve and nothing else.
//
// Threads: pure value types; their owner's.
// Background: services/gossip/swim.md (Suspicion); "Lifeguard" (Dadgar 2017), section IV.
#ifndef CONSUL_SERVICES_GOSSIP_SUSPICION_H_
#define CONSUL_SERVICES_GOSSIP_SUSPICION_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "services/gossip/member_table.h"
#include "services/gossip/swim_options.h"
#include "services/gossip/types.h"

namespace consul::gossip {

// The bounds of a wait. Without anybody who could confirm, the two timeouts are one.
struct SuspicionBounds {
  Duration timeout_min;
  Duration timeout_max;
  int confirmations_max = 0;  // from when on the wait is timeout_min
};

// For a pool of `living_count` living members. Grows with the pool's logarithm, as the time does
// that a refutation takes to get around.
SuspicionBounds BoundsFor(const SwimOptions& options, size_t living_count);

class Suspicion {
 public:
  // Begins at `start`, by the word of `accuser`.
  Suspicion(const SuspicionBounds& bounds, Time start, std::string_view accuser);

  // Counts `accuser`. True when it is a new one and there were not enough yet: then others should
  // hear of it. The first accuser never counts, nor does anybody twice.
  bool Confirm(std::string_view accuser);

  // When the member is dead. Each confirmation brings it nearer, down to timeout_min at
  // confirmations_max; it never lies before start + timeout_min or after start + timeout_max.
  Time deadline() const { return start_ + timeout_; }

  // Moves all of it to later: this process slept, and heard no refutation meanwhile.
  void Postpone(Duration by) { start_ += by; }

  Time start() const { return start_; }
  const SuspicionBounds& bounds() const { return bounds_; }
  // Independent confirmations of the first accuser's word.
  int confirmations() const { return static_cast<int>(accusers_.size()) - 1; }

 private:
  SuspicionBounds bounds_;
  Time start_;
  Duration timeout_;
  std::vector<uint64_t> accusers_;  // hashes of their names; the first accuser's is the first
};

// The suspicions that run at once, by the rows of their members.
class Suspicions {
 public:
  // Begins one, in place of an earlier one of the same member.
  void Begin(Slot slot, const Suspicion& suspicion);
  // Suspicion::Confirm. False when the member is not suspected.
  bool Confirm(Slot slot, std::string_view accuser);
  // The member is no suspect any more, if it was one.
  void End(Slot slot);
  // Takes out one whose deadline has come; none when there is none.
  Slot TakeDue(Time now);
  // Suspicion::Postpone of all.
  void Postpone(Duration by);

  Time next_deadline() const { return due_.empty() ? Time::max() : due_.begin()->first; }
  size_t size() const { return running_.size(); }
  // Null when the member is not suspected.
  const Suspicion* Find(Slot slot) const;

 private:
  std::map<Slot, Suspicion> running_;
  std::set<std::pair<Time, Slot>> due_;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_SUSPICION_H_
