// services/gossip/round_trips.h
//
// How long answers to probes take in this pool: a smoothed mean and deviation over all members, as
// TCP keeps them for one connection (RFC 6298).
//
// Threads: pure value type; its owner's.
// Background: services/gossip/swim.md (Probes).
#ifndef CONSUL_SERVICES_GOSSIP_ROUND_TRIPS_H_
#define CONSUL_SERVICES_GOSSIP_ROUND_TRIPS_H_

#include "services/gossip/types.h"

namespace consul::gossip {

class RoundTrips {
 public:
  void Add(Duration rtt) {
    if (samples_++ == 0) {
      mean_ = rtt;
      deviation_ = rtt / 2;
      return;
    }
    const Duration error = rtt > mean_ ? rtt - mean_ : mean_ - rtt;
    deviation_ += (error - deviation_) / 4;
    mean_ += (rtt - mean_) / 8;
  }

  // Above nearly all round trips.
  Duration bound() const { return mean_ + 4 * deviation_; }
  int64_t samples() const { return samples_; }

 private:
  Duration mean_{};
  Duration deviation_{};
  int64_t samples_ = 0;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_ROUND_TRIPS_H_
