// services/transport/message_codec.h
//
// raft::Message on the wire, as proto/consul/internal/raft/v1/transport.proto has it. Written by
// hand, because every write of the cluster passes here once for each peer: a large payload is sent
// from the log's own buffer, a small one is copied once, and what comes in is copied once, into the
// buffer that the log keeps.
//
// Threads: pure functions.
// Background: services/transport/README.md (The wire).
#ifndef CONSUL_SERVICES_TRANSPORT_MESSAGE_CODEC_H_
#define CONSUL_SERVICES_TRANSPORT_MESSAGE_CODEC_H_

#include <grpcpp/support/byte_buffer.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/raft/core/message.h"
#include "services/raft/core/types.h"

namespace consul::transport {

// The first request of a stream.
struct Hello {
  std::string cluster_id;  // empty: not known yet
  std::string datacenter;
  raft::ServerId from;
  raft::ServerId to;
  raft::Lane lane = raft::Lane::kControl;
  // The newest version of the state machine that the sender's program knows; 0: it is too old to
  // say so.
  uint32_t state_version = 0;
  friend bool operator==(const Hello&, const Hello&) = default;
};

// Of every text of a hello, and of a snapshot's id.
inline constexpr size_t kTextBytesMax = 255;
// Terms, indexes, rounds and sizes: no server gets there, and sums of two of them do not overflow.
inline constexpr uint64_t kNumberMax = uint64_t{1} << 62;
// Far above any election timeout.
inline constexpr std::chrono::nanoseconds kVoteWaitMax = std::chrono::minutes(1);
// Of one batch. The shortest message is 4 bytes on the wire and some hundred in memory.
inline constexpr size_t kBatchMessagesMax = 4096;
// A payload of so many bytes is sent from where it lies; a copy of a shorter one costs less.
inline constexpr size_t kSharedPayloadBytesMin = 4096;

grpc::ByteBuffer EncodeHello(const Hello& hello);
// INVALID_ARGUMENT: the bytes are no hello, or say what none may say.
absl::StatusOr<Hello> DecodeHello(const grpc::ByteBuffer& bytes);

// What the message takes in a batch, at most. Sender and receiver are the hello's to say.
size_t MessageBytes(const raft::Message& message);

// REQUIRES: 1 to kBatchMessagesMax messages.
grpc::ByteBuffer EncodeBatch(std::span<const raft::Message> messages);
// The messages, each from and to the ones given. INVALID_ARGUMENT: the bytes are no batch, or hold
// a message that no server sends, or one of a kind that this program does not know.
absl::StatusOr<std::vector<raft::Message>> DecodeBatch(const grpc::ByteBuffer& bytes,
                                                       const raft::ServerId& from,
                                                       const raft::ServerId& to);

}  // namespace consul::transport

#endif  // CONSUL_SERVICES_TRANSPORT_MESSAGE_CODEC_H_
