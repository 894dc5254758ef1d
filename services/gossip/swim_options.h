// services/gossip/swim_options.h
//
// The tunables of one member's failure detection and dissemination. All limits of Swim stand here
// with their reasons.
//
// Threads: pure values.
// Background: services/gossip/swim.md; docs/GOSSIP.md for what the figures give.
#ifndef CONSUL_SERVICES_GOSSIP_SWIM_OPTIONS_H_
#define CONSUL_SERVICES_GOSSIP_SWIM_OPTIONS_H_

#include <chrono>
#include <cstddef>

#include "services/gossip/types.h"

namespace consul::gossip {

struct SwimOptions {
  // ---- Probes.
  // One member is probed in each interval, and answers within the timeout or is asked for by way of
  // others. Both grow with this member's own bad health.
  Duration probe_interval = std::chrono::seconds(1);
  Duration probe_timeout = std::chrono::milliseconds(500);
  int indirect_checks = 3;  // members that are asked to ping one that did not answer
  bool tcp_probes = true;   // and beside them a ping on a stream, where UDP alone is cut
  int awareness_max = 8;    // bad health counts up to this; timeouts grow up to 1 + this times

  // ---- Suspicion.
  int suspicion_mult = 4;
  int suspicion_max_timeout_mult = 6;

  // ---- Gossip.
  Duration gossip_interval = std::chrono::milliseconds(200);
  int gossip_nodes = 3;
  int retransmit_mult = 4;
  Duration gossip_to_the_dead = std::chrono::seconds(30);  // so that they may refute

  // ---- Exchanges (push-pull).
  // Up to 32 members; one interval longer for each doubling above, as in the reference. An exchange
  // of two who agree takes 2 KB in pools of any size, so it need not be rarer.
  Duration push_pull_interval = std::chrono::seconds(30);
  Duration stream_timeout = std::chrono::seconds(10);  // for one whole exchange

  // ---- Names.
  // Another node id may take a dead member's name after this; that of one that left, at once.
  Duration dead_node_reclaim = std::chrono::seconds(30);
  // Entries that have been dead or left for longer are not taken over from others: all forget them
  // at about the same age, and nobody is told of them again. The layer above evicts at these ages.
  Duration remember_dead = std::chrono::hours(72);
  Duration remember_left = std::chrono::hours(24);
  // One that was evicted sooner is not taken over for this long, while others evict it as well.
  Duration remember_evicted = std::chrono::minutes(10);

  // ---- Leave.
  Duration leave_timeout = std::chrono::seconds(5);  // left_done comes by then at the latest

  // False: plain SWIM, to compare with. Fixed suspicion timeout, no awareness, no nacks, no buddy,
  // no heed of own sleep.
  bool lifeguard = true;

  // ---- Limits.
  // Of one packet before it is sealed. With the seal it stays within the 1,472 bytes that an
  // Ethernet frame leaves for UDP over IPv4, and within 1,452 over IPv6.
  size_t packet_bytes_max = 1350;
  // Of one message of a stream before it is sealed.
  size_t stream_message_bytes_max = 64 << 10;
  // Of one message of the layer above.
  size_t custom_bytes_max = 1024;
  size_t ack_payload_bytes_max = 256;
  size_t stream_note_bytes_max = 32 << 10;
  // Members in the table, the dead and left included. More are not taken in, and a Fact says so.
  size_t members_max = 100'000;
  // Queued broadcasts, for each priority apart.
  size_t broadcasts_max = 4096;
  size_t broadcast_bytes_max = 1 << 20;
  // Streams at once, of either side. A pool's restart makes everybody join everybody.
  size_t streams_max = 64;
  // Messages of an exchange that wait until it is known that the peer is who it says to be. Their
  // 4 MB hold the entries of 30,000 members.
  size_t held_messages_max = 64;
  // Evicted members that are remembered; the oldest are forgotten first.
  size_t evicted_max = 4096;
  // Pings under way for others. One that would be more is not done, and the asker has others.
  size_t relays_max = 256;
  // Members asked whether they have come to others' addresses. All of a pool may be set up anew at
  // once; one that would be more is asked when it is heard of again.
  size_t successions_max = 256;

  // The reference's profiles.
  static SwimOptions Lan() { return {}; }
  static SwimOptions Wan() {
    SwimOptions options;
    options.probe_interval = std::chrono::seconds(5);
    options.probe_timeout = std::chrono::seconds(3);
    options.suspicion_mult = 6;
    options.gossip_interval = std::chrono::milliseconds(500);
    options.push_pull_interval = std::chrono::seconds(60);
    options.stream_timeout = std::chrono::seconds(30);
    options.gossip_to_the_dead = std::chrono::seconds(60);
    return options;
  }
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_SWIM_OPTIONS_H_
