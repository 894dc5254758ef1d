// services/rpc/grpc_status.h
//
// Statuses on gRPC's wire: code and text as gRPC's own, the ErrorDetail inside a
// consul.errors.v1.RpcStatus (the wire form of google.rpc.Status) in `grpc-status-details-bin`,
// where clients in any language look for it.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_RPC_GRPC_STATUS_H_
#define CONSUL_SERVICES_RPC_GRPC_STATUS_H_

#include "absl/status/status.h"

namespace grpc {
class Status;
}  // namespace grpc

namespace consul::rpc {

// One that gRPC could also say of a connection has an ErrorDetail always, though it be empty.
grpc::Status ToGrpc(const absl::Status& status);

// The reverse. Details that are not ours, or malformed, are dropped.
absl::Status FromGrpc(const grpc::Status& status);

// Whether an error of FromGrpc is a server's answer. Else gRPC may have said it of the connection,
// or the server of a call that its own end has cancelled.
bool IsOfServer(const absl::Status& status);

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_GRPC_STATUS_H_
