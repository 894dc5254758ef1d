// gateway/dns/backend_resolver.h
//
// Looks names up through rpc::Backend: nodes in the catalog, servers among the members of the LAN
// pool. Reads are stale by default, so any server answers and a lost leader does not stop DNS.
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
  struct Options {
    std::string datacenter;   // the own one, lower case
    bool allow_stale = true;  // dns_config.allow_stale
    std::string token;        // empty: anonymous
  };

  // `backend` outlives the resolver and all its lookups.
  BackendResolver(rpc::Backend* backend, Options options);

  void Start(Lookup* lookup) override;
  void Cancel(Lookup* lookup) override;

 private:
  class NodeCall;
  class ServersCall;

  rpc::Backend* const backend_;
  const Options options_;
  const rpc::Method& get_node_;
  const rpc::Method& list_members_;
  // Which server comes first, so that each is named where there are more than an answer names.
  std::atomic<uint32_t> turn_{0};
};

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_BACKEND_RESOLVER_H_
