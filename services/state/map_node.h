// services/state/map_node.h
//
// The nodes of a persistent map: a B+-tree whose leaves hold counted entries and whose inner nodes
// hold counted nodes. A node's search structure is inside it: of each key the eight bytes that
// follow the prefix that all of its keys share (the heads), so that a search reads the node alone
// and looks at a key's own bytes only on a tie. No key is stored but in its entry, save for the
// shortest separators: each node carries its own lower bound (low) behind its slots.
//
// Invariants: child 0 of an inner node has the node's own low; keys of child i are at or above the
// low of child i (i > 0) and below that of child i + 1; the root's low is empty.
//
// Threads: nodes of a published version are read by any thread, but for their count, which belongs
// to the owner of the tables like the counts of entries (held.h).
// Background: docs/decisions/0001-persistent-map.md.
#ifndef CONSUL_SERVICES_STATE_MAP_NODE_H_
#define CONSUL_SERVICES_STATE_MAP_NODE_H_

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>

#include "services/base/check.h"
#include "services/state/held.h"

namespace consul::state {

// The number of leading bytes that both have.
inline size_t CommonPrefix(std::string_view a, std::string_view b) {
  const size_t limit = std::min(a.size(), b.size());
  size_t i = 0;
  while (i < limit && a[i] == b[i]) ++i;
  return i;
}

// The eight bytes from `skip` on, most significant first, filled up with zeros: heads compare as
// the keys do, except that equal heads decide nothing.
inline uint64_t HeadOf(std::string_view key, size_t skip) {
  uint64_t head = 0;
  if (key.size() >= skip + sizeof(head)) {
    std::memcpy(&head, key.data() + skip, sizeof(head));
  } else if (key.size() > skip) {
    std::memcpy(&head, key.data() + skip, key.size() - skip);
  }
  static_assert(std::endian::native == std::endian::little);
  return __builtin_bswap64(head);
}

template <typename Entry, int kFanOut>
struct MapNode {
  static_assert(kFanOut >= 8 && kFanOut <= 128);

  uint32_t refs = 1;
  uint16_t count = 0;
  uint8_t level = 0;                // 0 in leaves
  bool low_holds_prefix = false;    // inner: the shared prefix can be read from our own low
  uint32_t skip = 0;                // length of the prefix that the keys share
  uint32_t low_size = 0;
  uint64_t index_max = 0;           // highest modify index beneath
  uint64_t heads[kFanOut];
  void* slots[kFanOut];
  // low_size bytes follow.

  static MapNode* New(uint8_t level, std::string_view low) {
    void* memory = std::malloc(sizeof(MapNode) + low.size());
    CONSUL_CHECK(memory != nullptr);
    MapNode* node = new (memory) MapNode;
    node->level = level;
    node->low_size = static_cast<uint32_t>(low.size());
    low.copy(reinterpret_cast<char*>(node + 1), low.size());
    return node;
  }

  std::string_view low() const { return {reinterpret_cast<const char*>(this + 1), low_size}; }
  bool leaf() const { return level == 0; }
  const Entry* entry(int i) const { return static_cast<const Entry*>(slots[i]); }
  MapNode* child(int i) const { return static_cast<MapNode*>(slots[i]); }
  // The key that slot i is found by.
  std::string_view key(int i) const { return leaf() ? entry(i)->key() : child(i)->low(); }
  uint64_t slot_index(int i) const {
    return leaf() ? entry(i)->modify_index() : child(i)->index_max;
  }

  static void Ref(MapNode* node) { ++node->refs; }
  static void Unref(MapNode* node) {
    if (--node->refs != 0) return;
    for (int i = 0; i < node->count; ++i) {
      if (node->leaf()) {
        Held<const Entry>::Unref(node->entry(i));
      } else {
        Unref(node->child(i));
      }
    }
    std::free(node);
  }

  // Returns a node of the same content that only the caller knows: `node` itself if nobody else
  // counts it, else a copy. Takes over the caller's count. REQUIRES: the node above it is owned.
  static MapNode* Own(MapNode* node) {
    if (node->refs == 1) return node;
    const size_t size = sizeof(MapNode) + node->low_size;
    void* memory = std::malloc(size);
    CONSUL_CHECK(memory != nullptr);
    std::memcpy(memory, static_cast<const void*>(node), size);
    MapNode* copy = static_cast<MapNode*>(memory);
    copy->refs = 1;
    for (int i = 0; i < copy->count; ++i) {
      if (copy->leaf()) {
        Held<const Entry>::Ref(copy->entry(i));
      } else {
        Ref(copy->child(i));
      }
    }
    --node->refs;
    return copy;
  }

