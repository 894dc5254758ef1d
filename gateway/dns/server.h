// gateway/dns/server.h
//
// The DNS face of the agent and of the gateway: listens on UDP and TCP, answers from the catalog
// behind a Resolver. Owns the threads `dns/0..n`; decides nothing about answers (responder.h does).
//
// Threads: Start, Apply and Stop from one thread; port and stats from any between them.
#ifndef CONSUL_GATEWAY_DNS_SERVER_H_
#define CONSUL_GATEWAY_DNS_SERVER_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "gateway/dns/resolver.h"
#include "gateway/dns/responder.h"
#include "gateway/dns/socket.h"
#include "gateway/dns/stats.h"

namespace consul::gateway {

namespace dns {
class Loop;
}

class DnsServer {
 public:
  struct ListenAddress {
    std::string ip;     // IPv4 or IPv6; 0.0.0.0 and :: for all
    uint16_t port = 0;  // 0: any free one
  };

  // What is answered.
  struct Settings {
    std::string domain = "consul.";
    std::string alt_domain;  // empty: none
    std::string datacenter;  // the own one
    bool allow_stale = true;
    uint32_t node_ttl_s = 0;
    uint32_t soa_refresh_s = 3600;
    uint32_t soa_retry_s = 600;
    uint32_t soa_expire_s = 86400;
    uint32_t soa_min_ttl_s = 0;
  };

  struct Options {
    std::vector<ListenAddress> listen;  // at least one
    // Nullopt: not known yet, and every question gets SERVFAIL.
    std::optional<Settings> settings = Settings();
    int threads = 0;  // event loops; 0: one a core, at most 64
    // Of all loops together; more are closed at once.
    int tcp_connections_max = 1000;
    // A connection that says nothing, or takes nothing, for this long is closed.
    std::chrono::milliseconds tcp_idle_timeout{10000};
  };

  // `resolver` outlives the server.
  explicit DnsServer(dns::Resolver* resolver);
  ~DnsServer();
  DnsServer(const DnsServer&) = delete;
  DnsServer& operator=(const DnsServer&) = delete;

  // Binds all addresses and serves; all of it or nothing. INVALID_ARGUMENT names the option that is
  // wrong; an address that cannot be had gives "listen udp 127.0.0.1:8600: address already in use"
  // with ALREADY_EXISTS, or another cause with FAILED_PRECONDITION. REQUIRES: not started before.
  absl::Status Start(const Options& options);

  // Answers by these settings from now on, within the turn of each event loop. INVALID_ARGUMENT
  // names the one that is wrong, and nothing has changed. REQUIRES: started.
  absl::Status Apply(const Settings& settings);

  // Cancels lookups, closes all sockets and ends the threads. Idempotent. Executors of lookups
  // outlive it: they go with the server.
  void Stop();

  // Of the i-th listen address, as bound. REQUIRES: started.
  uint16_t port(size_t i = 0) const { return ports_[i]; }

  dns::Stats stats() const;

 private:
  absl::Status Bind(const Options& options, std::shared_ptr<const dns::Responder> responder);
  absl::Status BindOne(const ListenAddress& listen, dns::BindOptions bind_options);

  dns::Resolver* const resolver_;
  struct Sockets;
  std::unique_ptr<Sockets> sockets_;
  std::vector<std::unique_ptr<dns::Loop>> loops_;
  std::vector<std::thread> threads_;
  std::vector<uint16_t> ports_;
};

}  // namespace consul::gateway

#endif  // CONSUL_GATEWAY_DNS_SERVER_H_
