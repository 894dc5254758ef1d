// tests/sim/cluster/sim_faults.h
//
// What goes wrong in a run, one thing after the other, several at once: the network, the disks, the
// processes, the machines, the clocks; and what operators do meanwhile to who is a member.
//
// Threads: none; a run owns it.
#ifndef CONSUL_TESTS_SIM_CLUSTER_SIM_FAULTS_H_
#define CONSUL_TESTS_SIM_CLUSTER_SIM_FAULTS_H_

#include <cstdint>

#include "tests/sim/cluster/sim_cluster.h"

namespace consul::sim {

class SimFaults {
 public:
  explicit SimFaults(SimCluster* cluster);

  void Begin();
  // Nothing goes wrong any more, and what went wrong is mended, but for the clocks, which drift on.
  void End();

  uint64_t stops() const { return stops_; }

 private:
  void Next();
  void Act();
  void StopOne();
  void StopAll();
  void PauseOne();
  void CutSome();
  void Isolate();
  void Partition();
  void ChangeWeather();
  void TroubleDisk();
  void ChangeMembers();

  SimCluster* const cluster_;
  SimWorld& world_;
  bool ended_ = false;
  // How much of each kind this run has, so that runs differ in what they are about.
  double stopping_;
  double cutting_;
  double weather_;
  double disks_;
  double members_;
  Duration pause_max_;  // between two
  uint64_t stops_ = 0;
};

}  // namespace consul::sim

#endif  // CONSUL_TESTS_SIM_CLUSTER_SIM_FAULTS_H_
