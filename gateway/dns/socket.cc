#include "gateway/dns/socket.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstring>

#include "services/base/check.h"
#include "services/base/strings.h"

namespace consul::gateway::dns {
namespace {

// Connections that the kernel holds for us until a loop accepts them.
constexpr int kTcpBacklog = 512;
// A batch of answers and a burst of queries; the kernel caps it at its own limit.
constexpr int kUdpBufferBytes = 4 << 20;

const sockaddr_in* AsV4(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr_in*>(&address.storage);
}

// "Address already in use" as "address already in use".
std::string CauseText(int error) {
  std::string text = std::strerror(error);
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(text[0]));
  return text;
}

absl::Status ListenError(std::string_view protocol, const SocketAddress& address, int error) {
  const std::string text =
      base::StrCat("listen ", protocol, " ", address.ToText(), ": ", CauseText(error));
  if (error == EADDRINUSE) return absl::AlreadyExistsError(text);
  return absl::FailedPreconditionError(text);
}

bool SetOption(const Fd& fd, int level, int option, int value) {
  return setsockopt(fd.get(), level, option, &value, sizeof(value)) == 0;
}

// Opens and binds a socket; `reuse` is the option that lets it share or take over its address.
absl::StatusOr<Fd> Bind(std::string_view protocol, int type, int reuse,
                        const SocketAddress& address, BindOptions options) {
  Fd fd(socket(address.family(), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.open() || !SetOption(fd, SOL_SOCKET, reuse, 1)) {
    return ListenError(protocol, address, errno);
  }
  if (address.family() == AF_INET6 &&
      !SetOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, options.dual_stack ? 0 : 1)) {
    return ListenError(protocol, address, errno);
  }
  if (bind(fd.get(), address.get(), address.bytes) != 0) {
    return ListenError(protocol, address, errno);
  }
  return fd;
}

}  // namespace

void Fd::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

uint16_t SocketAddress::port() const { return ntohs(storage.sin6_port); }

void SocketAddress::set_port(uint16_t port) {
  static_assert(offsetof(sockaddr_in, sin_port) == offsetof(sockaddr_in6, sin6_port));
  storage.sin6_port = htons(port);
}

bool SocketAddress::wildcard() const {
  if (family() == AF_INET) return AsV4(*this)->sin_addr.s_addr == htonl(INADDR_ANY);
  return IN6_IS_ADDR_UNSPECIFIED(&storage.sin6_addr);
}

std::string SocketAddress::ToText() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (family() == AF_INET) {
    inet_ntop(AF_INET, &AsV4(*this)->sin_addr, text, sizeof(text));
    return base::StrCat(std::string_view(text), ":", port());
  }
  inet_ntop(AF_INET6, &storage.sin6_addr, text, sizeof(text));
  return base::StrCat("[", std::string_view(text), "]:", port());
}

absl::StatusOr<SocketAddress> ParseSocketAddress(std::string_view ip, uint16_t port) {
  SocketAddress address;
  // What is behind a byte of zero would not be looked at.
  if (ip.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError("an IP address holds no zero byte");
  }
  const std::string host(ip.substr(0, ip.find('%')));
  auto* const v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1 && host.size() == ip.size()) {
    address.storage.sin6_family = AF_INET;
    address.bytes = sizeof(sockaddr_in);
  } else if (inet_pton(AF_INET6, host.c_str(), &address.storage.sin6_addr) == 1) {
    address.storage.sin6_family = AF_INET6;
    address.bytes = sizeof(sockaddr_in6);
    if (host.size() != ip.size()) {
      const std::string zone(ip.substr(host.size() + 1));
      address.storage.sin6_scope_id = if_nametoindex(zone.c_str());
      if (address.storage.sin6_scope_id == 0) {
        return absl::InvalidArgumentError(base::StrCat("no interface ", zone, " for ", ip));
      }
    }
  } else {
    return absl::InvalidArgumentError(base::StrCat("not an IP address: ", ip));
  }
  address.set_port(port);
  return address;
}

absl::StatusOr<Fd> ListenTcp(const SocketAddress& address, BindOptions options) {
  // SO_REUSEADDR takes over connections of a former process that linger, but no listening socket.
  absl::StatusOr<Fd> fd = Bind("tcp", SOCK_STREAM, SO_REUSEADDR, address, options);
  if (!fd.ok()) return fd;
  if (listen(fd->get(), kTcpBacklog) != 0) return ListenError("tcp", address, errno);
  return fd;
}

absl::StatusOr<Fd> BindUdp(const SocketAddress& address, BindOptions options) {
  absl::StatusOr<Fd> fd = Bind("udp", SOCK_DGRAM, SO_REUSEPORT, address, options);
  if (!fd.ok()) return fd;
  // Best effort: the defaults work, with more loss in bursts.
  SetOption(*fd, SOL_SOCKET, SO_RCVBUF, kUdpBufferBytes);
  SetOption(*fd, SOL_SOCKET, SO_SNDBUF, kUdpBufferBytes);
  if (address.wildcard()) {
    const bool v4 = address.family() == AF_INET;
    const bool told = v4 ? SetOption(*fd, IPPROTO_IP, IP_PKTINFO, 1)
                         : SetOption(*fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    if (!told) return ListenError("udp", address, errno);
  }
  return fd;
}

uint16_t BoundPort(const Fd& fd) {
  SocketAddress address;
  address.bytes = sizeof(address.storage);
  CONSUL_CHECK(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address.storage),
                           &address.bytes) == 0);
  return address.port();
}

}  // namespace consul::gateway::dns
