// services/gossip/event_buffer.h
//
// The user events of the last 512 Lamport times: against replays, and for members that come later.
// Two members find what one of them lacks by comparing a hash for each group of slots, so an
// exchange between equals costs 128 bytes however much is remembered.
//
// Threads: a value type with one owner.
// Background: services/gossip/README.md (Cluster).
#ifndef CONSUL_SERVICES_GOSSIP_EVENT_BUFFER_H_
#define CONSUL_SERVICES_GOSSIP_EVENT_BUFFER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "services/gossip/cluster_output.h"
#include "services/gossip/lamport_ring.h"
#include "services/gossip/types.h"

namespace consul::gossip {

class EventBuffer {
 public:
  // Numbers are on the wire (Note.event_hashes): frozen.
  static constexpr size_t kGroupSlots = 16;
  static constexpr size_t kGroups = LamportRing<UserEvent>::kSlots / kGroupSlots;
  using Hashes = std::array<uint32_t, kGroups>;  // 0: the group is empty

  explicit EventBuffer(size_t events_per_time_max) : ring_(events_per_time_max) {}

  // As LamportRing::Insert. Two members that say the very same at the same Lamport time are heard
  // once: whoever minds puts an id into the payload.
  Novelty Insert(const UserEvent& event, LamportTime next);

  // Rises with each event that is taken in.
  uint64_t version() const { return version_; }

  // Of what the ring reaches at `next`.
  Hashes HashGroups(LamportTime next) const;

  // Events in groups where `theirs` differs from ours, the newest that fit in `bytes_max` of names
  // and payloads, in the order of their times. At least one when there is any.
  std::vector<UserEvent> Missing(const Hashes& theirs, LamportTime next, size_t bytes_max) const;

 private:
  LamportRing<UserEvent> ring_;
  uint64_t version_ = 0;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_EVENT_BUFFER_H_
