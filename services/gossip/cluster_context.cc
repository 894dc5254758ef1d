#include "services/gossip/cluster_context.h"

#include "services/base/check.h"
#include "services/gossip/cluster_message.h"

namespace consul::gossip {
namespace {

SwimOptions SwimOptionsOf(const ClusterOptions& options) {
  SwimOptions swim = options.swim;
  swim.remember_dead = options.reconnect_timeout;
  swim.remember_left = options.tombstone_timeout;
  swim.custom_bytes_max = kClusterMessageBytesMax;
  return swim;
}

}  // namespace

ClusterContext::ClusterContext(const ClusterOptions& cluster_options, PoolIdentity pool,
                               MemberInfo self, uint64_t seed, Time start)
    : options(cluster_options),
      now(start),
      random(seed),
      swim(SwimOptionsOf(cluster_options), std::move(pool), std::move(self), random.Next(), start) {
}

void ClusterContext::Broadcast(std::string_view topic,
                               const internal::gossip::v1::ClusterMessage& message,
                               Priority priority) {
  if (alone()) return;
  CONSUL_CHECK(swim.Broadcast(now, topic, message.SerializeAsString(), priority));
}

void ClusterContext::Send(const Endpoint& to,
                          const internal::gossip::v1::ClusterMessage& message) {
  CONSUL_CHECK(swim.SendCustom(to, message.SerializeAsString()));
}

}  // namespace consul::gossip
