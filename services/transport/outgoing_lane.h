// services/transport/outgoing_lane.h
//
// One lane to one peer: what waits to be sent, the connection, and the stream on it. While gRPC
// writes, what is sent queues up and then leaves as one batch. The stream is dialled by the first
// message, and again by the first one after it has ended; what cannot be sent meanwhile is dropped.
//
// Threads: any; gRPC's report on its own.
// Background: services/transport/README.md (Sending).
#ifndef CONSUL_SERVICES_TRANSPORT_OUTGOING_LANE_H_
#define CONSUL_SERVICES_TRANSPORT_OUTGOING_LANE_H_

#include <grpcpp/channel.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "services/base/mutex.h"
#include "services/raft/core/message.h"
#include "services/raft/core/types.h"
#include "services/transport/refusal_log.h"
#include "services/transport/stream_count.h"
#include "services/transport/transport_options.h"

namespace consul::transport {

class OutgoingLane : public std::enable_shared_from_this<OutgoingLane> {
 public:
  OutgoingLane(std::shared_ptr<const TransportOptions> options, std::shared_ptr<StreamCount> count,
               std::shared_ptr<RefusalLog> refusals, raft::ServerId peer, raft::Lane lane);
  ~OutgoingLane();

  // As GrpcTransport::Send.
  void Send(raft::Message message);
  // The peer is there: an attempt to reach it need not wait any longer.
  void PeerSpoke();
  // Whether it is, or would now be, a stream to this address.
  bool WouldDial(const std::string& address);
  // This server's cluster is this one. A peer that was told of another, or of none, is told so on
  // the stream that there is.
  void Introduce(const std::string& cluster_id);
  // Drops what waits and ends the stream; nothing is sent any more.
  void Drop();

 private:
  class Stream;
  using Clock = std::chrono::steady_clock;
  enum class State {
    kNone,      // no stream; the next message dials
    kDialling,  // one thread is making a stream
    kWriting,   // gRPC has a request
    kIdle,      // the stream waits for a message
    kBroken,    // the stream has ended, and gRPC will say why
  };
  struct Queued {
    raft::Message message;
    size_t bytes;
  };

  size_t bytes_max() const;
  // Makes a stream and writes its hello. REQUIRES: the state is kDialling, by the caller.
  void Dial();
  std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address);
  // Nothing can be sent until `pause` is over.
  void GiveUpLocked(std::chrono::milliseconds pause) REQUIRES_LOCK(mutex_);
  // One request: a hello of this cluster, or a batch.
  using Next = std::variant<std::string, std::vector<raft::Message>>;
  std::optional<Next> TakeNextLocked() REQUIRES_LOCK(mutex_);
  grpc::ByteBuffer Encode(const Next& next) const;
  void LogOver(const grpc::Status& status, const std::string& address, bool leads);

  // Said by the stream, on gRPC's threads.
  void Written(Stream* stream, bool ok);
  void Ended(Stream* stream);
  void Over(Stream* stream, const grpc::Status& status);

  const std::shared_ptr<const TransportOptions> options_;
  const std::shared_ptr<StreamCount> count_;
  const std::shared_ptr<RefusalLog> refusals_;
  const raft::ServerId peer_;
  const raft::Lane lane_;

  base::Mutex mutex_;
  State state_ GUARDED_BY(mutex_) = State::kNone;
  bool dropped_ GUARDED_BY(mutex_) = false;
  std::deque<Queued> queue_ GUARDED_BY(mutex_);
  size_t queued_bytes_ GUARDED_BY(mutex_) = 0;
  Stream* stream_ GUARDED_BY(mutex_) = nullptr;  // deletes itself
  std::string address_ GUARDED_BY(mutex_);       // of channel_
  std::string cluster_id_ GUARDED_BY(mutex_);    // of the last hello
  std::string introduce_ GUARDED_BY(mutex_);     // of the next one; empty: as whoever dials knows
  std::shared_ptr<grpc::Channel> channel_ GUARDED_BY(mutex_);
  Clock::time_point retry_at_ GUARDED_BY(mutex_);
  std::string logged_ GUARDED_BY(mutex_);  // the last reason why a stream ended
  Clock::time_point log_again_at_ GUARDED_BY(mutex_);
  bool leads_ GUARDED_BY(mutex_) = false;  // it was sent a leader's word last
};

}  // namespace consul::transport

#endif  // CONSUL_SERVICES_TRANSPORT_OUTGOING_LANE_H_
