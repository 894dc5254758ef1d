// tests/sim/cluster/sim_server.h
//
// One server of a simulated cluster: a real core, a real log, a real state machine, and between
// them a driver that does what services/raft/core/output.h asks, in virtual time. Its process can
// be killed, paused and started again, its machine can lose power, its clock drifts.
//
// Threads: none; a run owns it.
// Background: services/raft/core/output.h, services/raft/README.md (The driver's contract).
#ifndef CONSUL_TESTS_SIM_CLUSTER_SIM_SERVER_H_
#define CONSUL_TESTS_SIM_CLUSTER_SIM_SERVER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "services/raft/core/core.h"
#include "services/raft/core/invariants.h"
#include "services/server/replicated_state.h"
#include "tests/sim/cluster/cluster_checks.h"
#include "tests/sim/cluster/sim_calls.h"
#include "tests/sim/cluster/sim_disk.h"
#include "tests/sim/cluster/sim_network.h"
#include "tests/sim/cluster/sim_options.h"
#include "tests/sim/cluster/sim_world.h"

namespace consul::sim {

class SimServer {
 public:
  struct Hooks {
    std::function<void()> stepped;  // after each step: look at the whole cluster
    // The process ended by itself: the disk failed it.
    std::function<void(SimServer*)> died;
  };

  SimServer(SimWorld* world, SimNetwork* network, ClusterChecks* checks, const SimOptions& options,
            raft::ServerId id, uint64_t number, Hooks hooks);
  ~SimServer() { Stop(base::Unsynced::kKept); }

  const raft::ServerId& id() const { return id_; }
  bool up() const { return core_ != nullptr; }
  bool paused() const { return paused_; }
  bool leads() const { return up() && core_->role() == raft::Role::kLeader; }
  const raft::Core& core() const { return *core_; }
  uint64_t lives() const { return lives_; }
  raft::ServerView view() const;
  raft::Time LocalNow() const { return clock_.Local(world_->now()); }

  // ---- The process.

  // With `first`, begins as a member of this new cluster where it has no state yet. False: it could
  // not start, because its disk is full or fails; try again.
  bool Start(const raft::Configuration& first);
  void Stop(base::Unsynced unsynced);
  void Pause() { paused_ = true; }
  void Resume();

  // ---- What comes in.

  void Receive(raft::Message message);
  void StreamBroken(const raft::ServerId& peer);
  // `done` is called once, unless the process ends first; then with kUnknown.
  void Begin(Request request, std::function<void(const Answer&)> done);
  void ChangeMembership(const raft::MembershipChange& change);
  void TransferLeadership(const raft::ServerId& target);

  // ---- Faults.

  SimDisk& disk() { return disk_; }
  void SetDrift(int64_t ppm) { clock_.SetDrift(world_->now(), ppm); }
  void SetApplyDelay(Duration max) { apply_delay_max_ = max; }
  void ResetApplyDelay() { apply_delay_max_ = options_.apply_delay_max; }

 private:
  struct AfterPersist {
    raft::PersistId wait_for;
    std::vector<raft::Message> messages;
  };

  SimDisk::Hooks DiskHooks();
  SimCalls::Server CallsServer();
  // Runs `event` after `delay`, unless this life is over by then; a pause puts it off.
  void After(Duration delay, std::function<void()> event);
  void Now(std::function<void()> event);
  void Pump();
  void Handle(raft::Output output);
  void HandlePersist(raft::Persist persist, AfterPersist then);
  void OnPersisted(raft::PersistId id);
  // What waited for what is durable now.
  void SendDurable();
  void Send(raft::Message message);
  void ScheduleApply();
  void ApplyAll();
  void Store(const raft::SnapshotStore& store);
  void RestoreWhenDue();
  void TakeSnapshotWhenDue();
  void ArmTimer();
  uint64_t StateHash() const;
  // For Mistake::kCommitOfOlderTerm: counts acks as a leader does, and tells followers that what a
  // majority has is committed, whatever its term.
  void CountOlderTerms(const raft::Message& message);
  raft::Index CountedFor(const raft::ServerId& peer) const;

  SimWorld* const world_;
  SimNetwork* const network_;
  ClusterChecks* const checks_;
  const SimOptions& options_;
  const raft::ServerId id_;
  const uint64_t number_;
  const Hooks hooks_;
  SimClock clock_;
  SimDisk disk_;
  Duration apply_delay_max_;

  uint64_t lives_ = 0;
  bool paused_ = false;
  std::vector<std::function<void()>> put_off_;  // by the pause

  // Of one life.
  std::unique_ptr<raft::Core> core_;
  std::unique_ptr<server::ReplicatedState> state_;
  std::unique_ptr<SimCalls> calls_;
  raft::PersistId persisted_;
  std::deque<AfterPersist> after_persist_;
  std::vector<raft::Entry> to_apply_;
  bool apply_scheduled_ = false;
  std::optional<TrueTime> timer_at_;
  raft::Term counted_term_;
  std::map<raft::ServerId, raft::Index> counted_;
};

}  // namespace consul::sim

#endif  // CONSUL_TESTS_SIM_CLUSTER_SIM_SERVER_H_
