#include "services/agent/config/machine.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

namespace consul::agent::config {
namespace {

// "" for a family other than IPv4 and IPv6.
std::string AddressText(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address->sa_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, address, sizeof v4);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
  } else if (address->sa_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, address, sizeof v6);
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
  }
  return text;
}

// The source address of a route to `target`. Connecting a datagram socket looks the route up and
// sends no packet; the targets are addresses set aside for documentation, so that only the default
// route can lead to them.
template <typename SockAddr>
std::string RouteSource(const SockAddr& target) {
  const int family = reinterpret_cast<const sockaddr*>(&target)->sa_family;
  const int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return "";
  sockaddr_storage local = {};
  socklen_t local_size = sizeof local;
  const bool found =
      connect(fd, reinterpret_cast<const sockaddr*>(&target), sizeof target) == 0 &&
      getsockname(fd, reinterpret_cast<sockaddr*>(&local), &local_size) == 0;
  close(fd);
  return found ? AddressText(reinterpret_cast<const sockaddr*>(&local)) : "";
}

}  // namespace

Machine ThisMachine() {
  Machine machine;
  char name[HOST_NAME_MAX + 1] = "";
  if (gethostname(name, sizeof name - 1) == 0) machine.host_name = name;

  sockaddr_in v4 = {};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(9);
  inet_pton(AF_INET, "198.51.100.1", &v4.sin_addr);
  machine.default_route_address = RouteSource(v4);
  sockaddr_in6 v6 = {};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(9);
  inet_pton(AF_INET6, "2001:db8::1", &v6.sin6_addr);
  machine.default_route_address_v6 = RouteSource(v6);

  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return machine;
  for (const ifaddrs* each = all; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || (each->ifa_flags & IFF_UP) == 0) continue;
    std::string address = AddressText(each->ifa_addr);
    if (!address.empty()) machine.interface_addresses.emplace_back(each->ifa_name, address);
  }
  freeifaddrs(all);
  return machine;
}

}  // namespace consul::agent::config
