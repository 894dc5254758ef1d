// gateway/http/name_lookup.h
//
// The addresses of a name, from the hosts file and the DNS servers of this machine. It is c-ares on
// an event loop instead of getaddrinfo on a thread, so that it can be given up at any time: a
// server that stops waits for no name server.
//
// Threads: its event loop's.
#ifndef CONSUL_GATEWAY_HTTP_NAME_LOOKUP_H_
#define CONSUL_GATEWAY_HTTP_NAME_LOOKUP_H_

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace consul::gateway::http {

class NameLookup {
 public:
  using Addresses = std::vector<boost::asio::ip::address>;
  // Of more addresses the rest is left out.
  static constexpr size_t kAddressesMax = 8;

  struct Options {
    // "127.0.0.1:53,127.0.0.2:53"; empty: those of this machine.
    std::string servers;
    // For the first question to each server; the second and last one gets twice as long.
    std::chrono::milliseconds timeout{1500};
  };

  // Asks for the addresses of `name`. `done` is called once from the loop, never from within: with
  // one address at least, in the order in which they should be tried, or with UNAVAILABLE and what
  // the resolver says. It may destroy the lookup. `io` outlives the lookup.
  NameLookup(boost::asio::io_context* io, const std::string& name, const Options& options,
             std::function<void(const absl::StatusOr<Addresses>&)> done);
  // Gives up: `done` is called no more.
  ~NameLookup();
  NameLookup(const NameLookup&) = delete;
  NameLookup& operator=(const NameLookup&) = delete;

 private:
  class Query;
  const std::shared_ptr<Query> query_;
};

}  // namespace consul::gateway::http

#endif  // CONSUL_GATEWAY_HTTP_NAME_LOOKUP_H_
