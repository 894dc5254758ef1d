// services/agent/server_port.h
//
// The server port of a server agent: where other agents bring the calls that they forward, and what
// they have to say of themselves. It listens on the bind address, for the whole network: methods of
// the agent itself (leave, monitor, self) are not to be had there.
//
// Threads: one owner.
#ifndef CONSUL_SERVICES_AGENT_SERVER_PORT_H_
#define CONSUL_SERVICES_AGENT_SERVER_PORT_H_

#include "absl/status/status.h"
#include "services/agent/config/config.h"
#include "services/rpc/backend.h"
#include "services/rpc/grpc_server.h"

namespace consul::agent {

class ServerPort {
 public:
  // `backend` has the public and the internal methods, `consensus` is how other servers reach this
  // one's; both outlive it.
  ServerPort(const config::Endpoint& endpoint, rpc::Backend* backend, grpc::Service* consensus);

  // Errors as GrpcServer::Start.
  absl::Status Start() { return grpc_.Start(); }
  // Calls that are under way are answered or cancelled. Idempotent.
  void Stop() { grpc_.Stop(); }
  // The port in use: another than asked for where that was 0.
  int port() const { return grpc_.ports().front(); }

 private:
  // Passes on what may be asked from outside.
  class FromOutside : public rpc::Backend {
   public:
    explicit FromOutside(rpc::Backend* backend) : backend_(backend) {}
    void Start(rpc::Call* call) override;
    void Idle() override { backend_->Idle(); }

   private:
    rpc::Backend* const backend_;
  };

  FromOutside from_outside_;
  rpc::GrpcServer grpc_;
};

}  // namespace consul::agent

#endif  // CONSUL_SERVICES_AGENT_SERVER_PORT_H_
