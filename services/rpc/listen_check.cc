#include "services/rpc/listen_check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>

#include "services/base/strings.h"

namespace consul::rpc {
namespace {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

std::optional<SocketAddress> Parse(std::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view port_text = address.substr(colon + 1);
  std::string host(address.substr(0, colon));
  uint16_t port = 0;
  const auto [end, error] =
      std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (error != std::errc() || end != port_text.data() + port_text.size()) return std::nullopt;
  SocketAddress result;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    auto* const ip = reinterpret_cast<sockaddr_in6*>(&result.storage);
    ip->sin6_family = AF_INET6;
    ip->sin6_port = htons(port);
    result.size = sizeof(*ip);
    host = host.substr(1, host.size() - 2);
    if (inet_pton(AF_INET6, host.c_str(), &ip->sin6_addr) != 1) return std::nullopt;
    return result;
  }
  auto* const ip = reinterpret_cast<sockaddr_in*>(&result.storage);
  ip->sin_family = AF_INET;
  ip->sin_port = htons(port);
  result.size = sizeof(*ip);
  if (inet_pton(AF_INET, host.c_str(), &ip->sin_addr) != 1) return std::nullopt;
  return result;
}

absl::Status Failed(std::string_view address, int error) {
  std::string reason = std::strerror(error);
  reason[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(reason[0])));
  const std::string text = base::StrCat("listen tcp ", address, ": ", reason);
  return error == EADDRINUSE ? absl::AlreadyExistsError(text) : absl::UnavailableError(text);
}

}  // namespace

absl::Status CheckListen(std::string_view address) {
  if (address.starts_with("unix:")) return absl::OkStatus();
  const std::optional<SocketAddress> parsed = Parse(address);
  if (!parsed.has_value()) {
    return absl::InvalidArgumentError(
        base::StrCat("listen tcp ", address, ": not an IP address and port"));
  }
  const int fd = socket(parsed->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Failed(address, errno);
  // As gRPC does it: connections of a listener that is gone are not in the way.
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  int error = 0;
  if (bind(fd, reinterpret_cast<const sockaddr*>(&parsed->storage), parsed->size) != 0 ||
      listen(fd, 1) != 0) {
    error = errno;
  }
  close(fd);
  return error == 0 ? absl::OkStatus() : Failed(address, error);
}

}  // namespace consul::rpc