  // The first slot of a leaf whose key is not below `key`; `found` says whether it is the key.
  int LeafLowerBound(std::string_view key, bool* found) const {
    *found = false;
    if (count == 0) return 0;
    const int order = key.substr(0, skip).compare(entry(0)->key().substr(0, skip));
    if (order != 0) return order < 0 ? 0 : count;
    return LeafLowerBoundSharing(key, found);
  }
  // The same for a caller who only asks whether the key is there: a key that does not share the
  // prefix is reported at some slot, not found.
  int LeafLowerBoundSharing(std::string_view key, bool* found) const {
    int low_slot, high_slot;
    SlotsOfHead(0, HeadOf(key, skip), &low_slot, &high_slot);
    *found = false;
    while (low_slot < high_slot) {
      const int middle = (low_slot + high_slot) / 2;
      const int order = key.compare(entry(middle)->key());
      if (order == 0) {
        *found = true;
        return middle;
      }
      if (order < 0) {
        high_slot = middle;
      } else {
        low_slot = middle + 1;
      }
    }
    return low_slot;
  }

  // The child that holds `key`, if any does.
  int ChildFor(std::string_view key) const {
    if (count <= 1) return 0;
    if (skip > 0) {
      const std::string_view shared = low_holds_prefix ? low() : child(1)->low();
      const int order = key.substr(0, skip).compare(shared.substr(0, skip));
      if (order != 0) return order < 0 ? 0 : count - 1;
    }
    int low_slot, high_slot;
    SlotsOfHead(1, HeadOf(key, skip), &low_slot, &high_slot);
    while (low_slot < high_slot) {
      const int middle = (low_slot + high_slot) / 2;
      if (child(middle)->low() <= key) {
        low_slot = middle + 1;
      } else {
        high_slot = middle;
      }
    }
    return low_slot - 1;
  }

  // REQUIRES: count < kFanOut; the node is owned; the caller gives one count of `slot` away.
  void InsertSlot(int at, void* slot) {
    std::memmove(slots + at + 1, slots + at, (count - at) * sizeof(slots[0]));
    std::memmove(heads + at + 1, heads + at, (count - at) * sizeof(heads[0]));
    slots[at] = slot;
    ++count;
    // A key between two others shares what they share; only a new edge can shorten the prefix.
    const int first = leaf() ? 0 : 1;
    const bool edge = at <= first || at == count - 1;
    const int beside = at == count - 1 ? at - 1 : at + 1;
    if (edge && (beside < first || beside >= count ||
                 CommonPrefix(key(at), key(beside)) < skip)) {
      RebuildHeads();
    } else {
      heads[at] = HeadOf(key(at), skip);
    }
  }

  void RemoveSlot(int at) {
    --count;
    std::memmove(slots + at, slots + at + 1, (count - at) * sizeof(slots[0]));
    std::memmove(heads + at, heads + at + 1, (count - at) * sizeof(heads[0]));
  }

  // Moves slots [from, count) behind those of `to` and gives both what they now need.
  void MoveTail(int from, MapNode* to) {
    const int moved = count - from;
    CONSUL_CHECK(to->count + moved <= kFanOut);
    std::memcpy(to->slots + to->count, slots + from, moved * sizeof(slots[0]));
    to->count = static_cast<uint16_t>(to->count + moved);
    count = static_cast<uint16_t>(from);
    RebuildHeads();
    RebuildIndex();
    to->RebuildHeads();
    to->RebuildIndex();
  }

  void RebuildHeads() {
    const int first = leaf() ? 0 : 1;
    low_holds_prefix = false;
    skip = 0;
    if (count <= first) return;
    const std::string_view first_key = key(first);
    skip = static_cast<uint32_t>(CommonPrefix(first_key, key(count - 1)));
    low_holds_prefix = CommonPrefix(low(), first_key) >= skip;
    for (int i = first; i < count; ++i) heads[i] = HeadOf(key(i), skip);
  }

  void RebuildIndex() {
    index_max = 0;
    for (int i = 0; i < count; ++i) index_max = std::max(index_max, slot_index(i));
  }

 private:
  // The slots from `first` on whose head equals `head`: [low_slot, high_slot).
  void SlotsOfHead(int first, uint64_t head, int* low_slot, int* high_slot) const {
    int below = first;
    int not_above = first;
    for (int i = first; i < count; ++i) {
      below += heads[i] < head;
      not_above += heads[i] <= head;
    }
    *low_slot = below;
    *high_slot = not_above;
  }
};

}  // namespace consul::state

#endif  // CONSUL_SERVICES_STATE_MAP_NODE_H_
