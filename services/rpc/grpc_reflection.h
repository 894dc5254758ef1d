// services/rpc/grpc_reflection.h
//
// gRPC's server reflection, on the callback interface. gRPC's own plugin is a synchronous service,
// whose threads would poll beside those of the callback interface and take events from each other
// (grpc_pollers.h).
//
// Threads: gRPC's; nothing waits.
// Source: https://github.com/grpc/grpc/blob/v1.51.1/doc/server-reflection.md
#ifndef CONSUL_SERVICES_RPC_GRPC_REFLECTION_H_
#define CONSUL_SERVICES_RPC_GRPC_REFLECTION_H_

#include <memory>
#include <string>
#include <vector>

namespace grpc {
class Service;
}  // namespace grpc

namespace consul::rpc {

// A service that lists `names` and itself, and knows every file that is compiled into the program.
std::unique_ptr<grpc::Service> MakeReflectionService(std::vector<std::string> names);

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_GRPC_REFLECTION_H_
