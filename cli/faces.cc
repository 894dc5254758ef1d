#include "cli/faces.h"

#include <chrono>
#include <optional>
#include <utility>

#include "gateway/dns/backend_resolver.h"
#include "gateway/dns/server.h"
#include "gateway/http/http_server.h"
#include "services/rpc/backend.h"

namespace consul::cli {
namespace {

// REQUIRES: what CheckRpcAddress takes, or nothing.
std::optional<gateway::HttpAddress> RpcTarget(const std::string& address) {
  if (address.empty()) return std::nullopt;
  const size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.front() == '[') host = host.substr(1, host.size() - 2);
  return gateway::HttpAddress{std::move(host),
                              static_cast<uint16_t>(std::stoul(address.substr(colon + 1)))};
}

}  // namespace

Faces::Faces(rpc::Backend* backend, base::Logger* logger) : backend_(backend), logger_(logger) {}

Faces::~Faces() { Stop(); }

absl::Status Faces::Start(const FacesOptions& options) {
  absl::Status status = StartHttp(options);
  if (status.ok()) status = StartDns(options);
  if (!status.ok()) Stop();
  return status;
}

void Faces::Stop() {
  if (http_ != nullptr) http_->Stop();
  if (dns_ != nullptr) dns_->Stop();
}

absl::Status Faces::StartHttp(const FacesOptions& options) {
  if (options.http_listen.empty()) return absl::OkStatus();
  gateway::HttpOptions http;
  for (const agent::config::Endpoint& endpoint : options.http_listen) {
    http.addresses.push_back({endpoint.address, endpoint.port});
  }
  http.rpc = RpcTarget(options.rpc_address);
  http.limits.connections_per_client_max =
      static_cast<size_t>(options.limits.http_max_conns_per_client);
  http.limits.method_body_bytes_max["/consul.kv.v1.KvService/Put"] =
      options.limits.kv_max_value_size;
  http.log = logger_;
  http_ = std::make_unique<gateway::HttpServer>(std::move(http), backend_);
  return http_->Start();
}

absl::Status Faces::StartDns(const FacesOptions& options) {
  if (options.dns_listen.empty()) return absl::OkStatus();
  gateway::DnsServer::Options dns;
  for (const agent::config::Endpoint& endpoint : options.dns_listen) {
    dns.listen.push_back({endpoint.address, endpoint.port});
  }
  dns.domain = options.dns.domain;
  dns.alt_domain = options.dns.alt_domain;
  dns.datacenter = options.datacenter;
  dns.node_ttl_s = static_cast<uint32_t>(
      std::chrono::duration_cast<std::chrono::seconds>(options.dns.node_ttl).count());
  dns.soa_refresh_s = options.dns.soa.refresh_seconds;
  dns.soa_retry_s = options.dns.soa.retry_seconds;
  dns.soa_expire_s = options.dns.soa.expire_seconds;
  dns.soa_min_ttl_s = options.dns.soa.min_ttl_seconds;
  gateway::dns::BackendResolver::Options resolver;
  resolver.datacenter = options.datacenter;
  resolver.allow_stale = options.dns.allow_stale;
  resolver_ = std::make_unique<gateway::dns::BackendResolver>(backend_, std::move(resolver));
  dns_ = std::make_unique<gateway::DnsServer>(resolver_.get());
  return dns_->Start(dns);
}

}  // namespace consul::cli
