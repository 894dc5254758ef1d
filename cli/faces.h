// cli/faces.h
//
// HTTP and DNS on one backend: what an agent and a stand-alone gateway have in common.
//
// Threads: one owner.
#ifndef CONSUL_CLI_FACES_H_
#define CONSUL_CLI_FACES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "services/agent/config/config.h"
#include "services/base/log.h"

namespace consul::gateway {
class DnsServer;
class HttpServer;
namespace dns {
class Resolver;
}  // namespace dns
}  // namespace consul::gateway

namespace consul::rpc {
class Backend;
}  // namespace consul::rpc

namespace consul::cli {

struct FacesOptions {
  // Empty: that face is off.
  std::vector<agent::config::Endpoint> http_listen;
  std::vector<agent::config::Endpoint> dns_listen;
  // host:port of the RPC service that HTTP passes HTTP/2 on to; empty: none is there.
  std::string rpc_address;
  std::string datacenter;
  agent::config::Limits limits;
  agent::config::Dns dns;
};

class Faces {
 public:
  // Both outlive it.
  Faces(rpc::Backend* backend, base::Logger* logger);
  ~Faces();

  // All or nothing. Errors name the address that cannot be had.
  absl::Status Start(const FacesOptions& options);
  // Idempotent.
  void Stop();

 private:
  absl::Status StartHttp(const FacesOptions& options);
  absl::Status StartDns(const FacesOptions& options);

  rpc::Backend* const backend_;
  base::Logger* const logger_;
  std::unique_ptr<gateway::HttpServer> http_;
  std::unique_ptr<gateway::dns::Resolver> resolver_;
  std::unique_ptr<gateway::DnsServer> dns_;
};

}  // namespace consul::cli

#endif  // CONSUL_CLI_FACES_H_
