#include "services/transport/grpc_transport.h"

#include <utility>
#include <vector>

#include "services/base/check.h"

namespace consul::transport {

GrpcTransport::GrpcTransport(TransportOptions options)
    : options_(std::make_shared<const TransportOptions>(std::move(options))),
      outgoing_count_(std::make_shared<StreamCount>()),
      refusals_(std::make_shared<RefusalLog>()),
      incoming_(options_, refusals_, [this](const raft::ServerId& peer) { PeerSpoke(peer); }) {
  CONSUL_CHECK(!options_->self.empty());
}

GrpcTransport::~GrpcTransport() { CONSUL_CHECK(stopped_); }

std::shared_ptr<OutgoingLane> GrpcTransport::LaneTo(const raft::ServerId& peer, raft::Lane lane) {
  base::MutexLock lock(&mutex_);
  if (stopped_) return nullptr;
  std::shared_ptr<OutgoingLane>& found = lanes_[Key{peer, lane}];
  if (found == nullptr) {
    found = std::make_shared<OutgoingLane>(options_, outgoing_count_, refusals_, peer, lane);
  }
  return found;
}

void GrpcTransport::Send(raft::Message message) {
  const std::shared_ptr<OutgoingLane> lane = LaneTo(message.to, raft::LaneOf(message));
  if (lane != nullptr) lane->Send(std::move(message));
}

void GrpcTransport::PeerSpoke(const raft::ServerId& peer) {
  for (const raft::Lane lane : {raft::Lane::kControl, raft::Lane::kData}) {
    std::shared_ptr<OutgoingLane> found;
    {
      base::MutexLock lock(&mutex_);
      const auto at = lanes_.find(Key{peer, lane});
      if (at == lanes_.end()) continue;
      found = at->second;
    }
    found->PeerSpoke();
  }
}

void GrpcTransport::PeersChanged() {
  const std::string cluster_id = options_->cluster_id();
  std::vector<std::pair<Key, std::shared_ptr<OutgoingLane>>> lanes;
  {
    base::MutexLock lock(&mutex_);
    if (stopped_) return;
    lanes.assign(lanes_.begin(), lanes_.end());
  }
  // Outside the lock: whoever knows the addresses may have one of its own.
  for (const auto& [key, lane] : lanes) {
    if (lane->WouldDial(options_->address_of(key.first))) {
      lane->Introduce(cluster_id);
      continue;
    }
    lane->Drop();
    base::MutexLock lock(&mutex_);
    const auto found = lanes_.find(key);
    if (found != lanes_.end() && found->second == lane) lanes_.erase(found);
  }
  incoming_.SetClusterId(cluster_id);
}

void GrpcTransport::Stop() {
  std::map<Key, std::shared_ptr<OutgoingLane>> lanes;
  {
    base::MutexLock lock(&mutex_);
    stopped_ = true;
    lanes = std::exchange(lanes_, {});
  }
  for (const auto& [key, lane] : lanes) lane->Drop();
  outgoing_count_->WaitForNone();
  incoming_.Stop();
}

}  // namespace consul::transport
