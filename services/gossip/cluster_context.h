// services/gossip/cluster_context.h
//
// What the parts of one Cluster share: its Swim, clocks, chance, time and output. The parts
// (cluster_members.h, cluster_events.h, cluster_queries.h, cluster_keys.h, cluster_coordinates.h)
// each keep one noun; Cluster hands out what comes and collects what they want.
//
// Threads: as Cluster.
// Background: services/gossip/README.md (Cluster).
#ifndef CONSUL_SERVICES_GOSSIP_CLUSTER_CONTEXT_H_
#define CONSUL_SERVICES_GOSSIP_CLUSTER_CONTEXT_H_

#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "consul/internal/gossip/v1/cluster.pb.h"
#include "services/gossip/cluster_options.h"
#include "services/gossip/cluster_output.h"
#include "services/gossip/lamport_clock.h"
#include "services/gossip/random.h"
#include "services/gossip/swim.h"
#include "services/gossip/types.h"

namespace consul::gossip {

struct ClusterContext {
  ClusterContext(const ClusterOptions& cluster_options, PoolIdentity pool, MemberInfo self,
                 uint64_t seed, Time start);

  const std::string& self_name() const { return swim.self().name; }
  bool IsSelf(std::string_view name) const { return name == self_name(); }
  // Whether there is anybody else to speak with.
  bool alone() const { return swim.counts().living() <= 1; }

  // Spreads `message`; nothing in a pool of one.
  void Broadcast(std::string_view topic, const internal::gossip::v1::ClusterMessage& message,
                 Priority priority);
  // Sends `message` to one member.
  void Send(const Endpoint& to, const internal::gossip::v1::ClusterMessage& message);

  void Say(ClusterFact fact) { output.cluster_facts.push_back(std::move(fact)); }

  const ClusterOptions options;
  Time now;
  Random random;
  Swim swim;
  LamportClock member_clock;
  LamportClock event_clock;
  LamportClock query_clock;
  ClusterOutput output;
  std::set<std::string> members_changed;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_CLUSTER_CONTEXT_H_
