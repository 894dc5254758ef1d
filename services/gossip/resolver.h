// services/gossip/resolver.h
//
// Turns what a user writes to say whom to join (an address, a name, either with a port) into the
// endpoints to join: by /etc/hosts and the system's name servers, without blocking the thread.
//
// Threads: the one that runs the io_context.
#ifndef CONSUL_SERVICES_GOSSIP_RESOLVER_H_
#define CONSUL_SERVICES_GOSSIP_RESOLVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/gossip/types.h"

namespace boost::asio {
class io_context;
}  // namespace boost::asio

namespace consul::gossip {

class Resolver {
 public:
  // All addresses of a name, at least one, in the order in which they are to be tried.
  using Done = std::function<void(absl::StatusOr<std::vector<Endpoint>>)>;

  // Longer is no name (RFC 1035, 2.3.4), with a port behind it.
  static constexpr size_t kTargetBytesMax = 253 + 6;

  // `io` outlives it.
  explicit Resolver(boost::asio::io_context* io);
  // What is under way ends with CANCELLED, inside.
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // "10.0.0.1", "10.0.0.1:8301", "fe80::1", "[fe80::1]:8301", "web", "web:8301". `done` runs inside
  // or later, once. INVALID_ARGUMENT: it is none of these. NOT_FOUND, UNAVAILABLE: the name has no
  // address, or nobody knows: "lookup web: Domain name not found".
  void Resolve(std::string_view target, uint16_t port_default, Done done);

  // Ends what is under way with CANCELLED, inside; what of it has an address already may end with
  // that.
  void Stop();

  // Names are looked up at this name server, and no other. INTERNAL: the library does not take it.
  absl::Status AskForTest(const Endpoint& name_server);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

// The parts of a target: the host as written, without brackets, and the port, or 0 when none is
// given. INVALID_ARGUMENT names what is wrong.
struct JoinTarget {
  std::string host;
  uint16_t port = 0;
};
absl::StatusOr<JoinTarget> ParseJoinTarget(std::string_view text);

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_RESOLVER_H_
