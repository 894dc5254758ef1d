// services/rpc/grpc_bytes.h
//
// Messages from and into gRPC's byte buffers, without a copy in between.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_RPC_GRPC_BYTES_H_
#define CONSUL_SERVICES_RPC_GRPC_BYTES_H_

#include <cstddef>

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace grpc {
class ByteBuffer;
}  // namespace grpc

namespace consul::rpc {

// Returns false when `bytes` are not a message of that type.
bool Decode(const grpc::ByteBuffer& bytes, google::protobuf::Message* message);

// Returns false, and leaves `bytes` alone, when the message has more than `bytes_max`; `size` is
// its size either way.
bool Encode(const google::protobuf::Message& message, size_t bytes_max, grpc::ByteBuffer* bytes,
            size_t* size);

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_GRPC_BYTES_H_
