// tests/sim/cluster/cluster_checks.h
//
// What must hold in a run whatever happens to its servers, looked at after every step: Raft's own
// promises (raft::Invariants), one entry an index for ever, one state an index on all servers, and
// answers that say what the log says. The first broken promise ends the run.
//
// Threads: none; a run owns it.
#ifndef CONSUL_TESTS_SIM_CLUSTER_CLUSTER_CHECKS_H_
#define CONSUL_TESTS_SIM_CLUSTER_CLUSTER_CHECKS_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "services/raft/core/invariants.h"
#include "services/raft/core/types.h"
#include "services/raft/state_machine.h"
#include "tests/sim/cluster/reference_kv.h"
#include "tests/sim/cluster/sim_options.h"
#include "tests/sim/cluster/sim_world.h"

namespace consul::sim {

// What a server answers to a read: the state at `applied`.
struct KvAnswer {
  uint64_t applied = 0;  // of the server, when it read
  uint64_t index = 0;    // X-Consul-Index
  KvRows rows;
  friend bool operator==(const KvAnswer&, const KvAnswer&) = default;
};

class ClusterChecks {
 public:
  ClusterChecks(SimWorld* world, bool look_inside) : world_(world), look_inside_(look_inside) {}

  const std::string& broken() const { return broken_; }
  void Break(std::string what);

  // ---- The cores, and what they say.
  void OnOutput(const raft::ServerView& server, const raft::Output& output);
  void OnSend(const raft::ServerView& server, const raft::Message& message);
  void OnReadRequested(const raft::ServerId& server, raft::ReadId id);
  void OnReadAnswered(const raft::ServerView& server, const raft::ReadResult& result);
  void OnStop(const raft::ServerId& server);
  // After each step of anything.
  void Check(const std::vector<raft::ServerView>& servers);

  // ---- The state machines.
  // `entries` were applied and gave `results`; the state that they left has this hash.
  void OnApplied(const raft::ServerView& server, const std::vector<raft::Entry>& entries,
                 const std::vector<raft::ApplyResult>& results, uint64_t state_hash);
  // A snapshot brought `server` to `index`.
  void OnInstalled(const raft::ServerId& server, raft::Index index, uint64_t state_hash);
  // A read of `key`, or of all under it, was answered.
  void OnAnswer(const raft::ServerId& server, const std::string& key, bool recurse,
                const KvAnswer& answer);
  // A blocked query that has seen `index` still waits, while its server has applied `applied`.
  void OnStillWaiting(const raft::ServerId& server, const std::string& key, bool recurse,
                      uint64_t index, uint64_t applied);

  const ReferenceKv& reference() const { return reference_; }

 private:
  void CheckState(const raft::ServerId& server, uint64_t index, uint64_t state_hash);

  SimWorld* const world_;
  const bool look_inside_;
  std::string broken_;
  raft::Invariants invariants_;
  ReferenceKv reference_;
  std::vector<std::pair<raft::Term, raft::Buffer>> applied_;  // by index - 1
  std::map<uint64_t, std::pair<uint64_t, raft::ServerId>> states_;  // by index: hash, who was first
};

}  // namespace consul::sim

#endif  // CONSUL_TESTS_SIM_CLUSTER_CLUSTER_CHECKS_H_
