// gateway/http/http_server.h
//
// The HTTP/1.1 face: every method of the API that has a route, as JSON. Event loops on threads of
// their own carry the connections; a call that needs no wait is answered in the same turn of the
// loop. A query that waits holds little more than its request. A connection that begins with the
// preface of HTTP/2 is a client of RPC, and is passed on to that (splice.h).
//
// Threads: an HttpServer is started and stopped by one thread; the loops call the backend from
// theirs, named http/0, http/1 and so on.
// Background: docs/ARCHITECTURE.md (gateway).
#ifndef CONSUL_GATEWAY_HTTP_HTTP_SERVER_H_
#define CONSUL_GATEWAY_HTTP_HTTP_SERVER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"

namespace consul::base {
class Logger;
}  // namespace consul::base

namespace consul::rpc {
class Backend;
}  // namespace consul::rpc

namespace consul::gateway {

struct HttpAddress {
  // An IPv4 or IPv6 address: "127.0.0.1", "::1".
  std::string host;
  // 0: any free one.
  uint16_t port = 0;
};

// What may change while a server runs.
struct HttpSettings {
  // Bodies of one method by its path, instead of what its route says: 413. Each names a method
  // whose routes take a body.
  std::map<std::string, uint64_t, std::less<>> method_body_bytes_max;
  // Connections of one IP address: 429 (`limits.http_max_conns_per_client`); 0: no limit.
  size_t connections_per_client_max = 200;
};

// Every limit has a reply or an end of the connection that names it.
struct HttpLimits {
  // A client that goes over one of these gets 431, 414. A URL has room for the longest key (64
  // KiB), each byte of it percent-encoded. Held in memory only until the header is whole.
  size_t header_bytes_max = 320 * 1024;
  size_t url_bytes_max = 256 * 1024;
  // Bodies that no route reads are passed over up to this size; longer ones end the connection.
  size_t ignored_body_bytes_max = 256 * 1024;
  // Connections in all: 503.
  size_t connections_max = 50 * 1000;
  // Those of them that are passed on to RPC: 503. Each may hold two reads of 64 KiB.
  size_t rpc_connections_max = 1000;
  // From the first byte of a request to the end of its header.
  std::chrono::seconds header_timeout{10};
  // Between two requests; without a byte either way, where RPC is spoken.
  std::chrono::seconds idle_timeout{120};
  // Without a byte of a body that is expected, or of a reply taken.
  std::chrono::seconds stall_timeout{60};
  // To find the RPC service by its name and to connect to it.
  std::chrono::seconds rpc_connect_timeout{5};
};

struct HttpOptions {
  std::vector<HttpAddress> addresses;
  // Where the RPC service is that HTTP/2 is passed on to; here the host may be a name. Nullopt: the
  // answer to HTTP/2 is 505, and when the service cannot be reached it is 502, both in HTTP/1.1.
  std::optional<HttpAddress> rpc;
  // Event loops; at least one.
  int threads = 2;
  // Loops lend what they run to the threads that bring answers of other servers. On cores that are
  // all busy, or few, a change of thread costs more than it gains.
  bool lends = std::thread::hardware_concurrency() <= 2;
  HttpLimits limits;
  HttpSettings settings;
  // Optional; outlives the server.
  base::Logger* log = nullptr;
};

class HttpServer {
 public:
  // `backend` outlives the server.
  HttpServer(HttpOptions options, rpc::Backend* backend);
  // Stops.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Listens on every address and starts the loops. An error names the address and the port that
  // could not be had, and nothing is left running: INVALID_ARGUMENT for what is no IP address,
  // UNAVAILABLE otherwise.
  // REQUIRES: not started before.
  absl::Status Start();

  // What comes from now on is served by these settings; a method that is not in them has the limit
  // that it had. From any thread.
  void Apply(const HttpSettings& settings);

  // The port of each address, in the order of the options.
  // REQUIRES: Start has returned ok.
  const std::vector<uint16_t>& ports() const;

  // Takes no more connections, cancels calls that wait, sends the replies that are due (for a
  // second at most), closes everything and ends the threads. May be called again.
  void Stop();

  // Connections that are open now, and how many of them are passed on to RPC.
  size_t connections() const;
  size_t rpc_connections() const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace consul::gateway

#endif  // CONSUL_GATEWAY_HTTP_HTTP_SERVER_H_
