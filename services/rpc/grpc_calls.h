// services/rpc/grpc_calls.h
//
// One call that came in by gRPC: a Call towards the backend, a reactor towards gRPC.
//
// Threads: gRPC's reactions on gRPC's threads; Done and Next in the call's strand.
#ifndef CONSUL_SERVICES_RPC_GRPC_CALLS_H_
#define CONSUL_SERVICES_RPC_GRPC_CALLS_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/server_callback.h>

#include "services/rpc/grpc_server.h"
#include "services/rpc/grpc_strand.h"

namespace consul::rpc {

// What calls share; outlives them.
struct GrpcCallContext {
  Backend* backend;
  GrpcServer::Limits limits;
  Strands strands;
};

// Both begin the call and return its reactor, which deletes itself when the call is over. `bytes`
// and `reply` are gRPC's, and live as long as the reactor.
grpc::ServerUnaryReactor* BeginUnary(GrpcCallContext* context, const Method& method,
                                     grpc::CallbackServerContext* grpc_context,
                                     const grpc::ByteBuffer* bytes, grpc::ByteBuffer* reply);
grpc::ServerWriteReactor<grpc::ByteBuffer>* BeginStream(GrpcCallContext* context,
                                                        const Method& method,
                                                        grpc::CallbackServerContext* grpc_context,
                                                        const grpc::ByteBuffer* bytes);

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_GRPC_CALLS_H_
