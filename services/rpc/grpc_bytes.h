// services/rpc/grpc_bytes.h
//
// Messages from and into gRPC's byte buffers, without a copy in between; and what has to be known
// of a request that is passed on as bytes.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_RPC_GRPC_BYTES_H_
#define CONSUL_SERVICES_RPC_GRPC_BYTES_H_

#include <grpcpp/support/byte_buffer.h>

#include <chrono>
#include <cstddef>

#include "consul/query/v1/query.pb.h"
#include "services/rpc/call.h"

namespace consul::rpc {

// A call's request and reply where they are bytes. The reply of a stream is one message, which Next
// takes out.
struct Call::Wire {
  grpc::ByteBuffer request;
  grpc::ByteBuffer reply;
};

// Returns false when `bytes` are not a message of that type.
bool Decode(const grpc::ByteBuffer& bytes, google::protobuf::Message* message);

// Returns false, and leaves `bytes` alone, when the message has more than `bytes_max`; `size` is
// its size either way.
bool Encode(const google::protobuf::Message& message, size_t bytes_max, grpc::ByteBuffer* bytes,
            size_t* size);

// The QueryOptions of a request of `method`; empty where the method has none, the request gives
// none, or it is malformed: whoever is asked will say so.
query::v1::QueryOptions OptionsOf(const Method& method, const grpc::ByteBuffer& request);

// The index of a reply of `method`; 0 where the method has none, or the reply is malformed.
uint64_t IndexOf(const Method& method, const grpc::ByteBuffer& reply);

// `request`, of a method with QueryOptions, with its wait set to `wait`, the rest as it is.
// REQUIRES: wait > 0.
grpc::ByteBuffer WithWait(const grpc::ByteBuffer& request, std::chrono::milliseconds wait);

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_GRPC_BYTES_H_
