// services/server/tombstone_ages.h
//
// When tombstones may be forgotten. A tombstone carries no time, so the leader remembers at which
// moment it first saw which; what it has seen for long enough goes. At rest there is nothing to
// remember and nothing to collect.
//
// Threads: a plain value of one thread. Time is an argument.
#ifndef CONSUL_SERVICES_SERVER_TOMBSTONE_AGES_H_
#define CONSUL_SERVICES_SERVER_TOMBSTONE_AGES_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

#include "services/state/version.h"

namespace consul::server {

class TombstoneAges {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // A tombstone is kept for `ttl` from when it was first seen, so that a reader who polls sees a
  // delete.
  explicit TombstoneAges(std::chrono::nanoseconds ttl) : ttl_(ttl) {}

  // Looks at the newest version. Returns the index to collect, that tombstones and below; nullopt:
  // nothing is old enough. It is returned again until Collected says that it was done. `wall_ns`
  // (nanoseconds since 1970) is the clock of left generations, which go with a collection, be it
  // one of index 0.
  // REQUIRES: `now` does not go back.
  std::optional<uint64_t> Due(Time now, uint64_t wall_ns, const state::Version& version);
  void Collected(uint64_t index);

  // Forgets what was seen: tombstones are as old as we know them to be.
  void Clear() { seen_.clear(); }

 private:
  struct Seen {
    Time at;
    uint64_t index;  // of the newest tombstone then
  };
  const std::chrono::nanoseconds ttl_;
  std::deque<Seen> seen_;  // both rise
};

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_TOMBSTONE_AGES_H_
