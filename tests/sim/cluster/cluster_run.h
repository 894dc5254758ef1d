// tests/sim/cluster/cluster_run.h
//
// One run: a cluster under faults with clients at work, then a time without faults in which it must
// recover, then the checks of the whole.
//
// Threads: none.
// Background: tests/README.md (The simulator of clusters).
#ifndef CONSUL_TESTS_SIM_CLUSTER_CLUSTER_RUN_H_
#define CONSUL_TESTS_SIM_CLUSTER_CLUSTER_RUN_H_

#include <cstdint>
#include <string>

#include "tests/sim/cluster/sim_options.h"

namespace consul::sim {

struct RunResult {
  std::string broken;  // the first promise that was broken; empty: none
  std::string trace;   // the last of what happened, when options.tracing
  uint64_t steps = 0;
  uint64_t operations = 0;  // of clients, not refused
  uint64_t unknown = 0;     // of them of unknown outcome
  uint64_t changes = 0;     // that watchers saw
  uint64_t entries = 0;     // committed
  uint64_t terms = 0;
  uint64_t stops = 0;       // of processes and machines
  Duration recovery{0};     // from the last fault until all members agree
};

RunResult RunCluster(const SimOptions& options);

}  // namespace consul::sim

#endif  // CONSUL_TESTS_SIM_CLUSTER_CLUSTER_RUN_H_
