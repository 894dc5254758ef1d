// services/rpc/grpc_call.h
//
// One call that came in over gRPC, unary or streaming, as an rpc::Call. It starts, waits and ends on
// the executor; gRPC's threads hand it over and take it back.
//
// Threads: as said at each class.
#ifndef CONSUL_SERVICES_RPC_GRPC_CALL_H_
#define CONSUL_SERVICES_RPC_GRPC_CALL_H_

#include <grpcpp/grpcpp.h>

#include "services/rpc/backend.h"
#include "services/rpc/method.h"

namespace consul::rpc {

// Messages that a streaming call may be ahead of its client; with more it ends.
inline constexpr size_t kStreamMessagesMax = 1024;

// Each is deleted when gRPC and the executor are both done with it.
grpc::ServerUnaryReactor* StartUnary(const Method& method, Backend* backend, Executor* executor,
                                     grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response);
grpc::ServerWriteReactor<grpc::ByteBuffer>* StartStream(const Method& method, Backend* backend,
                                                        Executor* executor,
                                                        grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request);

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_GRPC_CALL_H_
