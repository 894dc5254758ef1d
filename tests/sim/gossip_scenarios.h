// tests/sim/gossip_scenarios.h
//
// What pools of hundreds and thousands do in virtual time, measured: how soon a death is detected,
// known and confirmed, how often the living are taken for dead, and what a pool at rest costs.
//
// Threads: none of its own.
// Background: docs/GOSSIP.md.
#ifndef CONSUL_TESTS_SIM_GOSSIP_SCENARIOS_H_
#define CONSUL_TESTS_SIM_GOSSIP_SCENARIOS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "services/gossip/sim_pool.h"
#include "services/gossip/swim_options.h"

namespace consul::gossip {

// The same code without what Lifeguard adds, and without pings on a stream.
SwimOptions PlainSwim();

// `count` members that have known each other for long, on a network of half a millisecond.
std::unique_ptr<SimPool> MakePool(const SwimOptions& options, size_t count, uint64_t seed);

// Seconds from a death to the first suspicion.
struct DetectionFigures {
  size_t deaths = 0;
  double mean = 0;
  double error = 0;  // standard error of the mean
};

// Members die without a word, `deaths` of them, one in each `spacing`.
DetectionFigures MeasureDetection(const SwimOptions& options, size_t count, size_t deaths,
                                  Duration spacing, uint64_t seed);

// Seconds from the first suspicion on.
struct SpreadFigures {
  size_t deaths = 0;
  double known_mean = 0;  // until 99 % suspect the dead member, or know it dead
  double known_max = 0;
  double confirmed_mean = 0;  // until somebody declares it dead
  double confirmed_max = 0;
  double confirmed_all_mean = 0;  // until 99 % know that it is dead
  double formula = 0;             // Lifeguard's suspicion time for a pool of this size
  // Share of members that know, at each hundredth of a second after the death, over all deaths:
  // that suspect it, or know it dead; and that know it dead.
  std::vector<double> suspected_curve;
  std::vector<double> dead_curve;
};

// Members die without a word, one after the other; each comes back when its death is known.
SpreadFigures MeasureSpread(const SwimOptions& options, size_t count, size_t deaths,
                            uint64_t seed);

struct FalsePositiveFigures {
  // How often a member began to believe that a living one is dead.
  uint64_t of_running = 0;  // of one that ran well: not one whose turn it was
  uint64_t of_paused = 0;
  uint64_t suspicions = 0;  // of members that ran well
};

// All packets are lost with this probability.
FalsePositiveFigures MeasureLoss(const SwimOptions& options, size_t count, double loss,
                                 Duration duration, uint64_t seed);

// A share of the members stops and goes: each of them stops for `pause`, runs for `gap`, and so on;
// after a minute it is the next share's turn.
struct Pauses {
  double share = 0.02;
  // The whole process stops (SIGSTOP), or its sockets alone, while its timers run on: the anomaly
  // that Lifeguard's authors made.
  bool sockets_only = false;
  Duration pause{};
  Duration gap = std::chrono::milliseconds(300);
};

FalsePositiveFigures MeasurePauses(const SwimOptions& options, size_t count, const Pauses& pauses,
                                   Duration duration, uint64_t seed);

struct RestFigures {
  double packet_bytes = 0;  // that a member sends in a second
  double packets = 0;
  double exchange_bytes = 0;  // of one exchange, both ways
  double exchanges = 0;       // in the whole pool in a second
};

RestFigures MeasureRest(const SwimOptions& options, size_t count, Duration duration,
                        uint64_t seed);

}  // namespace consul::gossip

#endif  // CONSUL_TESTS_SIM_GOSSIP_SCENARIOS_H_
