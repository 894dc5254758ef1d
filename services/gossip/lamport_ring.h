// services/gossip/lamport_ring.h
//
// What was heard lately, by Lamport time: a ring of 512 slots, one a time. Gossip brings everything
// many times; what is in the ring is known already, and what is older than the ring is refused, so
// each word counts exactly once however late it comes.
//
// Threads: a value type with one owner.
// Background: services/gossip/README.md (Cluster).
#ifndef CONSUL_SERVICES_GOSSIP_LAMPORT_RING_H_
#define CONSUL_SERVICES_GOSSIP_LAMPORT_RING_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "services/gossip/types.h"

namespace consul::gossip {

enum class Novelty : uint8_t {
  kNew,
  kKnown,
  kTooOld,  // its slot is gone: known or not, nobody can tell any more
  kFull,    // too many different ones of one time
};

template <typename Item>
class LamportRing {
 public:
  static constexpr size_t kSlots = 512;

  explicit LamportRing(size_t items_per_time_max) : items_per_time_max_(items_per_time_max) {}

  // Takes `item` in when it is new. `next` is the clock's next time, which has witnessed `time`:
  // the ring reaches from there back over kSlots times. REQUIRES: time < next.
  Novelty Insert(LamportTime time, LamportTime next, Item item) {
    if (!Reaches(time, next)) return Novelty::kTooOld;
    if (slots_ == nullptr) slots_ = std::make_unique<Slots>();
    Slot& slot = (*slots_)[time.value % kSlots];
    if (slot.time != time) {  // what stood here is older by a whole turn
      slot.time = time;
      slot.items.clear();
    }
    if (std::find(slot.items.begin(), slot.items.end(), item) != slot.items.end()) {
      return Novelty::kKnown;
    }
    if (slot.items.size() >= items_per_time_max_) return Novelty::kFull;
    slot.items.push_back(std::move(item));
    return Novelty::kNew;
  }

  // Calls visit(slot number, time, item) for all items that the ring still reaches, in the order of
  // their times.
  template <typename Visit>
  void ForEach(LamportTime next, Visit visit) const {
    if (slots_ == nullptr) return;
    const uint64_t first = next.value > kSlots ? next.value - kSlots : 0;
    for (uint64_t time = first; time < next.value; ++time) {
      const Slot& slot = (*slots_)[time % kSlots];
      if (slot.time.value != time) continue;
      for (const Item& item : slot.items) visit(time % kSlots, slot.time, item);
    }
  }

 private:
  struct Slot {
    LamportTime time;
    std::vector<Item> items;
  };
  using Slots = std::array<Slot, kSlots>;

  static bool Reaches(LamportTime time, LamportTime next) {
    return next.value <= kSlots || time.value >= next.value - kSlots;
  }

  size_t items_per_time_max_;
  std::unique_ptr<Slots> slots_;  // made for the first item: most members never hear any
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_LAMPORT_RING_H_
