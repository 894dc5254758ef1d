// A test that the simulator's checkers can fail: mistakes that a driver or a core could make are
// planted, each by itself, and a run of some seed must catch it, by a checker that is there for it.
// Most are planted twice: with raft::Invariants looking into the cores, and by what comes out alone
// (what was applied, answered and seen), as a client would learn of them.
#include <cstdint>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "services/base/strings.h"
#include "tests/sim/cluster/cluster_run.h"
#include "tests/sim/cluster/sim_options.h"

namespace consul::sim {
namespace {

struct Planted {
  Mistake mistake = Mistake::kNone;
  bool look_inside = true;
  std::vector<std::string_view> caught_by;  // how the first broken promise begins
  uint64_t runs_max = 0;  // several times what it took when this was written
  // What makes it likely.
  void (*change)(SimOptions* options) = [](SimOptions*) {};
};

void ExpectCaught(const Planted& planted) {
  for (uint64_t seed = 1; seed <= planted.runs_max; ++seed) {
    SimOptions options = OptionsOf(seed);
    options.mistake = planted.mistake;
    options.look_inside = planted.look_inside;
    planted.change(&options);
    const RunResult run = RunCluster(options);
    if (run.broken.empty()) continue;
    std::cout << "caught by seed " << seed << ": " << run.broken.substr(0, 400) << std::endl;
    for (const std::string_view checker : planted.caught_by) {
      if (run.broken.starts_with(checker)) return;
    }
    FAIL() << "caught by another checker than meant";
  }
  FAIL() << "not caught in " << planted.runs_max << " runs";
}

// Many stops, and writes that are under way when they come.
void Slow(SimOptions* options) {
  options->think_max = Milliseconds(10);
  options->spares = 0;
}

TEST(ClusterMistakesTest, AnAckBeforeTheDisk) {
  ExpectCaught({.mistake = Mistake::kAckBeforeDisk,
                .caught_by = {"durable term", "durable vote", "durable ack"},
                .runs_max = 2});
}

TEST(ClusterMistakesTest, AnAckBeforeTheDiskSeenFromOutside) {
  ExpectCaught({.mistake = Mistake::kAckBeforeDisk,
                .look_inside = false,
                .caught_by = {"a committed entry changed", "linearizability", "state equality"},
                .runs_max = 100,
                .change = Slow});
}

TEST(ClusterMistakesTest, AVoteNotPersisted) {
  ExpectCaught({.mistake = Mistake::kVoteNotPersisted,
                .caught_by = {"durable vote", "two votes"},
                .runs_max = 2});
}

TEST(ClusterMistakesTest, AFollowersReadBeforeItsIndexIsApplied) {
  ExpectCaught({.mistake = Mistake::kFollowerReadUnapplied,
                .caught_by = {"linearizability", "a watcher's index goes back"},
                .runs_max = 20});
}

TEST(ClusterMistakesTest, ALeadersReadBeforeAnEntryOfItsTermIsApplied) {
  ExpectCaught({.mistake = Mistake::kLeaderReadEarly,
                .caught_by = {"linearizability", "a watcher's index goes back"},
                .runs_max = 100,
                .change = Slow});
}

TEST(ClusterMistakesTest, ALeadersReadOfWhatItHasNotYetApplied) {
  ExpectCaught({.mistake = Mistake::kLeaderReadUnapplied,
                .caught_by = {"linearizability", "a watcher's index goes back"},
                .runs_max = 50,
                .change = [](SimOptions* options) {
                  options->apply_delay_max = Milliseconds(40);
                  options->think_max = Milliseconds(10);
                }});
}

TEST(ClusterMistakesTest, AnEntryOfAnOlderTermCommittedByCounting) {
  ExpectCaught({.mistake = Mistake::kCommitOfOlderTerm,
                .caught_by = {"figure 8", "commit: "},
                .runs_max = 100,
                .change = [](SimOptions* options) {
                  options->think_max = Milliseconds(10);
                  options->core.append_bytes_max = 1024;
                  options->core.in_flight_requests_max = 1;
                }});
}

TEST(ClusterMistakesTest, ALeaseThatOutlives) {
  ExpectCaught({.mistake = Mistake::kLeaseOutlives,
                .caught_by = {"linearizability", "a watcher's index goes back"},
                .runs_max = 100,
                .change = Slow});
}

// Clocks that drift apart by far more than kClockDriftPercent break a lease: the bound is needed,
// and it is the lease that needs it.
TEST(ClusterMistakesTest, ClocksThatDriftBeyondTheBound) {
  ExpectCaught({.caught_by = {"lease"}, .runs_max = 100, .change = [](SimOptions* options) {
                  options->drift_ppm_max = 400'000;
                }});
}

}  // namespace
}  // namespace consul::sim
