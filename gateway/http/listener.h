// gateway/http/listener.h
//
// The one accepting socket of an address, which hands each connection to the loop that has fewest.
// One socket, and no SO_REUSEPORT: a second agent on the same port must fail to start.
//
// Threads: Open and Close before the loops start and after; the rest on the first loop's thread.
#ifndef CONSUL_GATEWAY_HTTP_LISTENER_H_
#define CONSUL_GATEWAY_HTTP_LISTENER_H_

#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "gateway/http/client_counts.h"
#include "gateway/http/http_server.h"
#include "gateway/http/loop.h"

namespace consul::gateway::http {

class Listener {
 public:
  // Accepts on the first of `loops`. All arguments outlive the listener; `log` may be null.
  Listener(std::span<const std::unique_ptr<Loop>> loops, ClientCounts* counts, base::Logger* log);

  // Binds and listens. `dual_stack`: "::" takes IPv4 as well.
  absl::Status Open(const HttpAddress& address, bool dual_stack);
  void Accept();
  // Ends accepting. REQUIRES: on the first loop's thread, or before it runs.
  void Close();
  uint16_t port() const { return port_; }

 private:
  using Executor = boost::asio::io_context::executor_type;
  using Clock = std::chrono::steady_clock;

  void HandleAccept(const boost::system::error_code& ec);
  void Refuse(Socket socket, ClientCounts::Result result);
  void AcceptLater(const boost::system::error_code& ec);
  Loop* LeastLoaded() const;

  const std::span<const std::unique_ptr<Loop>> loops_;
  ClientCounts* const counts_;
  base::Logger* const log_;
  boost::asio::basic_socket_acceptor<boost::asio::ip::tcp, Executor> acceptor_;
  boost::asio::basic_waitable_timer<Clock, boost::asio::wait_traits<Clock>, Executor> retry_;
  Loop* next_ = nullptr;
  std::optional<Socket> peer_;
  boost::asio::ip::tcp::endpoint client_;
  uint16_t port_ = 0;
};

}  // namespace consul::gateway::http

#endif  // CONSUL_GATEWAY_HTTP_LISTENER_H_
