#include "services/agent/reserved_ports.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "services/base/strings.h"

namespace consul::agent {

ReservedPorts::~ReservedPorts() {
  for (const int socket : sockets_) close(socket);
}

absl::Status ReservedPorts::Take(const config::Config& config) {
  for (const auto& gossip : {config.serf_lan_listen, config.serf_wan_listen}) {
    if (!gossip.has_value()) continue;
    if (absl::Status status = TakeOne(*gossip, SOCK_STREAM); !status.ok()) return status;
    if (absl::Status status = TakeOne(*gossip, SOCK_DGRAM); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ReservedPorts::TakeOne(const config::Endpoint& endpoint, int type) {
  sockaddr_storage address{};
  socklen_t size = 0;
  auto* const v4 = reinterpret_cast<sockaddr_in*>(&address);
  auto* const v6 = reinterpret_cast<sockaddr_in6*>(&address);
  if (inet_pton(AF_INET, endpoint.address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(endpoint.port);
    size = sizeof(*v4);
  } else {
    inet_pton(AF_INET6, endpoint.address.c_str(), &v6->sin6_addr);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(endpoint.port);
    size = sizeof(*v6);
  }
  const int fd = socket(address.ss_family, type | SOCK_CLOEXEC, 0);
  if (fd >= 0) sockets_.push_back(fd);
  if (fd >= 0 && bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0) {
    return absl::OkStatus();
  }
  const int error = errno;
  const std::string what = base::StrCat("listen ", type == SOCK_STREAM ? "tcp " : "udp ",
                                        endpoint.ToString(), ": ");
  if (error == EADDRINUSE) {
    return absl::AlreadyExistsError(base::StrCat(what, "address already in use"));
  }
  return absl::UnavailableError(base::StrCat(what, std::strerror(error)));
}

}  // namespace consul::agent
