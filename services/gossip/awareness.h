// services/gossip/awareness.h
//
// How much a member trusts itself: Lifeguard's local health. A member whose own probes fail, whose
// helpers stay silent or who has to refute is perhaps the slow one, so it waits longer before it
// accuses others.
//
// Threads: pure value type; its owner's.
// Background: services/gossip/swim.md (Local health); "Lifeguard" (Dadgar 2017).
#ifndef CONSUL_SERVICES_GOSSIP_AWARENESS_H_
#define CONSUL_SERVICES_GOSSIP_AWARENESS_H_

#include <algorithm>

#include "services/gossip/types.h"

namespace consul::gossip {

class Awareness {
 public:
  // A maximum of 0 is a member that never doubts itself.
  explicit Awareness(int score_max) : score_max_(score_max) {}

  // Positive: evidence of bad health; negative: of good health.
  void Add(int delta) { score_ = std::clamp(score_ + delta, 0, score_max_); }

  // 0 is well; at most the maximum.
  int score() const { return score_; }

  // What a timeout of a member in good health is for this one.
  Duration Scale(Duration timeout) const { return timeout * (score_ + 1); }

 private:
  int score_max_;
  int score_ = 0;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_AWARENESS_H_
