#include "services/rpc/signs_of_life.h"

#include <arpa/inet.h>
// Not netinet/tcp.h: the C library's tcp_info ends before the count of bytes.
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>

namespace consul::rpc {
namespace {

// An IPv4 address as the IPv6 address that stands for it, for a socket may be of either family.
struct Place {
  in6_addr ip;
  in_port_t port;  // in the network's order
  friend bool operator==(const Place& a, const Place& b) {
    return a.port == b.port && std::memcmp(&a.ip, &b.ip, sizeof(a.ip)) == 0;
  }
};

std::optional<Place> PlaceOf(std::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view port_text = address.substr(colon + 1);
  std::string ip(address.substr(0, colon));
  if (ip.starts_with('[') && ip.ends_with(']')) ip = ip.substr(1, ip.size() - 2);
  if (ip.find(':') == std::string::npos) ip.insert(0, "::ffff:");
  uint16_t port = 0;
  const auto [end, error] =
      std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  Place place{};
  const bool valid = error == std::errc() && end == port_text.data() + port_text.size() &&
                     inet_pton(AF_INET6, ip.c_str(), &place.ip) == 1;
  place.port = htons(port);
  return valid ? std::optional(place) : std::nullopt;
}

std::optional<Place> PeerOf(int fd) {
  union {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
  } peer;
  socklen_t size = sizeof(peer);
  if (getpeername(fd, &peer.any, &size) != 0) return std::nullopt;
  if (peer.any.sa_family == AF_INET6) return Place{peer.v6.sin6_addr, peer.v6.sin6_port};
  if (peer.any.sa_family != AF_INET) return std::nullopt;
  Place place{{}, peer.v4.sin_port};
  std::memset(&place.ip.s6_addr[10], 0xff, 2);
  std::memcpy(&place.ip.s6_addr[12], &peer.v4.sin_addr, 4);
  return place;
}

uint64_t CookieOf(int fd) {
  uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

std::chrono::milliseconds UserTimeoutOf(int fd) {
  unsigned timeout_ms = 0;
  socklen_t size = sizeof(timeout_ms);
  getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, &size);
  return std::chrono::milliseconds(timeout_ms);
}

SignsOfLife::Traffic TrafficOf(int fd) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size);
  return {info.tcpi_bytes_received, info.tcpi_bytes_acked, info.tcpi_notsent_bytes};
}

}  // namespace

SignsOfLife::SignsOfLife(std::string_view address, std::chrono::milliseconds keepalive_timeout) {
  const std::optional<Place> place = PlaceOf(address);
  if (!place) return;
  std::error_code error;
  for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; at != end && !error;
       at.increment(error)) {
    const int fd = std::atoi(at->path().filename().c_str());
    if (PeerOf(fd) != place) continue;
    // Others may close it meanwhile, and its number be another's: what is looked at in between is
    // of the one cookie.
    const Connection found{fd, CookieOf(fd), TrafficOf(fd)};
    const bool sought = PeerOf(fd) == place && UserTimeoutOf(fd) == keepalive_timeout;
    if (sought && CookieOf(fd) == found.cookie) connections_.push_back(found);
  }
}

bool SignsOfLife::Since() const {
  return std::any_of(connections_.begin(), connections_.end(), [](const Connection& each) {
    const Traffic& before = each.traffic;
    const Traffic now = TrafficOf(each.fd);
    if (CookieOf(each.fd) != each.cookie) return false;
    const bool in_line = before.in_line > 0 || now.in_line > 0;
    return now.received > before.received || (in_line && now.taken > before.taken);
  });
}

}  // namespace consul::rpc
