// tests/sim/cluster/sim_cluster.h
//
// The servers of one run, the network between them, and the checks that watch them.
//
// Threads: none; a run owns it.
// Background: tests/README.md (The simulator of clusters).
#ifndef CONSUL_TESTS_SIM_CLUSTER_SIM_CLUSTER_H_
#define CONSUL_TESTS_SIM_CLUSTER_SIM_CLUSTER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "services/raft/core/configuration.h"
#include "tests/sim/cluster/cluster_checks.h"
#include "tests/sim/cluster/sim_network.h"
#include "tests/sim/cluster/sim_options.h"
#include "tests/sim/cluster/sim_server.h"
#include "tests/sim/cluster/sim_world.h"

namespace consul::sim {

class SimCluster {
 public:
  // All servers start; the voters form a new cluster, the spares know nothing.
  explicit SimCluster(const SimOptions& options);

  const SimOptions& options() const { return options_; }
  SimWorld& world() { return world_; }
  SimNetwork& network() { return network_; }
  ClusterChecks& checks() { return checks_; }
  std::vector<std::unique_ptr<SimServer>>& servers() { return servers_; }
  SimServer& server(size_t i) { return *servers_[i]; }
  SimServer& AnyServer() { return *servers_[world_.Below(servers_.size())]; }

  bool sound() const { return checks_.broken().empty(); }
  void RunFor(Duration duration);

  // Of the highest term; null: none.
  SimServer* leader();
  // Those of the leader's configuration; none without a leader.
  std::vector<SimServer*> Members();

  // Stops the process. With kKept it was killed, and its peers see their streams break; else its
  // machine stopped, and nobody is told. It starts again after `pause`.
  void Kill(SimServer* server, base::Unsynced unsynced, Duration pause);
  // Starts all that are down.
  void StartAll();

 private:
  void StartSoon(SimServer* server, Duration pause);
  void Stepped();

  const SimOptions options_;
  SimWorld world_;
  ClusterChecks checks_;
  SimNetwork network_;
  raft::Configuration first_;
  std::vector<std::unique_ptr<SimServer>> servers_;
  std::vector<raft::ServerView> views_;
};

}  // namespace consul::sim

#endif  // CONSUL_TESTS_SIM_CLUSTER_SIM_CLUSTER_H_
