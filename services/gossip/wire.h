// services/gossip/wire.h
//
// The messages of membership as values, and their bytes: gossip.proto is the format, this is the
// only place that knows it. Decoding is strict and bounded. What comes out of it is within every
// limit, so nobody behind it checks again.
//
// Threads: pure functions.
// Background: proto/consul/internal/gossip/v1/gossip.proto.
#ifndef CONSUL_SERVICES_GOSSIP_WIRE_H_
#define CONSUL_SERVICES_GOSSIP_WIRE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "services/gossip/member.h"
#include "services/gossip/types.h"

namespace consul::gossip {

// ---- Claims.

struct AliveClaim {
  MemberPtr member;
  Incarnation incarnation;
};

struct SuspectClaim {
  std::string name;
  uint32_t id_check = 0;
  Incarnation incarnation;
  std::string accuser;
};

struct DeadClaim {
  std::string name;
  uint32_t id_check = 0;
  Incarnation incarnation;
  std::string accuser;
  bool left = false;
};

// ---- Probes.

// Numbers the probes of one member. They wrap around.
struct Sequence {
  uint32_t value = 0;
  friend constexpr auto operator<=>(Sequence, Sequence) = default;
};

struct PingMessage {
  Sequence sequence;
  std::string target;
  uint32_t target_id_check = 0;  // 0: any
  std::string source;
  Incarnation incarnation;  // 0: the asker knows nothing of the target
  uint32_t info_check = 0;  // low half of Member::info_hash
};

struct IndirectPingMessage {
  Sequence sequence;
  std::string target;
  uint32_t target_id_check = 0;
  Endpoint address;
  std::string source;
};

struct AckMessage {
  Sequence sequence;
  std::string name;
  std::string payload;
};

struct NackMessage {
  Sequence sequence;
  std::string source;
};

// ---- Datagrams: the parts of one, each ready to be appended to a packet.

std::string EncodeAlive(const Member& member, Incarnation incarnation);
std::string EncodeSuspect(const SuspectClaim& claim);
std::string EncodeDead(const DeadClaim& claim);
std::string EncodeCustom(std::string_view message);
std::string EncodePing(const PingMessage& ping);
std::string EncodeIndirectPing(const IndirectPingMessage& ping);
std::string EncodeAck(const AckMessage& ack);
std::string EncodeNack(const NackMessage& nack);

struct PacketParts {
  std::vector<AliveClaim> alives;
  std::vector<SuspectClaim> suspects;
  std::vector<DeadClaim> deads;
  std::vector<std::string> customs;
  std::optional<PingMessage> ping;
  std::optional<IndirectPingMessage> indirect_ping;
  std::optional<AckMessage> ack;
  std::optional<NackMessage> nack;
};

// Nothing when any part of it is malformed, or when there is none that is known.
std::optional<PacketParts> DecodePacket(std::string_view bytes);

// ---- Streams.

struct HelloMessage {
  PoolIdentity pool;
  Entry self;
  bool join = false;
  size_t living_count = 0;
  std::vector<uint64_t> bucket_hashes;
  std::optional<Entry> about_receiver;
  std::string note;
};

struct Digest {
  uint64_t name_hash = 0;
  uint64_t entry_hash = 0;
  friend auto operator<=>(const Digest&, const Digest&) = default;
};

struct DigestsMessage {
  std::vector<uint32_t> buckets;  // ascending
  std::vector<Digest> digests;
  bool last = false;
};

struct EntriesMessage {
  std::vector<Entry> entries;
  std::vector<uint64_t> wanted;
  bool last = false;
};

enum class GoodbyeKind : uint8_t {
  kPool,   // the two are of different pools
  kName,   // the name of one of them belongs to another member
  kCopy,   // the receiver's data is a copy of a living member's
  kOther,
};

struct GoodbyeMessage {
  GoodbyeKind kind = GoodbyeKind::kOther;
  std::string reason;
  size_t living_count = 0;  // that the sender knows; 0: it does not say
  bool turned = false;      // kCopy: it was of the receiver's pool, and has joined a larger one
};

// A PingMessage or AckMessage is a probe by stream.
using StreamMessage = std::variant<HelloMessage, DigestsMessage, EntriesMessage, GoodbyeMessage,
                                   PingMessage, AckMessage>;

// Ages on the wire are relative to `now`.
std::string EncodeHello(const HelloMessage& hello, Time now);
std::string EncodeGoodbye(const GoodbyeMessage& goodbye);
std::string EncodeStreamPing(const PingMessage& ping);
std::string EncodeStreamAck(const AckMessage& ack);
// As many messages as it takes so that none exceeds `bytes_max`; the last one says so.
// REQUIRES: bytes_max is at least kStreamMessageBytesMin.
std::vector<std::string> EncodeDigests(const DigestsMessage& digests, size_t bytes_max);
std::vector<std::string> EncodeEntries(const EntriesMessage& entries, Time now, size_t bytes_max);

// The longest entry, or all buckets' numbers, fit into this.
inline constexpr size_t kStreamMessageBytesMin = 2048;
// Of the reason in a Goodbye; a longer one is cut.
inline constexpr size_t kReasonBytesMax = 1024;

// Nothing when any part of it is malformed.
std::optional<StreamMessage> DecodeStreamMessage(std::string_view bytes, Time now);

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_WIRE_H_
