// services/server/leader_duties.h
//
// What the leader does that nobody asks for: it gives the cluster its id, turns membership into
// catalog entries, and lets old tombstones be forgotten. Begins when an entry of the leader's own
// term is applied, ends with its lead.
//
// Threads: one of its own, `leader`; all methods from any.
#ifndef CONSUL_SERVICES_SERVER_LEADER_DUTIES_H_
#define CONSUL_SERVICES_SERVER_LEADER_DUTIES_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "consul/agent/v1/agent.pb.h"
#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/gossip/pool.h"
#include "services/rpc/consensus.h"
#include "services/state/version_source.h"

namespace consul::internal::raft::v1 {
class Command;
}  // namespace consul::internal::raft::v1

namespace consul::server {

class LeaderDuties {
 public:
  struct Options {
    std::string node_name;
    std::string datacenter;
    // Membership is compared in full so often, besides after each event.
    std::chrono::milliseconds reconcile_interval = std::chrono::seconds(60);
    // A tombstone is kept for this long, so that a reader who polls sees a delete; collected at
    // this grain.
    std::chrono::milliseconds tombstone_ttl = std::chrono::minutes(15);
    std::chrono::milliseconds tombstone_grain = std::chrono::seconds(30);
    // Told on the leader thread each time that a lead has begun and the members are in the catalog.
    std::function<void()> begun = [] {};
  };

  // All outlive it.
  LeaderDuties(Options options, const gossip::Pool* lan, rpc::Consensus* consensus,
               state::VersionSource* state, base::Logger* logger);
  ~LeaderDuties();

  // This server has begun to lead, and may read and write; or does not lead any more.
  void Lead();
  void Follow();
  // The pool has changed.
  void MembersChanged();

  // Ends; returns when the last write is done. Idempotent.
  void Stop();

 private:
  using Clock = std::chrono::steady_clock;

  void Run();
  void Begin();
  void NameCluster();
  void Reconcile();
  void ReconcileAlive(const agent::v1::Member& member);
  void CollectTombstones();
  // Proposes and waits. Logs what went wrong.
  bool Write(internal::raft::v1::Command* command, std::string_view what);

  const Options options_;
  const gossip::Pool* const lan_;
  rpc::Consensus* const consensus_;
  state::VersionSource* const state_;
  base::Logger* const logger_;

  base::Mutex mutex_;
  base::CondVar changed_;
  bool leads_ GUARDED_BY(mutex_) = false;
  bool begin_ GUARDED_BY(mutex_) = false;
  bool members_changed_ GUARDED_BY(mutex_) = false;
  bool stop_ GUARDED_BY(mutex_) = false;

  // The leader thread's own: the state's index at each grain, oldest first.
  std::deque<std::pair<Clock::time_point, uint64_t>> index_at_;
  uint64_t collected_ = 0;
  std::thread thread_;
};

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_LEADER_DUTIES_H_
