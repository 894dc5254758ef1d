#include "services/gossip/member_table.h"

#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/gossip/hash.h"

namespace consul::gossip {
namespace {

// A suspect is no news to an exchange: it is alive, or will soon be dead.
LifeState Compared(LifeState state) {
  return state == LifeState::kSuspect ? LifeState::kAlive : state;
}

}  // namespace

MemberTable::MemberTable(MemberPtr self, Incarnation incarnation, Time now)
    : by_name_(0, NameHash{&rows_}, NameEqual{&rows_}) {
  Row row;
  row.member = std::move(self);
  row.incarnation = incarnation;
  row.since = now;
  rows_.push_back(std::move(row));
  by_name_.insert(self_slot().value);
  by_id_.insert({rows_.front().member->id_check, self_slot().value});
  ++CountOf(LifeState::kAlive);
  AddToSums(rows_.front());
}

Slot MemberTable::Find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? Slot{} : Slot{*found};
}

std::vector<Slot> MemberTable::FindById(std::string_view id) const {
  std::vector<Slot> found;
  const uint32_t check = HashId(id);
  for (auto at = by_id_.lower_bound({check, 0}); at != by_id_.end() && at->first == check; ++at) {
    if (rows_[at->second].member->info.id == id) found.push_back(Slot{at->second});
  }
  return found;
}

std::vector<Slot> MemberTable::FindByNameHashes(const std::vector<uint64_t>& name_hashes) const {
  std::vector<Slot> found;
  if (name_hashes.empty()) return found;
  ForEach([&](Slot slot) {
    const uint64_t hash = row(slot).member->name_hash;
    if (std::binary_search(name_hashes.begin(), name_hashes.end(), hash)) found.push_back(slot);
  });
  return found;
}

