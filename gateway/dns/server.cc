#include "gateway/dns/server.h"

#include <pthread.h>

#include <algorithm>

#include "absl/status/statusor.h"
#include "gateway/dns/loop.h"
#include "services/base/check.h"
#include "services/base/strings.h"

namespace consul::gateway {
namespace {

constexpr int kThreadsMax = 64;
// Tries to find a port that is free for TCP and UDP alike, when any will do.
constexpr int kAnyPortTries = 20;

absl::StatusOr<dns::Name> ParseDomain(std::string_view option, const std::string& text) {
  std::optional<dns::Name> name = dns::Name::FromText(text);
  if (!name || name->root()) {
    return absl::InvalidArgumentError(
        base::StrCat("dns: ", option, ": not a domain name: \"", text, "\""));
  }
  name->ToLower();
  return *name;
}

absl::StatusOr<std::shared_ptr<const dns::Responder>> MakeResponder(
    const std::optional<DnsServer::Settings>& settings) {
  if (!settings) return std::make_shared<const dns::Responder>();
  dns::ResponderOptions parsed;
  absl::StatusOr<dns::Name> domain = ParseDomain("domain", settings->domain);
  if (!domain.ok()) return domain.status();
  parsed.domain = *domain;
  if (!settings->alt_domain.empty()) {
    domain = ParseDomain("alt_domain", settings->alt_domain);
    if (!domain.ok()) return domain.status();
    parsed.alt_domain = *domain;
  }
  parsed.datacenter = settings->datacenter;
  std::transform(parsed.datacenter.begin(), parsed.datacenter.end(), parsed.datacenter.begin(),
                 [](char c) { return static_cast<char>(dns::LowerOctet(c)); });
  parsed.allow_stale = settings->allow_stale;
  parsed.node_ttl_s = settings->node_ttl_s;
  parsed.soa_refresh_s = settings->soa_refresh_s;
  parsed.soa_retry_s = settings->soa_retry_s;
  parsed.soa_expire_s = settings->soa_expire_s;
  parsed.soa_min_ttl_s = settings->soa_min_ttl_s;
  return std::make_shared<const dns::Responder>(std::move(parsed));
}

// The IPv6 wildcard takes IPv4 as well, unless the IPv4 wildcard has the same port.
dns::BindOptions BindOptionsFor(const std::vector<DnsServer::ListenAddress>& listen,
                                const DnsServer::ListenAddress& one) {
  const bool beside = std::any_of(listen.begin(), listen.end(), [&one](const auto& other) {
    return other.ip == "0.0.0.0" && other.port == one.port;
  });
  return {.dual_stack = !beside};
}

}  // namespace

struct DnsServer::Sockets {
  dns::TcpConnections::Shared tcp_shared;
  std::vector<dns::Fd> listeners;
};

DnsServer::DnsServer(dns::Resolver* resolver) : resolver_(resolver) {}

DnsServer::~DnsServer() { Stop(); }

absl::Status DnsServer::Start(const Options& options) {
  CONSUL_CHECK(loops_.empty());
  auto responder = MakeResponder(options.settings);
  if (!responder.ok()) return responder.status();
  if (options.listen.empty()) return absl::InvalidArgumentError("dns: no listen address");
  absl::Status status = Bind(options, *std::move(responder));
  if (!status.ok()) {
    loops_.clear();
    sockets_.reset();
    ports_.clear();
    return status;
  }
  for (size_t i = 0; i < loops_.size(); ++i) {
    threads_.emplace_back(&dns::Loop::Run, loops_[i].get());
    const std::string name = base::StrCat("dns/", i);
    pthread_setname_np(threads_.back().native_handle(), name.c_str());
  }
  return absl::OkStatus();
}

absl::Status DnsServer::Apply(const Settings& settings) {
  CONSUL_CHECK(!loops_.empty());
  const auto responder = MakeResponder(settings);
  if (!responder.ok()) return responder.status();
  for (const auto& loop : loops_) loop->SetResponder(*responder);
  return absl::OkStatus();
}

absl::Status DnsServer::Bind(const Options& options,
                             std::shared_ptr<const dns::Responder> responder) {
  sockets_ = std::make_unique<Sockets>();
  sockets_->tcp_shared.connections_max = options.tcp_connections_max;
  sockets_->tcp_shared.idle_timeout = options.tcp_idle_timeout;
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  const int threads = std::clamp(options.threads > 0 ? options.threads : cores, 1, kThreadsMax);
  for (int i = 0; i < threads; ++i) {
    loops_.push_back(
        std::make_unique<dns::Loop>(responder, resolver_, &sockets_->tcp_shared));
    absl::Status status = loops_.back()->Open();
    if (!status.ok()) return status;
  }
  for (const ListenAddress& listen : options.listen) {
    absl::Status status = BindOne(listen, BindOptionsFor(options.listen, listen));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status DnsServer::BindOne(const ListenAddress& listen, dns::BindOptions bind_options) {
  absl::StatusOr<dns::SocketAddress> address = dns::ParseSocketAddress(listen.ip, listen.port);
  if (!address.ok()) return address.status();
  absl::Status status;
  for (int tries = listen.port == 0 ? kAnyPortTries : 1; tries > 0; --tries) {
    address->set_port(listen.port);
    absl::StatusOr<dns::Fd> listener = dns::ListenTcp(*address, bind_options);
    if (!listener.ok()) return listener.status();
    address->set_port(dns::BoundPort(*listener));
    std::vector<dns::Fd> udp;
    status = absl::OkStatus();
    while (status.ok() && udp.size() < loops_.size()) {
      absl::StatusOr<dns::Fd> fd = dns::BindUdp(*address, bind_options);
      status = fd.status();
      if (fd.ok()) udp.push_back(*std::move(fd));
    }
    if (!status.ok()) continue;
    for (size_t i = 0; i < loops_.size(); ++i) {
      loops_[i]->AddUdp(std::move(udp[i]), address->wildcard());
      loops_[i]->AddListener(listener->get());
    }
    ports_.push_back(address->port());
    sockets_->listeners.push_back(*std::move(listener));
    return absl::OkStatus();
  }
  return status;
}

void DnsServer::Stop() {
  for (const auto& loop : loops_) loop->Stop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  // The listeners last: they are the lock.
  for (const auto& loop : loops_) loop->Close();
  if (sockets_ != nullptr) sockets_->listeners.clear();
}

dns::Stats DnsServer::stats() const {
  dns::Stats stats;
  for (const auto& loop : loops_) loop->counters().AddTo(&stats);
  return stats;
}

}  // namespace consul::gateway
