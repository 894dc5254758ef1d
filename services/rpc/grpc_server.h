// services/rpc/grpc_server.h
//
// The gRPC face: a service for each service of the API, made from its descriptor, on a Backend. The
// reflection and the health service list them all.
//
// Threads: Start and Stop by one owner. Calls run on one thread of its own, `rpc`; gRPC's threads
// only move bytes and never wait.
#ifndef CONSUL_SERVICES_RPC_GRPC_SERVER_H_
#define CONSUL_SERVICES_RPC_GRPC_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "services/rpc/backend.h"
#include "services/rpc/method.h"

namespace consul::rpc {

class GrpcServer {
 public:
  struct Options {
    // `ip:port` each; port 0: any free one.
    std::vector<std::string> addresses;
  };

  // `methods` and `backend` outlive the server.
  GrpcServer(Options options, const MethodTable& methods, Backend* backend);
  ~GrpcServer();

  // Listens. ALREADY_EXISTS: `listen tcp IP:PORT: address already in use`; UNAVAILABLE: another
  // reason, with the address. All addresses or none.
  absl::Status Start();
  // Of each address, as bound. REQUIRES: started.
  const std::vector<int>& ports() const;
  // Takes no more calls, gives those that are on their way a second, cancels the rest. Idempotent.
  void Stop();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_GRPC_SERVER_H_