Slot MemberTable::Add(MemberPtr member, Incarnation incarnation, LifeState state, Time since,
                      Random* random) {
  CONSUL_CHECK(!Find(member->info.name));
  Slot slot{static_cast<uint32_t>(rows_.size())};
  if (free_.empty()) {
    rows_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  Row& row = rows_[slot.value];
  row.member = std::move(member);
  row.incarnation = incarnation;
  row.state = state;
  row.since = since;
  by_name_.insert(slot.value);
  by_id_.insert({row.member->id_check, slot.value});
  ++CountOf(state);
  AddToSums(row);
  if (IsLiving(state)) EnterRing(slot, random);
  return slot;
}

void MemberTable::Set(Slot slot, MemberPtr member, Incarnation incarnation, LifeState state,
                      Time since, Random* random) {
  Row& row = rows_[slot.value];
  CONSUL_CHECK(member->name_hash == row.member->name_hash);
  TakeFromSums(row);
  --CountOf(row.state);
  if (member->id_check != row.member->id_check) {
    by_id_.erase({row.member->id_check, slot.value});
    by_id_.insert({member->id_check, slot.value});
  }
  row.member = std::move(member);
  row.incarnation = incarnation;
  row.state = state;
  row.since = since;
  ++CountOf(state);
  AddToSums(row);
  if (slot == self_slot()) return;
  const bool in_ring = row.ring_place != Slot::kNone;
  if (IsLiving(state) && !in_ring) EnterRing(slot, random);
  if (!IsLiving(state) && in_ring) LeaveRing(slot);
}

void MemberTable::SetIntent(Slot slot, Intent intent) {
  Row& row = rows_[slot.value];
  TakeFromSums(row);
  row.intent_time = intent.time;
  row.intent_kind = static_cast<uint8_t>(intent.kind);
  AddToSums(row);
}

void MemberTable::Remove(Slot slot) {
  CONSUL_CHECK(slot != self_slot());
  Row& row = rows_[slot.value];
  if (row.ring_place != Slot::kNone) LeaveRing(slot);
  TakeFromSums(row);
  --CountOf(row.state);
  by_name_.erase(slot.value);
  by_id_.erase({row.member->id_check, slot.value});
  row = Row{};
  free_.push_back(slot);
}

Entry MemberTable::entry(Slot slot) const {
  const Row& row = this->row(slot);
  return {row.member, row.incarnation, row.state, row.since, {row.intent_time, row.intent_kind}};
}

uint64_t MemberTable::HashOf(const Row& row) {
  return StableHash()
      .Number(row.member->info_hash)
      .Number(row.incarnation.value)
      .Number(static_cast<uint64_t>(Compared(row.state)))
      .Number(row.intent_time.value)
      .Number(row.intent_kind)
      .value();
}

size_t& MemberTable::CountOf(LifeState state) {
  switch (state) {
    case LifeState::kAlive:
      return counts_.alive;
    case LifeState::kSuspect:
      return counts_.suspect;
    case LifeState::kDead:
      return counts_.dead;
    case LifeState::kLeft:
      break;
  }
  return counts_.left;
}

void MemberTable::PutInRing(size_t place, Slot slot) {
  ring_[place] = slot;
  rows_[slot.value].ring_place = static_cast<uint32_t>(place);
}

// Into a random place of the whole ring. One before ring_next_ counts as probed in this round, so
// that newcomers are no sooner probed than others.
void MemberTable::EnterRing(Slot slot, Random* random) {
  size_t place = random->Below(ring_.size() + 1);
  ring_.push_back(slot);
  size_t hole = ring_.size() - 1;
  if (place < ring_next_) {
    PutInRing(hole, ring_[ring_next_]);
    hole = ring_next_++;
  }
  PutInRing(hole, ring_[place]);
  PutInRing(place, slot);
}

// The hole is filled from its own side of ring_next_: nobody is probed twice in a round, or not.
void MemberTable::LeaveRing(Slot slot) {
  size_t hole = rows_[slot.value].ring_place;
  if (hole < ring_next_) {
    --ring_next_;
    PutInRing(hole, ring_[ring_next_]);
    hole = ring_next_;
  }
  if (hole + 1 < ring_.size()) PutInRing(hole, ring_.back());
  ring_.pop_back();
  rows_[slot.value].ring_place = Slot::kNone;
}

Slot MemberTable::NextInRing(Random* random) {
  if (ring_.empty()) return Slot{};
  if (ring_next_ >= ring_.size()) {
    random->Shuffle(&ring_);
    for (size_t place = 0; place < ring_.size(); ++place) PutInRing(place, ring_[place]);
    ring_next_ = 0;
  }
  return ring_[ring_next_++];
}

std::vector<Slot> MemberTable::InBuckets(const std::array<bool, kBuckets>& marked) const {
  std::vector<Slot> slots;
  ForEach([&](Slot slot) {
    if (marked[BucketOf(row(slot).member->name_hash)]) slots.push_back(slot);
  });
  return slots;
}

MemberTable::BucketHashes MemberTable::RecomputeBucketHashesForTest() const {
  BucketHashes hashes{};
  ForEach([&](Slot slot) { hashes[BucketOf(row(slot).member->name_hash)] += EntryHash(slot); });
  return hashes;
}

bool MemberTable::ConsistentForTest() const {
  size_t used = 0;
  size_t probeable = 0;
  size_t states[5] = {};
  bool sound = true;
  ForEach([&](Slot slot) {
    const Row& row = this->row(slot);
    ++used;
    ++states[static_cast<size_t>(row.state)];
    const bool wanted = slot != self_slot() && IsLiving(row.state);
    probeable += wanted ? 1 : 0;
    const bool in_ring = row.ring_place < ring_.size() && ring_[row.ring_place] == slot;
    sound = sound && wanted == in_ring && wanted == (row.ring_place != Slot::kNone) &&
            Find(row.member->info.name) == slot &&
            by_id_.contains({row.member->id_check, slot.value});
  });
  const MemberCounts counted{states[1], states[2], states[3], states[4]};
  return sound && used + free_.size() == rows_.size() && by_name_.size() == used &&
         by_id_.size() == used && probeable == ring_.size() && ring_next_ <= ring_.size() &&
         counts_ == counted;
}

}  // namespace consul::gossip
