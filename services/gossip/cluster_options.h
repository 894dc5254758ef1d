// services/gossip/cluster_options.h
//
// The tunables of Cluster, what a member wakes up with, and all limits of the layer above Swim with
// their reasons.
//
// Threads: pure values.
// Background: services/gossip/README.md (Cluster).
#ifndef CONSUL_SERVICES_GOSSIP_CLUSTER_OPTIONS_H_
#define CONSUL_SERVICES_GOSSIP_CLUSTER_OPTIONS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "services/gossip/member.h"
#include "services/gossip/swim_options.h"
#include "services/gossip/types.h"

namespace consul::gossip {

// Versions of cluster.proto's messages that this program understands: min, max, spoken.
inline constexpr Protocol kClusterVersions{1, 1, 1};

struct ClusterOptions {
  // Cluster sets `remember_dead`, `remember_left` and `custom_bytes_max` itself.
  SwimOptions swim = SwimOptions::Lan();

  // ---- Members that are gone.
  // A failed member is tried again, by chance, so that the pool as a whole tries each about once an
  // interval: with failed/alive as the chance. On top of that, one that failed t ago is left alone
  // by this member for t / reconnect_patience, at most reconnect_wait_max, after an attempt: a cut
  // of an hour heals within minutes, one of a minute within an interval.
  Duration reconnect_interval = std::chrono::seconds(30);
  int reconnect_patience = 20;
  Duration reconnect_wait_max = std::chrono::minutes(5);
  // A failed member is forgotten after this; the reference's agent has 72 h.
  Duration reconnect_timeout = std::chrono::hours(72);
  // One that left.
  Duration tombstone_timeout = std::chrono::hours(24);
  Duration reap_interval = std::chrono::seconds(15);
  // Between the forgetting here and the forgetting in Swim's table: others' clocks may be as late,
  // and must not teach us anew what we have just forgotten.
  Duration reap_grace = std::chrono::minutes(1);

  // ---- Leave: the intent to leave is gossiped for at most this, then Swim leaves, for at most
  // swim.leave_timeout; both end sooner when all is said. Nothing in a pool of one. The reference
  // then waits for the word to spread (1 s, or 3 s). There is no need: who has not heard it yet and
  // suspects the member is told better by those who have, for left outweighs suspect.
  Duration broadcast_timeout = std::chrono::seconds(5);

  // ---- Intents about members that are not known yet: a message may be quicker than its member.
  Duration recent_intent_timeout = std::chrono::minutes(5);
  size_t recent_intents_max = 1024;

  // ---- User events.
  // Name and payload together, as a user gives them.
  size_t user_event_bytes_max = 512;
  // Different events of one Lamport time that are told apart: more are dropped, and a fact says so.
  // With 512 slots this bounds the memory.
  size_t events_per_time_max = 32;
  // Of remembered events sent to one member after one exchange; the next exchange goes on.
  size_t replay_bytes_max = 64 << 10;

  // ---- Coalescing: within `period` only what matters in the end is told, at once when nothing
  // came for `quiescent_period`. Zero: off, each event is told as it comes. The reference's
  // stand-alone agent has 3 s and 1 s for both; Consul has it off.
  Duration coalesce_period{0};
  Duration quiescent_period{0};
  Duration user_coalesce_period{0};
  Duration user_quiescent_period{0};
  // Members or event names that wait; the next one ends the period.
  size_t coalesce_max = 4096;

  // ---- Queries.
  // The default timeout is gossip_interval * query_timeout_mult * ceil(log10(members + 1)).
  int query_timeout_mult = 16;
  // Of one encoded query, and of one encoded answer: both go in one packet.
  size_t query_bytes_max = 1024;
  size_t response_bytes_max = 1024;
  // Different queries of one Lamport time, as of events.
  size_t queries_per_time_max = 32;
  // Own queries under way.
  size_t queries_max = 64;
  // Members that are counted as answering one query.
  size_t query_replies_max = 100'000;
  // Others' queries that may still be answered here; the oldest makes room.
  size_t queries_received_max = 1024;
  // Changes of keys that wait until the one before is stored.
  size_t key_changes_max = 16;

  // ---- Coordinates.
  bool coordinates = true;  // false: acks carry none, and CoordinateOf knows nobody

  // ---- The snapshot on disk: clocks are written at most this often.
  Duration clock_record_interval = std::chrono::milliseconds(500);

  static ClusterOptions Lan() { return {}; }
  static ClusterOptions Wan() {
    ClusterOptions options;
    options.swim = SwimOptions::Wan();
    return options;
  }
};

// What a member remembers from its last life (member_snapshot.h). A new one passes the default.
struct ClusterRestart {
  // The next Lamport times that it would have given. User events and queries before them are not
  // told again.
  LamportTime member_time;
  LamportTime event_time;
  LamportTime query_time;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_CLUSTER_OPTIONS_H_
