// services/gossip/swim_output.h
//
// What gossip::Swim wants done and tells: the contract between the core and its driver and the
// layer above.
//
// Threads: pure values.
// Background: services/gossip/swim.md (The driver's contract).
#ifndef CONSUL_SERVICES_GOSSIP_SWIM_OUTPUT_H_
#define CONSUL_SERVICES_GOSSIP_SWIM_OUTPUT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "services/gossip/member.h"
#include "services/gossip/types.h"

namespace consul::gossip {

// A datagram, not sealed yet; at most SwimOptions::packet_bytes_max.
struct Packet {
  Endpoint to;
  std::string bytes;
};

// Connect, then tell Swim::StreamOpened, or StreamClosed with the error.
struct StreamOpen {
  StreamId stream;
  Endpoint to;
};

// One message, not sealed yet; at most SwimOptions::stream_message_bytes_max. On a stream of this
// side only after StreamOpened.
struct StreamSend {
  StreamId stream;
  std::string message;
};

// Close when everything sent before has been handed to the peer; do not tell Swim of it.
struct StreamClose {
  StreamId stream;
};

enum class ChangeKind : uint8_t {
  kJoined,   // a name that was not known, or another id has taken it
  kUpdated,  // address, meta or protocol of a living member are new
  kFailed,   // dead: suspected for too long, or said to be so
  kLeft,     // has left, or was made to
  kBack,     // a dead or left member lives again
};

// What became of a member other than self. A member that is first heard of as dead or left is
// kFailed or kLeft without having joined.
struct Change {
  ChangeKind kind = ChangeKind::kJoined;
  Entry entry;
};

// A message of the layer above came, by gossip or straight. The same may come many times.
struct CustomReceived {
  Endpoint from;
  std::string message;
};

// A member answered a probe of ours at the first asking.
struct RttSample {
  MemberPtr member;
  Duration rtt;
  std::string payload;  // what it had set by SetAckPayload
};

// Followed by nothing else with this id. The members are in Output::changes by now.
struct JoinResult {
  JoinId id;
  Endpoint to;
  bool joined = false;
  size_t living_count = 0;  // living members that are known now, self included
  std::string error;        // why not, when not joined
};

// What the layer above of another member set by SetStreamNote.
struct NoteReceived {
  std::string member;  // its name
  std::string note;
  bool join = false;  // the exchange was a join, of either side
};

// Another member's layer above remembers another intent with the entry of `name` than is set here.
// The layer above here decides which is newer, and calls SetIntent when that is the other one.
struct IntentReceived {
  std::string name;
  Intent intent;
  // There the member is gone, and here it is known to have lived after that.
  bool of_former_life = false;
};

// Events worth a line in the log, which the driver words.
enum class FactKind : uint8_t {
  kSuspected,           // name; text: the first accuser
  kRefuted,             // number: own new incarnation; text: the accuser
  kProbeFailed,         // name: did not answer, neither straight nor by way of others
  kTcpOnly,             // name: answers on a stream but not to packets
  kWrongName,           // name: who was meant; text: who is there; address
  kSlowSelf,            // own timers came late by `number` ms; probes were void
  kMergeRefused,        // text: why, with both sides' values; address
  kNameHeld,            // name: the joiner's, or ours, who was refused; text: why; address
  kNameConflict,        // name; text: the id that keeps it and the one that does not; address
  kTableFull,           // name: was not taken in; number: the limit
  kBroadcastDropped,    // number: the limit; a queue is full
  kExchangeFailed,      // text: why; address
  kMalformed,           // address; number: how many so far; said for powers of two
  kStreamsFull,         // address; number: the limit
};

struct Fact {
  FactKind kind = FactKind::kSuspected;
  std::string name;
  Endpoint address;
  uint64_t number = 0;
  std::string text;
};

// One step's outputs. The order within each list is the order of events; among lists there is none.
// Streams: opens before sends before closes. Outputs are taken in turn and none is lost.
struct Output {
  std::vector<Packet> packets;
  std::vector<StreamOpen> stream_opens;
  std::vector<StreamSend> stream_sends;
  std::vector<StreamClose> stream_closes;
  std::vector<Change> changes;
  std::vector<CustomReceived> customs;
  std::vector<RttSample> rtts;
  std::vector<JoinResult> join_results;
  std::vector<NoteReceived> notes;
  std::vector<IntentReceived> intents;
  std::vector<Fact> facts;
  // Leave is done: it was sent often enough, or for SwimOptions::leave_timeout. Once.
  bool left_done = false;
  // Another id, this one, has this member's name and keeps it; this member has stopped to claim it.
  // The driver's agent should say so and end, or take another name. Once; else null.
  MemberPtr name_lost_to;
  // This member's data is a copy of another one's, as this says: it has fallen silent, and its
  // agent should end. Once; else empty.
  std::string copy_of;

  bool empty() const {
    return packets.empty() && stream_opens.empty() && stream_sends.empty() &&
           stream_closes.empty() && changes.empty() && customs.empty() && rtts.empty() &&
           join_results.empty() && notes.empty() && intents.empty() && facts.empty() &&
           !left_done && name_lost_to == nullptr && copy_of.empty();
  }
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_SWIM_OUTPUT_H_
