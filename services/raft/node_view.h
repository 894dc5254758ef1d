// services/raft/node_view.h
//
// What is published of Core at each turn, for everybody else to read without waiting for one.
//
// Threads: Publish in a turn (node_turn.cc); the rest on any.
#ifndef CONSUL_SERVICES_RAFT_NODE_VIEW_H_
#define CONSUL_SERVICES_RAFT_NODE_VIEW_H_

#include <atomic>
#include <vector>

#include "services/base/mutex.h"
#include "services/raft/core/core.h"
#include "services/raft/core/types.h"
#include "services/raft/node.h"

namespace consul::raft {

// CLOCK_BOOTTIME.
Time BootNow();

class NodeView {
 public:
  // `handed` is the last entry that was handed to the state machine. Returns true when the leader
  // has become ready by it.
  bool Publish(const Core& core, Index handed);

  bool leads() const { return role_.load(std::memory_order_acquire) == Role::kLeader; }
  bool leader_known() const { return leader_known_.load(std::memory_order_acquire); }
  bool ready() const { return ready_.load(std::memory_order_acquire); }
  // Leads, and nobody but this server can acknowledge anything: reads need nobody else.
  bool alone() const { return alone_.load(std::memory_order_acquire); }
  // Leads by a lease that holds now, and `applied` includes all that anybody may have acknowledged:
  // followers learn what is committed only after it was published here.
  bool LeaseHolds(Index applied) const;
  Term last_term() const { return Term{last_term_.load(std::memory_order_relaxed)}; }
  NodeStatus status(Index applied) const;
  ServerId leader() const;
  std::vector<MemberProgress> members() const;
  PlacedConfiguration configuration() const;
  SnapshotMeta snapshot() const;

 private:
  void PublishMembers(const Core& core);

  std::atomic<Role> role_{Role::kFollower};
  std::atomic<uint64_t> term_{0};
  std::atomic<bool> leader_known_{false};
  std::atomic<bool> ready_{false};
  std::atomic<bool> alone_{false};
  std::atomic<bool> member_{false};
  std::atomic<uint64_t> last_index_{0};
  std::atomic<uint64_t> last_term_{0};
  std::atomic<uint64_t> handed_{0};
  std::atomic<uint64_t> commit_{0};
  std::atomic<Time::rep> lease_until_{Time::min().time_since_epoch().count()};
  std::atomic<Time::rep> contact_at_{0};
  std::atomic<bool> had_contact_{false};
  Time members_at_;  // of whoever has the turn: when members_ was made
  mutable base::Mutex mutex_;
  ServerId leader_ GUARDED_BY(mutex_);
  std::vector<MemberProgress> members_ GUARDED_BY(mutex_);
  PlacedConfiguration configuration_ GUARDED_BY(mutex_);
  SnapshotMeta snapshot_ GUARDED_BY(mutex_);
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_NODE_VIEW_H_
