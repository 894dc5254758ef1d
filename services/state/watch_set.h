// services/state/watch_set.h
//
// Places in the ordered maps of a versioned source: the slots that a read looked at, or the keys
// that a batch of writes touched. A slot is a key, present or absent, or a prefix of keys. What a
// read depends on is exactly its slots: their indexes give the result's index, and a write wakes
// the read when it touches one of them. A handler that reads through its WatchSet can therefore
// neither report a wrong index nor miss a wake-up.
//
// Threads: plain values.
#ifndef CONSUL_SERVICES_STATE_WATCH_SET_H_
#define CONSUL_SERVICES_STATE_WATCH_SET_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace consul::state {

// Names one ordered map (a table or an index of one) of a source. Each source numbers its own;
// those of the replicated state are in tables.h.
enum class MapId : uint16_t {};

// A place in a map. Refers to the list that it came from.
struct Slot {
  enum class Kind : uint8_t { kKey, kPrefix };
  MapId map;
  Kind kind;
  std::string_view bytes;
};

// Slots in the order in which they were added, their bytes in one string.
class SlotList {
 public:
  void AddKey(MapId map, std::string_view key) { Add(map, Slot::Kind::kKey, key); }
  // The empty prefix is the whole map.
  void AddPrefix(MapId map, std::string_view prefix) { Add(map, Slot::Kind::kPrefix, prefix); }
  void Add(MapId map, Slot::Kind kind, std::string_view bytes) {
    items_.push_back({static_cast<uint32_t>(bytes_.size()), static_cast<uint32_t>(bytes.size()),
                      map, kind});
    bytes_.append(bytes);
  }
  void Clear() {
    items_.clear();
    bytes_.clear();
  }
  bool empty() const { return items_.empty(); }
  size_t size() const { return items_.size(); }
  Slot operator[](size_t i) const {
    const Item& item = items_[i];
    return {item.map, item.kind, std::string_view(bytes_).substr(item.offset, item.size)};
  }

 private:
  struct Item {
    uint32_t offset;
    uint32_t size;
    MapId map;
    Slot::Kind kind;
  };
  std::vector<Item> items_;
  std::string bytes_;
};

// What a read touched, and how much more of lists it may look at.
class WatchSet {
 public:
  // A set that would grow beyond this watches whole maps instead of single places from then on:
  // still right, but woken, and numbered, by more than it needs. A waiter costs memory by slot.
  static constexpr size_t kSlotsMax = 8192;

  // From now on lists may come to so many rows in all; at one more they end.
  void LimitRows(size_t rows_max) { rows_left_ = rows_max; }
  // A list has come to one more row. Returns false where that is one too many: the list ends before
  // it, and what was read is not whole.
  bool NextRow() {
    cut_ = rows_left_ == 0;
    if (!cut_) --rows_left_;
    return !cut_;
  }
  // A list has ended before its end.
  bool cut() const { return cut_; }

  void AddKey(MapId map, std::string_view key) { Add(map, Slot::Kind::kKey, key); }
  // The empty prefix is the whole map.
  void AddPrefix(MapId map, std::string_view prefix) { Add(map, Slot::Kind::kPrefix, prefix); }
  // Empties it; there is no limit any more.
  void Clear() {
    slots_.Clear();
    rows_left_ = SIZE_MAX;
    cut_ = false;
  }
  bool empty() const { return slots_.empty(); }
  size_t size() const { return slots_.size(); }
  Slot operator[](size_t i) const { return slots_[i]; }

 private:
  void Add(MapId map, Slot::Kind kind, std::string_view bytes);
  SlotList slots_;
  size_t rows_left_ = SIZE_MAX;
  bool cut_ = false;
};

}  // namespace consul::state

#endif  // CONSUL_SERVICES_STATE_WATCH_SET_H_
