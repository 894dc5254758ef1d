#include "cli/faces.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "gateway/dns/backend_resolver.h"
#include "gateway/dns/server.h"
#include "gateway/http/http_server.h"
#include "services/rpc/backend.h"

namespace consul::cli {
namespace {

using agent::v1::GatewaySettings;

// What bodies of values go to.
constexpr char kPut[] = "/consul.kv.v1.KvService/Put";
// Of a TTL (RFC 2181 8).
constexpr uint32_t kTtlMaxSeconds = std::numeric_limits<int32_t>::max();

uint32_t Seconds(const google::protobuf::Duration& duration,
                 uint32_t max = std::numeric_limits<uint32_t>::max()) {
  return static_cast<uint32_t>(std::clamp<int64_t>(duration.seconds(), 0, max));
}

gateway::HttpSettings HttpSettingsOf(const GatewaySettings& settings) {
  gateway::HttpSettings http;
  http.method_body_bytes_max[kPut] = settings.http().kv_value_bytes_max();
  http.connections_per_client_max = settings.http().connections_per_client_max();
  return http;
}

gateway::DnsServer::Settings DnsSettingsOf(const GatewaySettings& settings) {
  const agent::v1::DnsSettings& dns = settings.dns();
  return {
      .domain = dns.domain(),
      .alt_domain = dns.alt_domain(),
      .datacenter = settings.datacenter(),
      .allow_stale = dns.allow_stale(),
      .node_ttl_s = Seconds(dns.node_ttl(), kTtlMaxSeconds),
      .soa_refresh_s = Seconds(dns.soa().refresh()),
      .soa_retry_s = Seconds(dns.soa().retry()),
      .soa_expire_s = Seconds(dns.soa().expire()),
      .soa_min_ttl_s = Seconds(dns.soa().min_ttl(), kTtlMaxSeconds),
  };
}

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

absl::Status Faces::Apply(const GatewaySettings& settings) {
  if (dns_ != nullptr) {
    if (absl::Status status = dns_->Apply(DnsSettingsOf(settings)); !status.ok()) return status;
  }
  if (http_ != nullptr) http_->Apply(HttpSettingsOf(settings));
  return absl::OkStatus();
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
  if (options.settings.has_value()) {
    http.settings = HttpSettingsOf(*options.settings);
  } else {
    http.settings.method_body_bytes_max[kPut] = agent::config::kKvValueBytesMax;
  }
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
  dns.settings.reset();
  if (options.settings.has_value()) dns.settings = DnsSettingsOf(*options.settings);
  resolver_ = std::make_unique<gateway::dns::BackendResolver>(backend_);
  dns_ = std::make_unique<gateway::DnsServer>(resolver_.get());
  return dns_->Start(dns);
}

}  // namespace consul::cli
