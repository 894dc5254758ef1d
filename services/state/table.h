// services/state/table.h
//
// A table: rows, which are the API's own messages, by key, and any number of further indexes, each
// an ordered map of its own from another key to the row. Readers go through functions that take a
// WatchSet, so that what was read is what is watched. A Spec describes a table:
//
//   using Message = ...;                         with create_index and modify_index
//   static constexpr MapId kMap;                 the map of its rows
//   static constexpr bool kKeyInMessage;         Key() returns a string_view into the message
//   static auto Key(const Message&);             the key: std::string, or string_view as above
//   static constexpr std::array<SecondaryIndex<Message>, N> kIndexes;
//
// Threads: as persistent_map.h.
#ifndef CONSUL_SERVICES_STATE_TABLE_H_
#define CONSUL_SERVICES_STATE_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "services/base/check.h"
#include "services/state/held.h"
#include "services/state/indexed_map.h"
#include "services/state/watch_set.h"

namespace consul::state {

// Another way to find the rows of a table. Keys are unique; the empty key: the row is not in it.
template <typename Message>
struct SecondaryIndex {
  MapId map;
  std::string (*key)(const Message&);
};

template <typename Spec>
class Row : public Counted {
 public:
  using Message = typename Spec::Message;
  explicit Row(Message&& message) : message_(std::move(message)) {
    if constexpr (!Spec::kKeyInMessage) key_ = Spec::Key(message_);
  }
  std::string_view key() const {
    if constexpr (Spec::kKeyInMessage) {
      return Spec::Key(message_);
    } else {
      return key_;
    }
  }
  uint64_t modify_index() const { return message_.modify_index(); }
  const Message& message() const { return message_; }

 private:
  struct Nothing {};
  [[no_unique_address]] std::conditional_t<Spec::kKeyInMessage, Nothing, std::string> key_;
  const Message message_;
};

// What an index holds: its own key, and the row.
template <typename Spec>
class IndexEntry : public Counted {
 public:
  IndexEntry(std::string key, Held<const Row<Spec>> row)
      : key_(std::move(key)), row_(std::move(row)) {}
  std::string_view key() const { return key_; }
  uint64_t modify_index() const { return row_->modify_index(); }
  const typename Spec::Message& message() const { return row_->message(); }

 private:
  const std::string key_;
  const Held<const Row<Spec>> row_;
};

template <typename Spec>
class Table {
 public:
  using Message = typename Spec::Message;
  static constexpr size_t kIndexCount = Spec::kIndexes.size();

  size_t size() const { return rows_.entries().size(); }
  const IndexedMap<Row<Spec>>& rows() const { return rows_; }

  // Readers. `watch` may be null for a read that nobody waits on. A returned row is valid as long
  // as the version is held.

  // The row of `key`, or null.
  const Message* Find(std::string_view key, WatchSet* watch) const {
    if (watch != nullptr) watch->AddKey(Spec::kMap, key);
    const Row<Spec>* row = rows_.entries().Find(key);
    return row == nullptr ? nullptr : &row->message();
  }
  // Calls fn(const Message&) for the rows under `prefix`, in order, while it returns true and
  // `watch` allows of one more.
  template <typename Fn>
  void ForEach(std::string_view prefix, WatchSet* watch, Fn fn) const {
    if (watch != nullptr) watch->AddPrefix(Spec::kMap, prefix);
    rows_.entries().ForEachPrefix(prefix, [watch, &fn](const Row<Spec>& row) {
      return (watch == nullptr || watch->NextRow()) && fn(row.message());
    });
  }
  // The same by index number `kIndex` of the Spec.
  template <size_t kIndex>
  const Message* FindBy(std::string_view key, WatchSet* watch) const {
    if (watch != nullptr) watch->AddKey(Spec::kIndexes[kIndex].map, key);
    const IndexEntry<Spec>* entry = indexes_[kIndex].entries().Find(key);
    return entry == nullptr ? nullptr : &entry->message();
  }
  template <size_t kIndex, typename Fn>
  void ForEachBy(std::string_view prefix, WatchSet* watch, Fn fn) const {
    if (watch != nullptr) watch->AddPrefix(Spec::kIndexes[kIndex].map, prefix);
    indexes_[kIndex].entries().ForEachPrefix(prefix, [watch, &fn](const IndexEntry<Spec>& entry) {
      return (watch == nullptr || watch->NextRow()) && fn(entry.message());
    });
  }

