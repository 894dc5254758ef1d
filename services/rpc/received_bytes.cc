#include "services/rpc/received_bytes.h"

#include <arpa/inet.h>
// Not netinet/tcp.h: the C library's tcp_info ends before the count of bytes.
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <charconv>
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

uint64_t BytesReceivedBy(int fd) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_bytes_received : 0;
}

}  // namespace

uint64_t BytesReceivedFrom(std::string_view address) {
  const std::optional<Place> place = PlaceOf(address);
  if (!place) return 0;
  uint64_t sum = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; at != end && !error;
       at.increment(error)) {
    // What is closed meanwhile is none; what takes its number is looked at as itself.
    const int fd = std::atoi(at->path().filename().c_str());
    if (PeerOf(fd) == place) sum += BytesReceivedBy(fd);
  }
  return sum;
}

}  // namespace consul::rpc
