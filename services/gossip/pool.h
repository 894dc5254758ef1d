// services/gossip/pool.h
//
// A gossip pool as the rest of the agent sees it: the members as last published, the clocks and
// counts that `consul info` shows, and an event for each change. LAN and WAN are two pools of this
// one type.
//
// Threads: members() and Stats() from any; the rest from the thread that owns the pool.
#ifndef CONSUL_SERVICES_GOSSIP_POOL_H_
#define CONSUL_SERVICES_GOSSIP_POOL_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "consul/agent/v1/agent.pb.h"
#include "services/gossip/member_list.h"

namespace consul::gossip {

enum class EventKind { kMemberJoin, kMemberLeave, kMemberFailed, kMemberReap, kMemberUpdate };

// "EventMemberJoin", as log lines carry it.
const char* EventName(EventKind kind);

struct Event {
  EventKind kind;
  agent::v1::Member member;
};

class Pool {
 public:
  using Members = MemberList::Members;
  using Listener = std::function<void(const Event&)>;

  // A pool of `self` alone, which has joined: `listener` hears of it inside the constructor.
  Pool(agent::v1::Member self, Listener listener);

  const MemberList& list() const { return list_; }
  std::shared_ptr<const Members> members() const { return list_.members(); }

  // Says that the own member leaves, then that it has left. Idempotent.
  void Leave();

  // Name and value of each figure, sorted by name: the keys of `consul info`'s serf groups.
  std::vector<std::pair<std::string, std::string>> Stats() const;

 private:
  void Publish(agent::v1::MemberStatus status);
  // The Lamport clock of joins and leaves ticks (Serf: a member's intents are ordered by it).
  void Tick() { member_time_.fetch_add(1, std::memory_order_relaxed); }

  agent::v1::Member self_;
  const Listener listener_;
  std::atomic<uint64_t> member_time_{0};
  MemberList list_;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_POOL_H_
