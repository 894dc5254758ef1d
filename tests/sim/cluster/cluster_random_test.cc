// Goal: whatever happens to the network, the disks, the processes, the machines and the clocks of a
// cluster, it loses nothing that it has acknowledged, its servers keep one state, its clients see
// one register for each key, and it recovers when the faults end. Method: clusters of three and
// five from the real cores, logs and state machines in virtual time, one seed one run.
//
//   SEED=n     one run (printed when one fails), with the last lines of what happened
//   SEEDS=n    so many runs from SEED, or from 1
//
// Seeds that ever failed are in cluster_seeds.txt and run every time.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "services/base/strings.h"
#include "tests/sim/cluster/cluster_run.h"
#include "tests/sim/cluster/sim_options.h"

namespace consul::sim {
namespace {

constexpr uint64_t kRunsDefault = 1000;
constexpr uint64_t kShards = 4;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// Those of one shard.
std::vector<uint64_t> Seeds(uint64_t shard) {
  std::vector<uint64_t> seeds;
  const bool one = std::getenv("SEED") != nullptr;
  const uint64_t from = FromEnvironment("SEED", 1);
  const uint64_t runs = FromEnvironment("SEEDS", one ? 1 : kRunsDefault);
  if (!one && shard == 0) {
    std::ifstream file("tests/sim/cluster/cluster_seeds.txt");
    EXPECT_TRUE(file.good());
    for (std::string line; std::getline(file, line);) {
      if (!line.empty() && line[0] != '#') seeds.push_back(std::stoull(line));
    }
  }
  for (uint64_t seed = from + shard; seed < from + runs; seed += kShards) seeds.push_back(seed);
  return seeds;
}

// What a failing seed has to say: the run again, with its trace.
std::string Explain(uint64_t seed, const RunResult& failed) {
  SimOptions options = OptionsOf(seed);
  options.tracing = true;
  const RunResult again = RunCluster(options);
  return base::StrCat(again.trace, "\nSEED=", seed, ": ", failed.broken,
                      again.broken == failed.broken ? "" : "\nand not so when run again",
                      "\nRepeat it by: SEED=", seed,
                      " bazel-bin/tests/sim/cluster/cluster_random_test\n");
}

// A CHECK of the program ends the process, and the run cannot say any more which it was.
std::atomic<uint64_t> g_seed{0};

void SaySeed(int) {
  char text[80];
  const int size = std::snprintf(text, sizeof(text), "SEED=%llu ended the process\n",
                                 static_cast<unsigned long long>(g_seed.load()));
  if (write(STDERR_FILENO, text, static_cast<size_t>(size)) < 0) return;
}

class ClusterRandomTest : public testing::TestWithParam<uint64_t> {};

TEST_P(ClusterRandomTest, PromisesHoldUnderFaultsAndTheClusterRecovers) {
  RunResult sum;
  Duration longest{0};
  const std::vector<uint64_t> seeds = Seeds(GetParam());
  if (seeds.empty()) GTEST_SKIP() << "no seeds for this shard";
  std::signal(SIGABRT, SaySeed);
  for (const uint64_t seed : seeds) {
    g_seed = seed;
    const RunResult run = RunCluster(OptionsOf(seed));
    ASSERT_EQ(run.broken, "") << Explain(seed, run);
    sum.steps += run.steps;
    sum.operations += run.operations;
    sum.unknown += run.unknown;
    sum.changes += run.changes;
    sum.entries += run.entries;
    sum.terms += run.terms;
    sum.stops += run.stops;
    sum.recovery += run.recovery;
    longest = std::max(longest, run.recovery);
  }
  const auto count = seeds.size();
  const auto in_ms = [](Duration duration) { return duration / std::chrono::milliseconds(1); };
  std::cout << count << " runs; in the mean of each " << sum.steps / count << " steps, "
            << sum.operations / count << " operations (" << sum.unknown / count
            << " of unknown outcome), " << sum.changes / count << " changes seen by watchers, "
            << sum.entries / count << " entries, " << sum.terms / count << " terms, "
            << sum.stops / count << " stops; recovered after "
            << in_ms(sum.recovery) / static_cast<int64_t>(count) << " ms, at the latest "
            << in_ms(longest) << " ms" << std::endl;
  // The runs did something: clusters where nothing goes wrong and nobody calls show nothing.
  if (count < 100) return;
  EXPECT_GT(sum.operations, count * 100);
  EXPECT_GT(sum.unknown, count);
  EXPECT_GT(sum.changes, count * 20);
  EXPECT_GT(sum.terms, count * 3);
  EXPECT_GT(sum.stops, count * 2);
}

INSTANTIATE_TEST_SUITE_P(Shard, ClusterRandomTest, testing::Range<uint64_t>(0, kShards));

TEST(ClusterRepeatTest, OneSeedIsOneRun) {
  for (const uint64_t seed : {uint64_t{7}, uint64_t{8}}) {
    SimOptions options = OptionsOf(seed);
    options.tracing = true;
    const RunResult one = RunCluster(options);
    const RunResult same = RunCluster(options);
    EXPECT_EQ(one.broken, same.broken);
    EXPECT_EQ(one.steps, same.steps);
    EXPECT_EQ(one.trace, same.trace);
    EXPECT_GT(one.steps, 1000u);
  }
}

}  // namespace
}  // namespace consul::sim
