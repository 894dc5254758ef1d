// services/gossip/types.h
//
// The words of membership as strong types: Time, Endpoint, Incarnation, LamportTime, StreamId and
// JoinId. They exist so that an incarnation is never passed where a Lamport time is meant.
//
// Threads: pure values.
// Background: services/gossip/README.md.
#ifndef CONSUL_SERVICES_GOSSIP_TYPES_H_
#define CONSUL_SERVICES_GOSSIP_TYPES_H_

#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace consul::gossip {

// The clock of a pool: monotonic, and stopped while the machine sleeps or not. Deliberately without
// now(): the driver reads it, the cores are told.
struct GossipClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<GossipClock>;
  static constexpr bool is_steady = true;
};
using Time = GossipClock::time_point;
using Duration = GossipClock::duration;

// A member's own count of its lives and words; only the member raises it. 0 is before the first.
struct Incarnation {
  // Claims above it are malformed, so that nobody's count can be driven over its end.
  static constexpr uint32_t kMax = uint32_t{1} << 31;

  uint32_t value = 0;
  friend constexpr auto operator<=>(Incarnation, Incarnation) = default;
  constexpr Incarnation Next() const { return Incarnation{value < kMax ? value + 1 : kMax}; }
  constexpr bool valid() const { return value >= 1 && value <= kMax; }
};

// The layer above's logical clock: of intents, events and queries. 0 is "never".
struct LamportTime {
  uint64_t value = 0;
  friend constexpr auto operator<=>(LamportTime, LamportTime) = default;
  constexpr LamportTime Next() const { return LamportTime{value + 1}; }
};

// A TCP stream between two members. The driver numbers those that it accepts, the core those that
// it opens; the highest bit keeps the two apart.
struct StreamId {
  uint64_t value = 0;
  friend constexpr auto operator<=>(StreamId, StreamId) = default;
  static constexpr uint64_t kOpenedBit = uint64_t{1} << 63;
  // Whether the core of this side opened it.
  constexpr bool opened() const { return (value & kOpenedBit) != 0; }
};

// Given by Swim::Join, and back with its result.
struct JoinId {
  uint64_t value = 0;
  friend constexpr auto operator<=>(JoinId, JoinId) = default;
};

// An IP address and a port. IPv4 addresses are kept as v4-mapped IPv6 ones, so that one address has
// one form.
struct Endpoint {
  std::array<uint8_t, 16> ip{};
  uint16_t port = 0;

  friend constexpr auto operator<=>(const Endpoint&, const Endpoint&) = default;

  bool is_v4() const;

  // 4 bytes for an IPv4 address, else 16: the form on the wire.
  std::string IpBytes() const;
  // Nothing when `ip` has neither 4 nor 16 bytes or `port` is 0 or above 65535.
  static std::optional<Endpoint> FromBytes(std::string_view ip, uint32_t port);

  // "10.0.0.1:8301", "[fe80::1]:8301".
  std::string ToString() const;
  // "10.0.0.1", "fe80::1": without the port, as RFC 5952 writes it.
  std::string IpToString() const;
  // Reads what ToString writes. Names of hosts, zones and ports outside 1 to 65535 are nothing.
  static std::optional<Endpoint> Parse(std::string_view text);
  // Reads what IpToString writes.
  static std::optional<Endpoint> ParseIp(std::string_view ip, uint16_t port);
};

// For unordered containers.
struct EndpointHash {
  size_t operator()(const Endpoint& endpoint) const;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_TYPES_H_
