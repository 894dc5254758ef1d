#include "services/server/tombstone_ages.h"

#include <algorithm>

namespace consul::server {
namespace {

// The highest index of a tombstone; 0: there is none.
uint64_t NewestTombstone(const state::Version& version) {
  uint64_t newest = 0;
  state::Tables::ForEachTable(version.tables(), [&newest](const auto& table) {
    table.ForEachMap([&newest](state::MapId, const auto& map) {
      if (map.tombstones().empty()) return;
      newest = std::max(newest, map.tombstones().IndexOfPrefix(""));
    });
  });
  return newest;
}

bool HasSpentGeneration(const state::Version& version, uint64_t wall_ns) {
  for (auto it = version.tables().left_generations.Begin(); it.Valid(); it.Next()) {
    if (wall_ns >= it->left_at_ns() + state::kLeftGenerationNs) return true;
  }
  return false;
}

}  // namespace

std::optional<uint64_t> TombstoneAges::Due(Time now, uint64_t wall_ns,
                                           const state::Version& version) {
  const uint64_t newest = NewestTombstone(version);
  if (newest == 0) {
    Clear();
  } else if (seen_.empty() || seen_.back().index < newest) {
    seen_.push_back({now, newest});
  }
  std::optional<uint64_t> due;
  if (HasSpentGeneration(version, wall_ns)) due = 0;
  for (const Seen& seen : seen_) {
    if (now - seen.at < ttl_) break;
    due = seen.index;
  }
  return due;
}

void TombstoneAges::Collected(uint64_t index) {
  while (!seen_.empty() && seen_.front().index <= index) seen_.pop_front();
}

}  // namespace consul::server
