// services/gossip/member_table.h
//
// All members that one member knows, with what it believes of them; the ring in which it probes
// them; and the hashes by which two tables are compared. A row takes 48 bytes beside the shared,
// immutable Member, so that a simulation holds thousands of tables of thousands.
//
// Threads: none of its own; its owner's.
// Background: services/gossip/swim.md (Exchanges).
#ifndef CONSUL_SERVICES_GOSSIP_MEMBER_TABLE_H_
#define CONSUL_SERVICES_GOSSIP_MEMBER_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_set.h"
#include "services/gossip/member.h"
#include "services/gossip/random.h"
#include "services/gossip/types.h"

namespace consul::gossip {

// Members in the table, by what is believed of them; self is among the alive until it leaves.
struct MemberCounts {
  size_t alive = 0;
  size_t suspect = 0;
  size_t dead = 0;
  size_t left = 0;
  size_t living() const { return alive + suspect; }
  size_t total() const { return alive + suspect + dead + left; }
  friend bool operator==(const MemberCounts&, const MemberCounts&) = default;
};

// A row's number. Numbers of rows that were taken out are used again.
struct Slot {
  static constexpr uint32_t kNone = ~uint32_t{0};
  uint32_t value = kNone;
  constexpr explicit operator bool() const { return value != kNone; }
  friend constexpr auto operator<=>(Slot, Slot) = default;
};

class MemberTable {
 public:
  // On the wire: both sides of an exchange have as many. The hashes of all of them take 2 KB of
  // each exchange; in a pool of 10,000, one that differs costs the digests of 40 members.
  static constexpr size_t kBuckets = 256;
  using BucketHashes = std::array<uint64_t, kBuckets>;

  // The table of `self`, which is alive.
  MemberTable(MemberPtr self, Incarnation incarnation, Time now);
  MemberTable(const MemberTable&) = delete;
  MemberTable& operator=(const MemberTable&) = delete;

  static constexpr Slot self_slot() { return Slot{0}; }

  Slot Find(std::string_view name) const;
  // All rows of one node id, which may have several names: a member may have been renamed.
  std::vector<Slot> FindById(std::string_view id) const;
  // Members whose names have these hashes, in one pass over all rows.
  // REQUIRES: ascending.
  std::vector<Slot> FindByNameHashes(const std::vector<uint64_t>& name_hashes) const;

  // Adds a member, at a random place of the ring when it is living.
  // REQUIRES: its name is not there.
  Slot Add(MemberPtr member, Incarnation incarnation, LifeState state, Time since, Random* random);
  // Changes what is believed. A member that becomes living enters the ring at a random place.
  // REQUIRES: `member` has the row's name.
  void Set(Slot slot, MemberPtr member, Incarnation incarnation, LifeState state, Time since,
           Random* random);
  void SetIntent(Slot slot, Intent intent);
  // REQUIRES: not self.
  void Remove(Slot slot);

  // ---- One row. REQUIRES: it is in use.
  const MemberPtr& member(Slot slot) const { return row(slot).member; }
  Incarnation incarnation(Slot slot) const { return row(slot).incarnation; }
  LifeState state(Slot slot) const { return row(slot).state; }
  Time since(Slot slot) const { return row(slot).since; }
  Entry entry(Slot slot) const;
  uint64_t EntryHash(Slot slot) const { return HashOf(row(slot)); }

  const MemberCounts& counts() const { return counts_; }
  // Rows in use, in no useful order.
  template <typename Visit>
  void ForEach(const Visit& visit) const {
    for (uint32_t i = 0; i < rows_.size(); ++i) {
      if (rows_[i].member != nullptr) visit(Slot{i});
    }
  }

  // ---- The ring: exactly the living members but self.

  // The next member to probe: each once in a round, in an order that is shuffled for each round.
  // None when there is nobody.
  Slot NextInRing(Random* random);
  const std::vector<Slot>& ring() const { return ring_; }

  // Up to `count` different living members, at random; never self and none for which `skip` says
  // so.
  template <typename Skip>
  std::vector<Slot> PickLiving(size_t count, Random* random, const Skip& skip) const;

  // ---- Comparison. A bucket's hash is the sum of its entries' hashes.
  static size_t BucketOf(uint64_t name_hash) { return name_hash >> 56; }
  const BucketHashes& bucket_hashes() const { return bucket_hashes_; }
  // Rows of all buckets that are marked.
  std::vector<Slot> InBuckets(const std::array<bool, kBuckets>& marked) const;

  // ---- For invariants: computed anew from the rows.
  BucketHashes RecomputeBucketHashesForTest() const;
  // Whether ring, counts and index agree with the rows.
  bool ConsistentForTest() const;

 private:
  struct Row {
    MemberPtr member;  // null: not in use
    Time since;
    LamportTime intent_time;
    Incarnation incarnation;
    uint32_t ring_place = Slot::kNone;  // in ring_; kNone: not there
    LifeState state = LifeState::kAlive;
    uint8_t intent_kind = 0;
  };
  static_assert(sizeof(Row) <= 48);

  // By name, without a second copy of it.
  struct NameHash {
    using is_transparent = void;
    const std::vector<Row>* rows;
    size_t operator()(uint32_t slot) const { return (*rows)[slot].member->name_hash; }
    size_t operator()(std::string_view name) const { return HashName(name); }
  };
  struct NameEqual {
    using is_transparent = void;
    const std::vector<Row>* rows;
    bool operator()(uint32_t a, uint32_t b) const { return a == b; }
    bool operator()(uint32_t slot, std::string_view name) const {
      return (*rows)[slot].member->info.name == name;
    }
    bool operator()(std::string_view name, uint32_t slot) const { return (*this)(slot, name); }
  };

  const Row& row(Slot slot) const { return rows_[slot.value]; }
  static uint64_t HashOf(const Row& row);
  size_t& CountOf(LifeState state);
  void AddToSums(const Row& row) { bucket_hashes_[BucketOf(row.member->name_hash)] += HashOf(row); }
  void TakeFromSums(const Row& row) {
    bucket_hashes_[BucketOf(row.member->name_hash)] -= HashOf(row);
  }
  void EnterRing(Slot slot, Random* random);
  void LeaveRing(Slot slot);
  void PutInRing(size_t place, Slot slot);

  std::vector<Row> rows_;
  std::vector<Slot> free_;
  absl::flat_hash_set<uint32_t, NameHash, NameEqual> by_name_;
  absl::btree_set<std::pair<uint32_t, uint32_t>> by_id_;  // Member::id_check, slot
  std::vector<Slot> ring_;
  size_t ring_next_ = 0;  // ring_[0, ring_next_) were probed in this round
  MemberCounts counts_;
  BucketHashes bucket_hashes_{};
};

template <typename Skip>
std::vector<Slot> MemberTable::PickLiving(size_t count, Random* random, const Skip& skip) const {
  std::vector<Slot> picked;
  // With few to choose from: all of them in a random order. Else by trial, which may in vain hit
  // skipped ones; three trials for each member leave next to nothing out.
  if (ring_.size() <= 2 * count) {
    picked = ring_;
    std::erase_if(picked, skip);
    random->Shuffle(&picked);
    if (picked.size() > count) picked.resize(count);
    return picked;
  }
  for (size_t trials = 3 * ring_.size(); trials > 0 && picked.size() < count; --trials) {
    const Slot slot = ring_[random->Below(ring_.size())];
    bool wanted = !skip(slot);
    for (const Slot other : picked) wanted = wanted && other != slot;
    if (wanted) picked.push_back(slot);
  }
  return picked;
}

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_MEMBER_TABLE_H_
