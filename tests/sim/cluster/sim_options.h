// tests/sim/cluster/sim_options.h
//
// What one run is made of, all of it drawn from its seed, and the mistakes that can be planted in
// it to see whether the checkers find them.
//
// Threads: pure values.
#ifndef CONSUL_TESTS_SIM_CLUSTER_SIM_OPTIONS_H_
#define CONSUL_TESTS_SIM_CLUSTER_SIM_OPTIONS_H_

#include <cstdint>
#include <string_view>

#include "services/raft/core/options.h"
#include "tests/sim/cluster/sim_world.h"

namespace consul::sim {

// Each is one that a driver, or a core, could make and that small tests may miss.
enum class Mistake : uint8_t {
  kNone,
  kAckBeforeDisk,          // votes and acks leave when their write begins
  kVoteNotPersisted,       // the term is written, the vote is not
  kFollowerReadUnapplied,  // a follower reads as soon as it knows the index
  kLeaderReadEarly,        // a leader reads before an entry of its own term is applied
  kLeaderReadUnapplied,    // a leader with a lease reads what it has applied, not what is committed
  kCommitOfOlderTerm,      // an entry of an older term is committed by counting
  kLeaseOutlives,          // a lease is taken to last a second longer
};

struct SimOptions {
  uint64_t seed = 1;
  bool tracing = false;
  Mistake mistake = Mistake::kNone;
  // Whether raft::Invariants look inside the cores; without them only what comes out is checked.
  bool look_inside = true;
  // Clocks differ by up to so many millionths from the true time. Two that do, one fast and one
  // slow, drift apart by a little less than the 10 % that a lease allows for.
  int64_t drift_ppm_max = 45'000;

  size_t voters = 3;
  size_t spares = 1;
  size_t clients = 5;
  size_t watchers = 3;
  size_t keys = 4;
  Duration faults_for = std::chrono::seconds(40);
  Duration think_max = Milliseconds(120);
  size_t value_bytes_max = 200;
  Duration apply_delay_max = Milliseconds(1);  // from committed to applied

  raft::Options core;  // but for self and seed
  uint64_t segment_bytes_min = 8 << 10;
  uint64_t segment_bytes_max = 32 << 10;
  uint64_t snapshot_entries_min = 100;
  uint64_t trailing_entries = 20;
};

// The run of `seed`.
SimOptions OptionsOf(uint64_t seed);

}  // namespace consul::sim

#endif  // CONSUL_TESTS_SIM_CLUSTER_SIM_OPTIONS_H_
