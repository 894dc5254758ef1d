// services/rpc/grpc_server.h
//
// A gRPC face: every service of its method tables, on a backend. Each proto service becomes one
// grpc::Service made from its descriptor, so that server reflection and the health service list it;
// no code is generated per service. Requests and replies are handled as bytes on gRPC's own thread
// (grpc_pollers.h) while they need no wait; a call that waits goes on on the server's one event
// thread, and one whose reply is a list begins there, unless it is passed on as bytes.
//
// Threads: Start and Stop by one owner, the rest from any. Callbacks never block gRPC's threads.
#ifndef CONSUL_SERVICES_RPC_GRPC_SERVER_H_
#define CONSUL_SERVICES_RPC_GRPC_SERVER_H_

#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "services/rpc/backend.h"
#include "services/rpc/method.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace consul::rpc {

class GrpcServer {
 public:
  struct Limits {
    // Bytes of a request; a larger one ends with RESOURCE_EXHAUSTED, which gives both sizes.
    size_t request_bytes_max = 4 << 20;
    // Bytes of a reply; a larger one ends with REASON_TOO_LARGE. A `?recurse` of a large store is
    // one reply.
    size_t reply_bytes_max = 512 << 20;
    // Calls at once on a connection, blocked reads mostly; more wait in the client.
    int calls_per_connection_max = 20'000;
    // Messages of a stream that wait for a slow client; with more, Next is refused.
    size_t stream_messages_max = 64;
    // A client that has vanished without a word is found out, and its calls are freed: each is
    // pinged so often, and cut off when it does not answer: a ping stands behind the megabytes of
    // a large reply for as long as a slow line takes. HTTP counts on it (gateway/http/splice.h).
    std::chrono::milliseconds ping_interval{60'000};
    std::chrono::milliseconds ping_timeout{50'000};
  };
  // A service that no table describes.
  struct Beside {
    const char* name;  // in full
    grpc::Service* service;
  };
  struct Options {
    // "127.0.0.1:8400", "[::1]:8400" or "unix:///path"; port 0 takes a free one.
    std::vector<std::string> addresses;
    Limits limits = {};
    // Served beside the tables' services; they outlive the server.
    std::vector<Beside> services = {};
  };

  // The tables and `backend` outlive the server.
  GrpcServer(Options options, const MethodTable& methods, Backend* backend)
      : GrpcServer(std::move(options), {&methods}, backend) {}
  GrpcServer(Options options, std::initializer_list<const MethodTable*> tables, Backend* backend);
  // REQUIRES: stopped, or never started.
  ~GrpcServer();
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  // Listens on every address, or on none. ALREADY_EXISTS: another process has an address, "listen
  // tcp 127.0.0.1:8400: address already in use". Other codes: the address is malformed or not ours.
  absl::Status Start();

  // The port of each address, in their order; 0 for a socket in the file system. REQUIRES: started.
  const std::vector<int>& ports() const;

  // Refuses new calls, gives those that run `grace` to end, cancels the rest, and returns when none
  // is left. Idempotent.
  void Stop(std::chrono::milliseconds grace = std::chrono::milliseconds(100));

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_GRPC_SERVER_H_
