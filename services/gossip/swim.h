// services/gossip/swim.h
//
// One member's part in a gossip pool, as a pure function of its inputs: who is there, who has died
// or left, and how everybody comes to know. SWIM's probes, suspicion and piggybacked broadcasts,
// Lifeguard's local health, confirmations and buddy system, and exchanges of what two members know
// by its differences. Inputs are method calls that say what happened; TakeOutput says what is to be
// done about all of them.
//
// It holds no clock, thread, lock, file, socket, log line or chance of its own: time is an
// argument, random choices come from the seed. The same calls give the same outputs, which is what
// lets pools of thousands run inside one test.
//
// Bytes that come and go are encoded but not sealed: encryption, checksums and pool labels are the
// driver's, by Codec.
//
// Threads: none of its own. One thread (the driver's) makes all calls.
// Background: services/gossip/README.md; "SWIM" (Das 2002); "Lifeguard" (Dadgar 2017).
#ifndef CONSUL_SERVICES_GOSSIP_SWIM_H_
#define CONSUL_SERVICES_GOSSIP_SWIM_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "services/gossip/member.h"
#include "services/gossip/swim_options.h"
#include "services/gossip/swim_output.h"
#include "services/gossip/types.h"

namespace consul::gossip {

// In which order broadcasts leave. Membership itself goes before all of them, in a queue that
// nothing of the layer above can fill.
enum class Priority : uint8_t {
  kIntent,  // joins and leaves of the layer above
  kQuery,
  kEvent,
};

// Queued broadcasts.
struct QueueLengths {
  size_t membership = 0;
  size_t intents = 0;
  size_t queries = 0;
  size_t events = 0;
};

// Members in the table, by what is believed of them; self is among the alive until it leaves.
struct MemberCounts {
  size_t alive = 0;
  size_t suspect = 0;
  size_t dead = 0;
  size_t left = 0;
  size_t living() const { return alive + suspect; }
};

class Swim {
 public:
  // A pool of one: `self`, with incarnation 1. `seed` should differ from member to member.
  // REQUIRES: self.valid().
  Swim(SwimOptions options, PoolIdentity pool, MemberInfo self, uint64_t seed, Time now);
  ~Swim();
  Swim(const Swim&) = delete;
  Swim& operator=(const Swim&) = delete;

  // ---- Inputs. Each may change what TakeOutput gives. Time never goes back: an earlier `now`
  // counts as the latest one seen.

  // Time has passed. To be called at NextDeadline() or soon after; more often is harmless. A call
  // that comes much later than it was due means that this process slept: what others failed to do
  // meanwhile is not held against them.
  void Tick(Time now);

  // A datagram came. One that is malformed is dropped as a whole, and counted.
  void ReceivePacket(Time now, const Endpoint& from, std::string_view plain);

  // A datagram to `to` met a closed port. A probe under way to there does not wait out its timeout
  // before others are asked.
  void PacketUndeliverable(Time now, const Endpoint& to);

  // Streams. The one who opens speaks first. Ids of accepted streams are the driver's: never used
  // again, and without StreamId::kOpenedBit; those of opened ones come from Output::stream_opens.
  void StreamAccepted(Time now, StreamId stream, const Endpoint& from);
  void StreamOpened(Time now, StreamId stream);
  // One whole message. A malformed one ends the stream.
  void StreamReceived(Time now, StreamId stream, std::string_view message);
  // The peer closed it, it broke, or it could not be opened: `why` is words for a log. Once for
  // each stream, unless the core has closed it by Output::stream_closes.
  void StreamClosed(Time now, StreamId stream, std::string_view why);

  // Exchanges all that is known with the member at `to`, whose name need not be known. Followed by
  // exactly one JoinResult with this id.
  JoinId Join(Time now, const Endpoint& to);

  // Tells the pool that this member is going. Probes are still answered and messages passed on
  // until Output::left_done; afterwards nothing is. Idempotent, and final: whoever wants back in
  // makes a new Swim.
  void Leave(Time now);

  // Self has another address or meta from now on: a new incarnation, told to all.
  // REQUIRES: self with these is valid().
  void UpdateAddress(Time now, const Endpoint& address);
  void UpdateMeta(Time now, std::string meta);

  // The cluster's id has become known. Exchanges with others are refused from now on.
  void SetClusterId(std::string cluster_id);

  // Takes a dead or left member out of the table for good. False when it is not there, is living,
  // or is self.
  bool Evict(std::string_view name);

  // Makes a dead or suspect member one that has left, for all, with the incarnation that is known.
  // A living one that hears of it refutes. False when it is not there, has left, or is self.
  bool MakeLeft(Time now, std::string_view name);

  // ---- Messages of the layer above.

  // Spreads `message` to all members; each gets it as Output::customs, perhaps several times, and
  // passes it on only when its own layer above calls Broadcast in turn. A later message with the
  // same `topic` replaces an earlier one that still waits; an empty topic replaces nothing. False,
  // and nothing done: longer than SwimOptions::custom_bytes_max.
  bool Broadcast(std::string_view topic, std::string_view message, Priority priority);

  // Sends `message` to one member, once, unreliably. False as in Broadcast.
  bool SendCustom(const Endpoint& to, std::string_view message);

  // Travels in each ack from now on. REQUIRES: at most SwimOptions::ack_payload_bytes_max.
  void SetAckPayload(std::string payload);

  // Travels in the Hello of each exchange from now on. REQUIRES: at most
  // SwimOptions::stream_note_bytes_max.
  void SetStreamNote(std::string note);

  // Remembers `intent` with the member's entry. False when there is no such member.
  // REQUIRES: intent.kind <= 255.
  bool SetIntent(std::string_view name, Intent intent);

  // ---- Outputs.

  // Everything that is to be done since the last call, which the caller now owes.
  Output TakeOutput();

  // When Tick is due next; Time::max() when only other inputs matter.
  Time NextDeadline() const;

  // ---- What is known.

  // By name; nothing when it is not in the table.
  std::optional<Entry> Find(std::string_view name) const;
  // All members, self included, in no useful order. `visit` must not call back.
  void ForEachMember(const std::function<void(const Entry&)>& visit) const;
  const MemberCounts& counts() const;

  const MemberInfo& self() const;
  Incarnation incarnation() const;
  const PoolIdentity& pool() const;
  const SwimOptions& options() const;
  // Lifeguard's local health: 0 is well, up to SwimOptions::awareness_max.
  int health_score() const;
  QueueLengths queue_lengths() const;
  // Packets and stream messages that were dropped for what they held.
  uint64_t malformed_count() const;
  bool leaving() const;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_SWIM_H_
