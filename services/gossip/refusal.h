// services/gossip/refusal.h
//
// What an agent answers when it cannot open the first frame of a stream: why, so that the log of
// who opened the stream says it too. The two may have no key in common, so it is neither encrypted
// nor authenticated, and is never more than words for a log and for the error of a join. It tells a
// stranger whether encryption is configured, and the name of the pool.
//
// Threads: pure functions.
// Background: services/gossip/format.md, "Refusals".
#ifndef CONSUL_SERVICES_GOSSIP_REFUSAL_H_
#define CONSUL_SERVICES_GOSSIP_REFUSAL_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace consul::gossip {

// What the first frame was. On the wire: frozen.
enum class RefusalReason : uint8_t {
  kVersion = 1,       // of another version of the packet format
  kPool = 2,          // of another pool
  kNotEncrypted = 3,  // plain, and must not be
  kEncrypted = 4,     // encrypted, and who refuses has no key at all
  kNoKeyFits = 5,     // encrypted with a key that who refuses does not have, or damaged
};

struct Refusal {
  RefusalReason reason = RefusalReason::kVersion;
  std::string pool;  // the name of the refusing one's; empty unless kPool
  friend bool operator==(const Refusal&, const Refusal&) = default;
};

// In the place of a packet's version, which it never is. On the wire: frozen.
inline constexpr uint8_t kRefusalVersion = 255;
// "lan:" and a datacenter, which is a label of DNS.
inline constexpr size_t kRefusalPoolBytesMax = 4 + 63;
// Version, reason and checksum.
inline constexpr size_t kRefusalBytesMin = 1 + 1 + 4;
inline constexpr size_t kRefusalBytesMax = kRefusalBytesMin + kRefusalPoolBytesMax;

// Without the length of its frame. A longer name is cut off.
std::string EncodeRefusal(const Refusal& refusal);

// nullopt: damaged, of a reason that is not known, or with a name that no pool has.
std::optional<Refusal> DecodeRefusal(std::string_view bytes);

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_REFUSAL_H_
