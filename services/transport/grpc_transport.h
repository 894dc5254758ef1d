// services/transport/grpc_transport.h
//
// How servers reach each other: raft::Transport over gRPC on the server port. This server dials
// each peer twice, once for each lane, and sends on the streams that it dialled; what it receives
// comes on the streams that the others dialled, through service(). Loses what it cannot send, as
// raft allows, and never a message that fits while the connection holds.
//
// Threads: Send on raft's; the rest from any. What it calls is said with Options.
// Background: services/transport/README.md.
#ifndef CONSUL_SERVICES_TRANSPORT_GRPC_TRANSPORT_H_
#define CONSUL_SERVICES_TRANSPORT_GRPC_TRANSPORT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "services/base/mutex.h"
#include "services/raft/core/message.h"
#include "services/raft/core/types.h"
#include "services/raft/transport.h"
#include "services/transport/incoming_streams.h"
#include "services/transport/outgoing_lane.h"
#include "services/transport/refusal_log.h"
#include "services/transport/stream_count.h"
#include "services/transport/transport_options.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace consul::transport {

class GrpcTransport final : public raft::Transport {
 public:
  explicit GrpcTransport(TransportOptions options);
  // REQUIRES: stopped; the gRPC server that has service() is stopped too.
  ~GrpcTransport() override;
  GrpcTransport(const GrpcTransport&) = delete;
  GrpcTransport& operator=(const GrpcTransport&) = delete;

  // For rpc::GrpcServer::Options::services, of the server port.
  grpc::Service* service() { return incoming_.service(); }

  // Queues, and sends what it can without waiting. Dropped: what has no room within the limits,
  // what is larger than a request may be, and what is for a server that cannot be reached or
  // refuses us.
  void Send(raft::Message message) override;

  // Addresses of peers, who they are, or the cluster's id may have changed: connections to other
  // addresses are dropped, and made anew by the next message; on the rest the id is said.
  void PeersChanged();

  // The newest version of the state machine that `peer` has said that its program knows, 0 where it
  // was too old to say so; nothing while it has no stream to this server. So nothing is known of a
  // process that has ended, and what another one that takes its place knows counts from its first
  // word on. Who has streams from both processes, for one end was not noticed yet, believes the
  // lower one.
  std::optional<uint32_t> StateVersionOf(const raft::ServerId& peer) {
    return incoming_.StateVersionOf(peer);
  }

  // Ends every stream of both directions, and returns when none is left and nothing of Options is
  // called any more. Refuses all that comes later. Idempotent.
  // REQUIRES: not called from inside one of Options' functions.
  void Stop();

 private:
  using Key = std::pair<raft::ServerId, raft::Lane>;

  // Null once it is stopped.
  std::shared_ptr<OutgoingLane> LaneTo(const raft::ServerId& peer, raft::Lane lane);
  void PeerSpoke(const raft::ServerId& peer);

  const std::shared_ptr<const TransportOptions> options_;
  const std::shared_ptr<StreamCount> outgoing_count_;
  const std::shared_ptr<RefusalLog> refusals_;
  IncomingStreams incoming_;

  base::Mutex mutex_;
  std::map<Key, std::shared_ptr<OutgoingLane>> lanes_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;
};

}  // namespace consul::transport

#endif  // CONSUL_SERVICES_TRANSPORT_GRPC_TRANSPORT_H_
