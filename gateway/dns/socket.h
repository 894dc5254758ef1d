// gateway/dns/socket.h
//
// The sockets of the DNS server: addresses as text, and sockets bound to them. The TCP socket is
// bound first and without SO_REUSEPORT: it is the lock that keeps a second server from sharing our
// UDP sockets, which do have it, one for each loop.
//
// Threads: functions, any; Fd is a value type.
#ifndef CONSUL_GATEWAY_DNS_SOCKET_H_
#define CONSUL_GATEWAY_DNS_SOCKET_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace consul::gateway::dns {

// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    Close();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
  }
  ~Fd() { Close(); }

  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  void Close();

 private:
  int fd_ = -1;
};

// An IP address and port, as the kernel takes it.
struct SocketAddress {
  sockaddr_in6 storage{};  // a sockaddr_in where family() says so
  socklen_t bytes = 0;

  int family() const { return storage.sin6_family; }
  uint16_t port() const;
  void set_port(uint16_t port);
  // 0.0.0.0 or ::.
  bool wildcard() const;
  // "127.0.0.1:8600", "[::1]:8600".
  std::string ToText() const;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// INVALID_ARGUMENT when `ip` is no IPv4 or IPv6 address. A zone ("fe80::1%eth0") may follow.
absl::StatusOr<SocketAddress> ParseSocketAddress(std::string_view ip, uint16_t port);

struct BindOptions {
  // An IPv6 wildcard takes IPv4 as well; off where the IPv4 wildcard is bound beside it.
  bool dual_stack = true;
};

// Each is non-blocking, closed on exec, and bound. Errors name protocol, address and cause:
// "listen tcp 127.0.0.1:8600: address already in use"; ALREADY_EXISTS for that cause,
// FAILED_PRECONDITION for others.
absl::StatusOr<Fd> ListenTcp(const SocketAddress& address, BindOptions options);
// With SO_REUSEPORT; on a wildcard address the local address comes with each packet.
absl::StatusOr<Fd> BindUdp(const SocketAddress& address, BindOptions options);

// The port that a bound socket has.
uint16_t BoundPort(const Fd& fd);

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_SOCKET_H_
