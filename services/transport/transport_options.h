// services/transport/transport_options.h
//
// What a transport is told of its server, whom it calls, and its limits with their reasons.
//
// Threads: pure values; the functions are called from any thread, some at once, and must not block
// nor call the transport, but for Send and StateVersionOf.
#ifndef CONSUL_SERVICES_TRANSPORT_TRANSPORT_OPTIONS_H_
#define CONSUL_SERVICES_TRANSPORT_TRANSPORT_OPTIONS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "services/base/log.h"
#include "services/raft/core/message.h"
#include "services/raft/core/types.h"

namespace consul::transport {

// Of one batch, unless a single message is larger: what a heartbeat's stream and a slow network do
// not make wait for long.
inline constexpr size_t kBatchBytesMax = 1 << 20;
// Of one message: what a server port takes as one request (rpc::GrpcServer::Limits), less a frame.
// Raft's own limit for entries is a quarter of it.
inline constexpr size_t kMessageBytesMax = (4 << 20) - 4096;
// A stream that ended so early was never of use: its peer is not tried again for as long.
inline constexpr std::chrono::milliseconds kRetryPause{100};
// The same reason why a lane has no stream is in the log again after so long.
inline constexpr std::chrono::minutes kLogPause{1};
// Who refuses us will hardly change its mind.
inline constexpr std::chrono::milliseconds kRefusedPause{1000};
// Peers of whom is remembered that their refusal was logged. A cluster has a handful of servers.
inline constexpr size_t kRefusedPeersMax = 64;

static_assert(kBatchBytesMax <= kMessageBytesMax);

struct TransportLimits {
  // Bytes that wait for one peer, as on the wire. Twice what raft has under way to one follower
  // (raft::Options::in_flight_bytes_max), for forwarded commands go the same way.
  size_t data_bytes_max = 16 << 20;
  // Heartbeats and votes are some dozen bytes: this is more than a thousand seconds of them.
  size_t control_bytes_max = 1 << 20;
};

struct TransportOptions {
  raft::ServerId self;
  std::string datacenter;
  // "10.0.0.1:8300"; empty: not known. Asked whenever a connection is made.
  std::function<std::string(const raft::ServerId&)> address_of;
  // The id of this server's cluster; empty: it has none yet.
  std::function<std::string()> cluster_id;
  // Something came.
  std::function<void(raft::Message)> receive;
  // A stream on which `peer` sent has ended, and it has not made another one in its place.
  std::function<void(const raft::ServerId& peer)> stream_broken;
  // The newest version of the state machine that this program knows; others are told so.
  uint32_t state_version = 0;
  // What is known of a peer's state version (GrpcTransport::StateVersionOf) is other than it was.
  // Not told where a stream has ended and nothing is known any more.
  std::function<void(const raft::ServerId& peer)> state_version_heard =
      [](const raft::ServerId&) {};
  base::Logger* logger = nullptr;  // outlives the transport
  TransportLimits limits = {};
};

inline constexpr char kServiceName[] = "consul.internal.raft.v1.RaftTransportService";
inline constexpr char kSendPath[] = "/consul.internal.raft.v1.RaftTransportService/Send";
inline constexpr char kLogComponent[] = "raft-transport";

inline const char* LaneName(raft::Lane lane) {
  return lane == raft::Lane::kControl ? "control" : "data";
}

}  // namespace consul::transport

#endif  // CONSUL_SERVICES_TRANSPORT_TRANSPORT_OPTIONS_H_
