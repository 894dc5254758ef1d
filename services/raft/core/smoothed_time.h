// services/raft/core/smoothed_time.h
//
// How long something takes of late, smoothed as TCP smooths its round trips (RFC 6298, 2).
//
// Threads: pure value type.
#ifndef CONSUL_SERVICES_RAFT_CORE_SMOOTHED_TIME_H_
#define CONSUL_SERVICES_RAFT_CORE_SMOOTHED_TIME_H_

#include <optional>

#include "services/raft/core/types.h"

namespace consul::raft {

class SmoothedTime {
 public:
  void Add(Duration sample) {
    value_ = value_.has_value() ? *value_ + (sample - *value_) / kShare : sample;
  }
  // Zero until there is a sample.
  Duration value() const { return value_.value_or(Duration{0}); }

 private:
  static constexpr int kShare = 8;
  std::optional<Duration> value_;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_CORE_SMOOTHED_TIME_H_
