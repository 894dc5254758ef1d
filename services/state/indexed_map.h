// services/state/indexed_map.h
//
// A persistent map whose places keep their index after what was there is gone: an erased entry
// leaves a tombstone with the index of the erasure, and tombstones that are collected leave their
// highest index as the map's floor. So the index of a key or prefix never falls, and it moves only
// when something there changed. One of these is under every table and under every index of one.
//
// Threads: as persistent_map.h.
#ifndef CONSUL_SERVICES_STATE_INDEXED_MAP_H_
#define CONSUL_SERVICES_STATE_INDEXED_MAP_H_

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "services/base/check.h"
#include "services/state/held.h"
#include "services/state/persistent_map.h"
#include "services/state/watch_set.h"

namespace consul::state {

// Where an entry was: its key, behind the object, and the index at which it went.
class Tombstone : public Counted {
 public:
  static Held<const Tombstone> New(std::string_view key, uint64_t index) {
    void* memory = std::malloc(sizeof(Tombstone) + key.size());
    CONSUL_CHECK(memory != nullptr);
    Tombstone* tombstone = new (memory) Tombstone(static_cast<uint32_t>(key.size()), index);
    std::memcpy(reinterpret_cast<char*>(tombstone + 1), key.data(), key.size());
    return Held<const Tombstone>(tombstone);
  }
  static void Delete(const Tombstone* tombstone) {
    std::free(const_cast<Tombstone*>(tombstone));
  }
  std::string_view key() const { return {reinterpret_cast<const char*>(this + 1), size_}; }
  uint64_t modify_index() const { return index_; }

 private:
  Tombstone(uint32_t size, uint64_t index) : size_(size), index_(index) {}
  const uint32_t size_;
  const uint64_t index_;
};

template <typename Entry>
class IndexedMap {
 public:
  using Entries = PersistentMap<Entry>;
  using Tombstones = PersistentMap<Tombstone>;

  const Entries& entries() const { return entries_; }
  const Tombstones& tombstones() const { return tombstones_; }
  // Highest index of a tombstone ever collected; 0: none was.
  uint64_t floor() const { return floor_; }

  // Versioned::IndexOf for a slot of this map. The floor stands for tombstones that are gone, and a
  // key that is present has none: its index is its own.
  uint64_t IndexOf(Slot::Kind kind, std::string_view bytes) const {
    if (kind == Slot::Kind::kKey) {
      if (const Entry* entry = entries_.Find(bytes)) return entry->modify_index();
      const Tombstone* tombstone = tombstones_.Find(bytes);
      return std::max(floor_, tombstone == nullptr ? 0 : tombstone->modify_index());
    }
    return std::max({floor_, entries_.IndexOfPrefix(bytes), tombstones_.IndexOfPrefix(bytes)});
  }

  // Returns the entry that was replaced, or null.
  Held<const Entry> Put(Held<const Entry> entry) {
    if (!tombstones_.empty()) tombstones_.Erase(entry->key());
    return entries_.Insert(std::move(entry));
  }

  // Returns the entry that was erased, or null; then nothing changed.
  // REQUIRES: `index` is above the modify index of the entry, or equal.
  Held<const Entry> Erase(std::string_view key, uint64_t index) {
    Held<const Entry> erased = entries_.Erase(key);
    if (erased) tombstones_.Insert(Tombstone::New(erased->key(), index));
    return erased;
  }

  // Erases every entry under `prefix`, leaving a tombstone for each: a place under the prefix where
  // nothing was keeps its index. Returns the entries in order.
  std::vector<Held<const Entry>> ErasePrefix(std::string_view prefix, uint64_t index) {
    std::vector<Held<const Entry>> erased = entries_.ErasePrefix(prefix);
    for (const Held<const Entry>& entry : erased) {
      tombstones_.Insert(Tombstone::New(entry->key(), index));
    }
    return erased;
  }

  // Forgets tombstones of `index` and below.
  void Collect(uint64_t index) {
    Tombstones kept;
    for (auto it = tombstones_.Begin(); it.Valid(); it.Next()) {
      if (it->modify_index() > index) {
        kept.Insert(Held<const Tombstone>(&it.entry()));
      } else {
        floor_ = std::max(floor_, it->modify_index());
      }
    }
    if (kept.size() != tombstones_.size()) tombstones_ = std::move(kept);
  }

  // Forgets what was erased, and the floor. REQUIRES: whoever asks has an index from elsewhere that
  // stands for them.
  void ForgetErased() {
    tombstones_ = Tombstones();
    floor_ = 0;
  }

  // For a snapshot that is read back: what Put, Erase and Collect left behind.
  void RestoreTombstone(std::string_view key, uint64_t index) {
    tombstones_.Insert(Tombstone::New(key, index));
  }
  void RestoreFloor(uint64_t floor) { floor_ = std::max(floor_, floor); }

 private:
  Entries entries_;
  Tombstones tombstones_;
  uint64_t floor_ = 0;
};

}  // namespace consul::state

#endif  // CONSUL_SERVICES_STATE_INDEXED_MAP_H_
