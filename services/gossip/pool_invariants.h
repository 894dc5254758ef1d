// services/gossip/pool_invariants.h
//
// What must hold at every member after every step, whatever the network did. Each is stated once,
// in the message of the check that finds it broken.
//
// Threads: none; a test owns it.
// Background: services/gossip/README.md (Cluster, Tests).
#ifndef CONSUL_SERVICES_GOSSIP_POOL_INVARIANTS_H_
#define CONSUL_SERVICES_GOSSIP_POOL_INVARIANTS_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>

#include "services/gossip/cluster.h"

namespace consul::gossip {

class PoolInvariants {
 public:
  // A member starts: what it knew is gone. With `coalesces` its events come later than its view.
  void Started(const std::string& name, bool coalesces);
  // It gave `output` and stands as `cluster` now. REQUIRES: nothing happened to it since.
  void Check(const std::string& name, const Cluster& cluster, const ClusterOutput& output);

  // Empty, or which invariant broke first, and where.
  const std::string& broken() const { return broken_; }
  size_t checks() const { return checks_; }

 private:
  struct Gone {
    Incarnation incarnation;
    std::string id;
    LifeState state = LifeState::kDead;  // for Swim
  };
  struct Seen {
    std::map<std::string, ClusterMember> published;  // by members_changed and Find alone
    std::map<std::string, MemberStatus> told;         // by member events alone
    std::map<std::string, Gone> gone;                 // as they were when they were last told gone
    bool coalesces = false;
    std::set<std::tuple<uint64_t, std::string, std::string>> events;
    std::set<ReceivedQueryId> queries;
    ClusterStats stats;
    bool leave_done = false;
  };

  void CheckPublished(Seen* seen, const Cluster& cluster, const ClusterOutput& output);
  void CheckMemberEvents(Seen* seen, const Cluster& cluster, const ClusterOutput& output);
  static bool InLaterLife(const Seen& seen, const std::string& name,
                          const std::optional<Entry>& entry);
  void CheckStatuses(const Seen& seen, const Cluster& cluster);
  void CheckWords(Seen* seen, const ClusterOutput& output);
  void CheckStats(Seen* seen, const Cluster& cluster);
  void Expect(bool holds, std::string_view what, std::string_view about = "");

  std::map<std::string, Seen> seen_;
  std::string at_;  // whom we look at
  std::string broken_;
  size_t checks_ = 0;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_POOL_INVARIANTS_H_
