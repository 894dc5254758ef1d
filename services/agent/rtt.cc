#include "services/agent/rtt.h"

#include <chrono>
#include <vector>

#include "services/gossip/coordinate.h"

namespace consul::agent {
namespace {

std::optional<gossip::Coordinate> FromProto(const coordinate::v1::Coordinate& proto) {
  const std::vector<double> vec(proto.vec().begin(), proto.vec().end());
  return gossip::Coordinate::FromParts(vec, proto.error(), proto.adjustment(), proto.height());
}

}  // namespace

std::optional<std::chrono::nanoseconds> EstimateRtt(const coordinate::v1::Coordinate& one,
                                                    const coordinate::v1::Coordinate& other) {
  const std::optional<gossip::Coordinate> a = FromProto(one);
  const std::optional<gossip::Coordinate> b = FromProto(other);
  if (!a.has_value() || !b.has_value()) return std::nullopt;
  const std::chrono::nanoseconds rtt = a->DistanceTo(*b);
  if (rtt > gossip::CoordinateClient::kRttMax) return std::nullopt;
  return rtt;
}

}  // namespace consul::agent