  // Sets `index` to the index of a slot of this table and returns true; false if the slot's map
  // belongs to another.
  bool IndexOf(const Slot& slot, uint64_t* index) const {
    if (slot.map == Spec::kMap) {
      *index = rows_.IndexOf(slot.kind, slot.bytes);
      return true;
    }
    for (size_t i = 0; i < kIndexCount; ++i) {
      if (slot.map != Spec::kIndexes[i].map) continue;
      *index = indexes_[i].IndexOf(slot.kind, slot.bytes);
      return true;
    }
    return false;
  }

  // The writer. `touched` may be null while a snapshot is read.

  // Puts `message` in the place of its key. REQUIRES: its modify index is the log index that is
  // being applied.
  void Put(Message&& message, SlotList* touched) {
    Held<const Row<Spec>> row(new Row<Spec>(std::move(message)));
    const Held<const Row<Spec>> old = rows_.Put(row);
    if (touched != nullptr) touched->AddKey(Spec::kMap, row->key());
    for (size_t i = 0; i < kIndexCount; ++i) {
      const auto& secondary = Spec::kIndexes[i];
      std::string key = secondary.key(row->message());
      const std::string old_key = old ? secondary.key(old->message()) : std::string();
      if (old_key != key) EraseFromIndex(i, old_key, row->modify_index(), touched);
      if (key.empty()) continue;
      if (touched != nullptr) touched->AddKey(secondary.map, key);
      indexes_[i].Put(Held<const IndexEntry<Spec>>(new IndexEntry<Spec>(std::move(key), row)));
    }
  }

  // Whether no row has one of the keys that `message` has in the indexes. The state machine sees to
  // that by its rules; this is for rows from elsewhere, before they are put.
  bool IndexKeysAreFree(const Message& message) const {
    for (size_t i = 0; i < kIndexCount; ++i) {
      if (indexes_[i].entries().Find(Spec::kIndexes[i].key(message)) != nullptr) return false;
    }
    return true;
  }

  // Returns whether there was such a row.
  bool Erase(std::string_view key, uint64_t index, SlotList* touched) {
    const Held<const Row<Spec>> old = rows_.Erase(key, index);
    if (old) Erased(*old, index, touched);
    return static_cast<bool>(old);
  }

  // Returns how many rows there were.
  size_t ErasePrefix(std::string_view prefix, uint64_t index, SlotList* touched) {
    const auto erased = rows_.ErasePrefix(prefix, index);
    for (const Held<const Row<Spec>>& row : erased) Erased(*row, index, touched);
    return erased.size();
  }

  void Collect(uint64_t index) {
    rows_.Collect(index);
    for (auto& each : indexes_) each.Collect(index);
  }

  // Calls fn(MapId, IndexedMap&) for each map of the table; for snapshots.
  template <typename Fn>
  void ForEachMap(Fn fn) {
    fn(Spec::kMap, rows_);
    for (size_t i = 0; i < kIndexCount; ++i) fn(Spec::kIndexes[i].map, indexes_[i]);
  }
  template <typename Fn>
  void ForEachMap(Fn fn) const {
    fn(Spec::kMap, rows_);
    for (size_t i = 0; i < kIndexCount; ++i) fn(Spec::kIndexes[i].map, indexes_[i]);
  }

 private:
  void EraseFromIndex(size_t i, std::string_view key, uint64_t index, SlotList* touched) {
    if (key.empty()) return;
    CONSUL_CHECK(indexes_[i].Erase(key, index));
    if (touched != nullptr) touched->AddKey(Spec::kIndexes[i].map, key);
  }
  void Erased(const Row<Spec>& row, uint64_t index, SlotList* touched) {
    if (touched != nullptr) touched->AddKey(Spec::kMap, row.key());
    for (size_t i = 0; i < kIndexCount; ++i) {
      EraseFromIndex(i, Spec::kIndexes[i].key(row.message()), index, touched);
    }
  }

  IndexedMap<Row<Spec>> rows_;
  std::array<IndexedMap<IndexEntry<Spec>>, kIndexCount> indexes_;
};

}  // namespace consul::state

#endif  // CONSUL_SERVICES_STATE_TABLE_H_
