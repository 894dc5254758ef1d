// services/gossip/hash.h
//
// The hash that members compare: the same on every machine and in every version of one protocol. It
// is no defence: whoever can choose names can make two of one hash, and is in the pool already.
//
// Threads: pure values.
// Background: services/gossip/swim.md (Exchanges).
#ifndef CONSUL_SERVICES_GOSSIP_HASH_H_
#define CONSUL_SERVICES_GOSSIP_HASH_H_

#include <cstdint>
#include <string_view>

namespace consul::gossip {

// FNV-1a over bytes, mixed at the end so that every bit of the value depends on all of them: sums
// and top bits of values are used. Each text is preceded by its length, so that fields do not run
// into each other.
class StableHash {
 public:
  constexpr StableHash& Bytes(std::string_view bytes) {
    Number(bytes.size());
    for (const char byte : bytes) Byte(static_cast<uint8_t>(byte));
    return *this;
  }
  constexpr StableHash& Number(uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8) Byte(static_cast<uint8_t>(number >> shift));
    return *this;
  }
  constexpr uint64_t value() const { return Mix(state_); }

  // A bijection in which every bit of the result depends on every bit of the number (the finaliser
  // of splitmix64).
  static constexpr uint64_t Mix(uint64_t number) {
    number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9u;
    number = (number ^ (number >> 27)) * 0x94d049bb133111ebu;
    return number ^ (number >> 31);
  }

 private:
  constexpr void Byte(uint8_t byte) { state_ = (state_ ^ byte) * 0x100000001b3u; }

  uint64_t state_ = 0xcbf29ce484222325u;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_HASH_H_
