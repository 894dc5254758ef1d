// gateway/dns/backend_resolver.h
//
// Looks names up through rpc::Backend: nodes in the catalog, servers among the members of the LAN
// pool. Reads that may be stale are answered by any server, so a lost leader does not stop DNS.
//
// Threads: as Resolver; one serves all loops.
#ifndef CONSUL_GATEWAY_DNS_BACKEND_RESOLVER_H_
#define CONSUL_GATEWAY_DNS_BACKEND_RESOLVER_H_

#include <atomic>
#include <cstdint>
#include <string>

#include "gateway/dns/resolver.h"
#include "services/rpc/backend.h"

namespace consul::gateway::dns {

class BackendResolver final : public Resolver {
 public:
  // `backend` outlives the resolver and all its lookups. `token` empty: anonymous.
  explicit BackendResolver(rpc::Backend* backend, std::string token = "");

  void Start(Lookup* lookup) override;
  void Cancel(Lookup* lookup) override;

 private:
  class NodeCall;
  class ServersCall;

  rpc::Backend* const backend_;
  const std::string token_;
  const rpc::Method& get_node_;
  const rpc::Method& list_members_;
  // Which server comes first, so that each is named where there are more than an answer names.
  std::atomic<uint32_t> turn_{0};
};

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_BACKEND_RESOLVER_H_
