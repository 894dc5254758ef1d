#include "services/gossip/coordinate.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

namespace consul::gossip {
namespace {

// Below this two numbers are one: to divide by it would give nonsense.
constexpr double kNothing = 1e-6;

double ToSeconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

template <size_t N>
double Magnitude(const std::array<double, N>& vector) {
  return std::sqrt(std::inner_product(vector.begin(), vector.end(), vector.begin(), 0.0));
}

template <size_t N>
std::array<double, N> Difference(const std::array<double, N>& a, const std::array<double, N>& b) {
  std::array<double, N> difference;
  std::transform(a.begin(), a.end(), b.begin(), difference.begin(), std::minus<>());
  return difference;
}

template <size_t N>
void Scale(double factor, std::array<double, N>* vector) {
  for (double& part : *vector) part *= factor;
}

// Without adjustments, in seconds.
double RawDistance(const Coordinate& a, const Coordinate& b) {
  return Magnitude(Difference(a.position, b.position)) + a.height + b.height;
}

// In seconds. An adjustment that would make it nothing or less is passed over.
double Distance(const Coordinate& a, const Coordinate& b) {
  const double raw = RawDistance(a, b);
  const double adjusted = raw + a.adjustment + b.adjustment;
  return adjusted > 0 ? adjusted : raw;
}

}  // namespace

std::optional<Coordinate> Coordinate::FromParts(std::span<const double> position, double error,
                                                double adjustment, double height) {
  if (position.size() != kDimensions) return std::nullopt;
  Coordinate coordinate;
  std::copy(position.begin(), position.end(), coordinate.position.begin());
  coordinate.error = error;
  coordinate.adjustment = adjustment;
  coordinate.height = height;
  if (!coordinate.valid()) return std::nullopt;
  return coordinate;
}

bool Coordinate::valid() const {
  return std::all_of(position.begin(), position.end(), [](double x) { return std::isfinite(x); }) &&
         std::isfinite(error) && std::isfinite(adjustment) && std::isfinite(height);
}

Duration Coordinate::DistanceTo(const Coordinate& other) const {
  const double nanoseconds = Distance(*this, other) * 1e9;
  // Finite parts may be far too large, and heights below zero, in a coordinate from outside.
  if (nanoseconds < 0) return Duration::zero();
  if (!(nanoseconds < static_cast<double>(Duration::max().count()))) return Duration::max();
  return Duration(static_cast<Duration::rep>(nanoseconds));
}

absl::Status CoordinateClient::Update(std::string_view node, const Coordinate& other,
                                      Duration rtt) {
  if (!other.valid()) {
    ++refused_;
    return absl::InvalidArgumentError("the coordinate is not finite");
  }
  if (rtt < Duration::zero() || rtt > kRttMax) {
    ++refused_;
    return absl::InvalidArgumentError("the round trip time is not within 0 to 10 s");
  }
  const double seconds = MedianLatency(node, ToSeconds(rtt));
  Move(other, seconds);
  Adjust(other, seconds);
  Gravitate();
  if (!own_.valid()) {
    ++resets_;
    own_ = Coordinate();
    errors_.fill(0);  // they may hold the same nonsense
  }
  return absl::OkStatus();
}

void CoordinateClient::ForgetNode(std::string_view node) {
  if (const auto found = latencies_.find(node); found != latencies_.end()) {
    latencies_.erase(found);
  }
}

double CoordinateClient::MedianLatency(std::string_view node, double seconds) {
  auto found = latencies_.find(node);
  if (found == latencies_.end()) {
    if (latencies_.size() == kNodesMax) return seconds;
    found = latencies_.emplace(node, Latencies{}).first;
  }
  Latencies& latencies = found->second;
  latencies.seconds[latencies.count++ % kLatencySamples] = seconds;
  std::array<double, kLatencySamples> sorted = latencies.seconds;
  const size_t count = std::min(latencies.count, kLatencySamples);
  std::sort(sorted.begin(), sorted.begin() + count);
  return sorted[count / 2];
}

void CoordinateClient::Move(const Coordinate& other, double seconds) {
  const double distance = Distance(own_, other);
  seconds = std::max(seconds, kNothing);
  const double wrongness = std::abs(distance - seconds) / seconds;
  const double weight = own_.error / std::max(own_.error + other.error, kNothing);
  const double gain = kErrorGain * weight;
  own_.error = std::min(gain * wrongness + own_.error * (1 - gain), Coordinate::kErrorMax);
  ApplyForce(kForceGain * weight * (seconds - distance), other);
}

void CoordinateClient::Adjust(const Coordinate& other, double seconds) {
  errors_[errors_next_] = seconds - RawDistance(own_, other);
  errors_next_ = (errors_next_ + 1) % kAdjustmentSamples;
  // Half of the mean: the other side takes the other half.
  own_.adjustment =
      std::accumulate(errors_.begin(), errors_.end(), 0.0) / (2.0 * kAdjustmentSamples);
}

void CoordinateClient::Gravitate() {
  const Coordinate origin;
  const double pull = Distance(own_, origin) / kGravityRho;
  ApplyForce(-pull * pull, origin);
}

// Moves the own place by `force` seconds away from `other`, and its height in proportion.
void CoordinateClient::ApplyForce(double force, const Coordinate& other) {
  Vector direction = Difference(own_.position, other.position);
  const double apart = Magnitude(direction);
  if (apart > kNothing) {
    Scale(1 / apart, &direction);
    own_.height = std::max((own_.height + other.height) * force / apart + own_.height,
                           Coordinate::kHeightMin);
  } else {
    direction = RandomDirection();
  }
  for (size_t i = 0; i < direction.size(); ++i) own_.position[i] += direction[i] * force;
}

CoordinateClient::Vector CoordinateClient::RandomDirection() {
  Vector direction;
  for (double& part : direction) part = random_->Unit() - 0.5;
  const double length = Magnitude(direction);
  if (length <= kNothing) {
    direction.fill(0);
    direction[0] = 1;
    return direction;
  }
  Scale(1 / length, &direction);
  return direction;
}

}  // namespace consul::gossip
