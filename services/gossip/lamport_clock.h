// services/gossip/lamport_clock.h
//
// A Lamport clock: what one member says after it has heard another gets the later time, whatever
// their machines' clocks say. Intents, user events and queries have one each.
//
// Threads: pure value type.
// Background: services/gossip/README.md (Cluster); Lamport, "Time, Clocks, and the Ordering of
// Events in a Distributed System" (1978).
#ifndef CONSUL_SERVICES_GOSSIP_LAMPORT_CLOCK_H_
#define CONSUL_SERVICES_GOSSIP_LAMPORT_CLOCK_H_

#include <algorithm>

#include "services/gossip/types.h"

namespace consul::gossip {

// Messages with a later time are malformed: a clock that is set by others never runs over.
inline constexpr LamportTime kLamportTimeMax{uint64_t{1} << 62};

class LamportClock {
 public:
  // What the next word will get. 1 at first: 0 is never.
  LamportTime next() const { return next_; }

  // The time of a word that is said now.
  LamportTime Take() {
    const LamportTime time = next_;
    next_ = next_.Next();
    return time;
  }

  // A word of this time was heard. REQUIRES: seen <= kLamportTimeMax.
  void Witness(LamportTime seen) { next_ = std::max(next_, seen.Next()); }

  // Another clock's next() was heard, of which no word has been said yet.
  void WitnessNext(LamportTime next) { next_ = std::max(next_, next); }

 private:
  LamportTime next_{1};
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_LAMPORT_CLOCK_H_
