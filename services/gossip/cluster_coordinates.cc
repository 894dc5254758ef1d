#include "services/gossip/cluster_coordinates.h"

#include "services/base/check.h"
#include "services/gossip/cluster_message.h"

namespace consul::gossip {

ClusterCoordinates::ClusterCoordinates(ClusterContext* context)
    : context_(context), client_(&context->random) {
  if (context_->options.coordinates) Tell();
}

void ClusterCoordinates::Received(const RttSample& sample) {
  // An empty payload is that of a member whose coordinates are switched off.
  if (!context_->options.coordinates || sample.payload.empty()) return;
  const MemberInfo& info = sample.member->info;
  const std::optional<Coordinate> other = DecodeCoordinate(sample.payload);
  const absl::Status status = other.has_value()
                                  ? client_.Update(info.name, *other, sample.rtt)
                                  : absl::InvalidArgumentError("no valid coordinate");
  if (!status.ok()) {
    context_->Say({ClusterFactKind::kCoordinateRefused, info.name, info.address, 0,
                   std::string(status.message())});
    return;
  }
  others_.insert_or_assign(info.name, *other);
  Tell();
}

void ClusterCoordinates::Tell() {
  std::string payload = EncodeCoordinate(client_.coordinate());
  CONSUL_CHECK(payload.size() <= context_->options.swim.ack_payload_bytes_max);
  context_->swim.SetAckPayload(std::move(payload));
}

void ClusterCoordinates::Forget(const std::string& name) {
  others_.erase(name);
  client_.ForgetNode(name);
}

std::optional<Coordinate> ClusterCoordinates::Of(std::string_view name) const {
  if (!context_->options.coordinates) return std::nullopt;
  if (context_->IsSelf(name)) return client_.coordinate();
  const auto found = others_.find(name);
  if (found == others_.end()) return std::nullopt;
  return found->second;
}

}  // namespace consul::gossip
