// services/gossip/member.h
//
// What a member is (MemberInfo, made by itself alone), what is believed of it (LifeState), what the
// layer above remembers with it (Intent), and which pool it belongs to (PoolIdentity).
//
// Threads: pure values. A MemberPtr's target is immutable and may be read by any number of threads;
// all tables that know one version of a member may share it.
// Background: services/gossip/README.md.
#ifndef CONSUL_SERVICES_GOSSIP_MEMBER_H_
#define CONSUL_SERVICES_GOSSIP_MEMBER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "services/gossip/types.h"

namespace consul::gossip {

// Of a MemberInfo's parts; what is longer is refused by every member. A whole info, with the claim
// around it, fits in one packet.
inline constexpr size_t kNameBytesMax = 255;
inline constexpr size_t kIdBytesMax = 64;
inline constexpr size_t kMetaBytesMax = 512;

// The versions of the protocol that a member understands, and the one that it speaks.
struct Protocol {
  uint32_t min = 1;
  uint32_t max = 1;
  uint32_t cur = 1;
  friend bool operator==(const Protocol&, const Protocol&) = default;
};

struct MemberInfo {
  std::string name;  // 1 to kNameBytesMax bytes
  std::string id;    // a UUID; 1 to kIdBytesMax bytes
  Endpoint address;
  std::string meta;  // the layer above's tags, opaque here; at most kMetaBytesMax bytes
  Protocol protocol;

  // Whether every part is within its limits, and `name` and `id` are printable UTF-8.
  bool valid() const;
  friend bool operator==(const MemberInfo&, const MemberInfo&) = default;
};

// An immutable MemberInfo with its hashes.
struct Member {
  explicit Member(MemberInfo member_info);

  const MemberInfo info;
  const uint64_t name_hash;
  const uint64_t info_hash;  // of all of `info`
  const uint32_t id_check;   // low half of the hash of info.id
};
using MemberPtr = std::shared_ptr<const Member>;

// The hash of a name that Member::name_hash holds.
uint64_t HashName(std::string_view name);
// Member::id_check of an id.
uint32_t HashId(std::string_view id);

// What is believed of a member. Numbers are on the wire: frozen.
enum class LifeState : uint8_t {
  kAlive = 1,    // answers
  kSuspect = 2,  // did not answer somebody; may refute
  kDead = 3,     // was suspected for too long
  kLeft = 4,     // said itself that it is gone, or was made to leave
};

// "alive", "suspect", "dead", "left".
const char* ToText(LifeState state);

// Alive or suspect: counted, probed, gossiped to, and in possession of its name.
constexpr bool IsLiving(LifeState state) {
  return state == LifeState::kAlive || state == LifeState::kSuspect;
}

// What the layer above wants remembered with a member: the newest of its intents (to join, to
// leave). Opaque here but for being carried with the member's entry in exchanges.
struct Intent {
  LamportTime time;   // 0: none
  uint32_t kind = 0;  // at most 255
  friend bool operator==(const Intent&, const Intent&) = default;
};

// All that is known of a member, as exchanges carry it and as callers see it.
struct Entry {
  MemberPtr member;
  Incarnation incarnation;
  LifeState state = LifeState::kAlive;
  Time since;  // when it came into `state`
  Intent intent;
};

// Who may exchange anything with whom.
struct PoolIdentity {
  std::string datacenter;  // empty in the WAN pool
  bool wan = false;
  std::string cluster_id;  // empty: not known yet, and like any
  uint32_t protocol_min = 1;
  uint32_t protocol_max = 1;
  friend bool operator==(const PoolIdentity&, const PoolIdentity&) = default;
};

// A member's name and pool, for the text of WhyNotMerge.
struct PoolMember {
  const PoolIdentity& pool;
  std::string_view name;
};

// Why two members may have nothing to do with each other, with both sides' values: the same text
// for both logs. Empty when they may.
std::string WhyNotMerge(const PoolMember& one, const PoolMember& other);

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_MEMBER_H_
