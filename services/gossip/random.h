// services/gossip/random.h
//
// The one source of chance of the membership cores: seeded, small (16 bytes) and the same on every
// machine, so that a simulated pool of thousands runs the same way again from its seed.
//
// Threads: none of its own; its owner's.
// Background: services/gossip/README.md.
#ifndef CONSUL_SERVICES_GOSSIP_RANDOM_H_
#define CONSUL_SERVICES_GOSSIP_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "services/gossip/hash.h"

namespace consul::gossip {

// splitmix64. Good enough for choosing members and delays, and for nothing secret.
class Random {
 public:
  using result_type = uint64_t;

  explicit constexpr Random(uint64_t seed) : state_(seed) {}

  constexpr uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15u;
    return StableHash::Mix(state_);
  }

  // In [0, bound); 0 for a bound of 0.
  constexpr uint64_t Below(uint64_t bound) {
    // The high half of a 128-bit product: without a division, and with a bias below bound / 2^64.
    return static_cast<uint64_t>((static_cast<unsigned __int128>(Next()) * bound) >> 64);
  }

  // In [0, 1).
  constexpr double Unit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }

  template <typename T>
  void Shuffle(std::vector<T>* items) {
    for (size_t i = items->size(); i > 1; --i) std::swap((*items)[i - 1], (*items)[Below(i)]);
  }

  // `count` different numbers in [0, bound), or all of them when there are no more, in a random
  // order.
  std::vector<size_t> Sample(size_t bound, size_t count) {
    std::vector<size_t> sample;
    if (bound <= 2 * count) {
      for (size_t i = 0; i < bound; ++i) sample.push_back(i);
      Shuffle(&sample);
      if (sample.size() > count) sample.resize(count);
      return sample;
    }
    while (sample.size() < count) {
      const size_t number = Below(bound);
      bool fresh = true;
      for (const size_t other : sample) fresh = fresh && other != number;
      if (fresh) sample.push_back(number);
    }
    return sample;
  }

  // What the standard library's algorithms ask of a generator.
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return ~uint64_t{0}; }
  constexpr result_type operator()() { return Next(); }

 private:
  uint64_t state_;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_RANDOM_H_
