// services/rpc/grpc_status.h
//
// Statuses across gRPC: code and text as they are, the ErrorDetail as a google.rpc.Status in
// `grpc-status-details-bin`. And messages in gRPC's buffers.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_RPC_GRPC_STATUS_H_
#define CONSUL_SERVICES_RPC_GRPC_STATUS_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace consul::rpc {

// Messages may be this large: a `?recurse` of a large store is one reply (gRPC's default is 4 MB).
inline constexpr int kReplyBytesMax = 512 << 20;
// A request carries one value and its key; far below what a log entry may have, far above what one
// of them needs.
inline constexpr int kRequestBytesMax = 4 << 20;

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

// Returns false when `buffer` is not a message of `message`'s type.
bool Decode(const grpc::ByteBuffer& buffer, google::protobuf::Message* message);
grpc::ByteBuffer Encode(const google::protobuf::Message& message);

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_GRPC_STATUS_H_
