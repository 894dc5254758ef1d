// services/gossip/coordinate.h
//
// Where an agent is in the network: a point in a space whose distances are round trip times, found
// by each agent alone from the round trips that it measures anyhow. Any two coordinates tell about
// how long a packet takes between their agents, without asking either. It behaves as Serf's does.
//
// Vivaldi (Dabek 2004): each measurement pulls or pushes the own point along the line to the other
// one, the more so the less we are sure and the more the other is. Height is the way from the agent
// to the core of the network, which all of its round trips share. On top of it: a median over the
// last round trips of each member, the mean of recent errors (adjustment), which takes up what no
// such space can hold, and a weak pull to the origin (gravity) that keeps a pool from drifting off.
//
// Threads: pure values; the gossip thread owns the client.
// Background: services/gossip/format.md, "Coordinates".
#ifndef CONSUL_SERVICES_GOSSIP_COORDINATE_H_
#define CONSUL_SERVICES_GOSSIP_COORDINATE_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "services/gossip/random.h"
#include "services/gossip/types.h"

namespace consul::gossip {

// All in seconds, but for `error`. The default is where every agent begins.
struct Coordinate {
  static constexpr size_t kDimensions = 8;
  static constexpr double kErrorMax = 1.5;
  static constexpr double kHeightMin = 10e-6;

  std::array<double, kDimensions> position{};
  double error = kErrorMax;  // relative: how wrong distances to it are
  double adjustment = 0;
  double height = kHeightMin;

  // What another agent told. Nothing unless it has kDimensions finite numbers and is valid.
  static std::optional<Coordinate> FromParts(std::span<const double> position, double error,
                                             double adjustment, double height);

  // Whether every number is finite.
  bool valid() const;

  // The round trip time to expect between the two. Never negative.
  Duration DistanceTo(const Coordinate& other) const;

  friend bool operator==(const Coordinate&, const Coordinate&) = default;
};

// The own coordinate, and what is needed to move it.
class CoordinateClient {
 public:
  // How much one measurement may change the error and the place.
  static constexpr double kErrorGain = 0.25;
  static constexpr double kForceGain = 0.25;
  // Measurements whose errors the adjustment is the mean of.
  static constexpr size_t kAdjustmentSamples = 20;
  // Round trips of one member that the median is taken of: one that was slow by chance has no say.
  static constexpr size_t kLatencySamples = 3;
  // Seconds from the origin at which gravity is one second for each measurement; it grows with the
  // square of the distance, and at 100 ms it is less than a microsecond.
  static constexpr double kGravityRho = 150;
  // No two places on earth are so far apart; longer ones were measured wrong.
  static constexpr Duration kRttMax = std::chrono::seconds(10);
  // Members whose round trips are remembered; those of others count as they come.
  static constexpr size_t kNodesMax = 65536;

  // `random` outlives this. It is asked for a direction when two agents stand on one point.
  explicit CoordinateClient(Random* random) : random_(random) {}

  // Takes one round trip to member `node`, which was at `other`. INVALID_ARGUMENT, and nothing
  // changes, for a coordinate that is not valid or a time out of 0 to kRttMax. Should the own
  // coordinate become invalid by it, it begins anew.
  absl::Status Update(std::string_view node, const Coordinate& other, Duration rtt);

  // `node` is gone: its round trips are forgotten.
  void ForgetNode(std::string_view node);

  const Coordinate& coordinate() const { return own_; }
  // How often the own coordinate began anew, and how many updates were refused.
  uint64_t resets() const { return resets_; }
  uint64_t refused() const { return refused_; }
  size_t nodes_count() const { return latencies_.size(); }

 private:
  struct Latencies {
    std::array<double, kLatencySamples> seconds{};
    size_t count = 0;  // of all that came
  };
  using Vector = std::array<double, Coordinate::kDimensions>;

  double MedianLatency(std::string_view node, double seconds);
  void Move(const Coordinate& other, double seconds);
  void Adjust(const Coordinate& other, double seconds);
  void Gravitate();
  void ApplyForce(double force, const Coordinate& other);
  Vector RandomDirection();

  Random* const random_;
  Coordinate own_;
  std::map<std::string, Latencies, std::less<>> latencies_;
  std::array<double, kAdjustmentSamples> errors_{};  // of the last measurements, in seconds
  size_t errors_next_ = 0;
  uint64_t resets_ = 0;
  uint64_t refused_ = 0;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_COORDINATE_H_
