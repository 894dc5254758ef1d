#include "services/gossip/event_buffer.h"

#include <algorithm>

#include "services/gossip/hash.h"

namespace consul::gossip {
namespace {

uint32_t HashOf(const UserEvent& event) {
  return static_cast<uint32_t>(StableHash()
                                   .Number(event.time.value)
                                   .Bytes(event.name)
                                   .Bytes(event.payload)
                                   .Number(event.coalesce ? 1 : 0)
                                   .value());
}

size_t BytesOf(const UserEvent& event) { return event.name.size() + event.payload.size(); }

}  // namespace

Novelty EventBuffer::Insert(const UserEvent& event, LamportTime next) {
  const Novelty novelty = ring_.Insert(event.time, next, event);
  if (novelty == Novelty::kNew) ++version_;
  return novelty;
}

EventBuffer::Hashes EventBuffer::HashGroups(LamportTime next) const {
  Hashes hashes{};
  ring_.ForEach(next, [&](size_t slot, LamportTime, const UserEvent& event) {
    hashes[slot / kGroupSlots] += HashOf(event);
  });
  return hashes;
}

std::vector<UserEvent> EventBuffer::Missing(const Hashes& theirs, LamportTime next,
                                            size_t bytes_max) const {
  const Hashes ours = HashGroups(next);
  std::vector<UserEvent> events;
  if (ours == theirs) return events;
  ring_.ForEach(next, [&](size_t slot, LamportTime, const UserEvent& event) {
    const size_t group = slot / kGroupSlots;
    if (ours[group] != theirs[group]) events.push_back(event);
  });
  size_t bytes = 0;
  size_t kept = 0;
  while (kept < events.size()) {
    bytes += BytesOf(events[events.size() - 1 - kept]);
    if (kept > 0 && bytes > bytes_max) break;
    ++kept;
  }
  events.erase(events.begin(), events.end() - static_cast<ptrdiff_t>(kept));
  return events;
}

}  // namespace consul::gossip
