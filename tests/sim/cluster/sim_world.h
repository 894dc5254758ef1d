// tests/sim/cluster/sim_world.h
//
// Time and chance of one simulated run: a queue of things to happen, the one seeded source of
// chance, and each machine's own clock, which drifts. One thread does everything, so that a seed is
// a run, bit for bit.
//
// Threads: none; a run owns it.
// Background: tests/README.md (The simulator of clusters).
#ifndef CONSUL_TESTS_SIM_CLUSTER_SIM_WORLD_H_
#define CONSUL_TESTS_SIM_CLUSTER_SIM_WORLD_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "services/gossip/random.h"
#include "services/raft/core/types.h"

namespace consul::sim {

using raft::Duration;

// Since the begin of the run, as nobody inside it can know.
struct TrueTime {
  Duration since_start{0};
  friend constexpr auto operator<=>(TrueTime, TrueTime) = default;
  friend constexpr TrueTime operator+(TrueTime time, Duration duration) {
    return {time.since_start + duration};
  }
  friend constexpr Duration operator-(TrueTime a, TrueTime b) {
    return a.since_start - b.since_start;
  }
};

constexpr Duration Milliseconds(int64_t count) { return std::chrono::milliseconds(count); }

class SimWorld {
 public:
  // With `tracing` the last lines of what happened are kept.
  SimWorld(uint64_t seed, bool tracing) : random_(seed), tracing_(tracing) {}
  SimWorld(const SimWorld&) = delete;
  SimWorld& operator=(const SimWorld&) = delete;

  TrueTime now() const { return now_; }
  uint64_t steps() const { return steps_; }

  void After(Duration delay, std::function<void()> event);
  // Makes the next thing happen; false when there is none.
  bool Step();
  // Everything up to `time`, as long as `go_on` says so.
  void RunUntil(TrueTime time, const std::function<bool()>& go_on);

  uint64_t Below(uint64_t bound) { return random_.Below(bound); }
  bool Chance(double probability) { return random_.Unit() < probability; }
  // In [min, max].
  Duration Between(Duration min, Duration max) {
    return min + Duration(static_cast<int64_t>(
                     random_.Below(static_cast<uint64_t>((max - min).count()) + 1)));
  }
  template <typename T>
  const T& Choose(const std::vector<T>& items) {
    return items[random_.Below(items.size())];
  }

  bool tracing() const { return tracing_; }
  // Callers build `line` only while tracing().
  void Trace(std::string line);
  std::string TraceText() const;

 private:
  struct Event {
    TrueTime at;
    uint64_t number;  // of equal times the first that was asked for
    std::function<void()> happen;
  };
  static bool Later(const Event& a, const Event& b) {
    return a.at != b.at ? a.at > b.at : a.number > b.number;
  }

  gossip::Random random_;
  const bool tracing_;
  TrueTime now_;
  uint64_t steps_ = 0;
  uint64_t numbers_ = 0;
  std::vector<Event> events_;  // a heap
  std::deque<std::string> trace_;
};

// One machine's CLOCK_BOOTTIME: never jumps, runs a little fast or slow.
class SimClock {
 public:
  raft::Time Local(TrueTime time) const;
  // The first moment at which the clock shows `local` or more.
  TrueTime When(raft::Time local) const;
  // From now on: by so many millionths faster.
  void SetDrift(TrueTime now, int64_t ppm);

 private:
  TrueTime from_;
  raft::Time shown_{std::chrono::hours(1)};  // at from_
  int64_t ppm_ = 0;
};

}  // namespace consul::sim

#endif  // CONSUL_TESTS_SIM_CLUSTER_SIM_WORLD_H_
