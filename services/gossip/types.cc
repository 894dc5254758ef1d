#include "services/gossip/types.h"

#include <algorithm>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "services/base/strings.h"
#include "services/gossip/hash.h"

namespace consul::gossip {
namespace {

constexpr std::array<uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
// The longest text of an address with its zero byte, as inet_pton wants it.
constexpr size_t kIpTextMax = INET6_ADDRSTRLEN;

std::optional<uint16_t> ParsePort(std::string_view text) {
  if (text.empty() || text.size() > 5) return std::nullopt;
  uint32_t port = 0;
  for (const char digit : text) {
    if (digit < '0' || digit > '9') return std::nullopt;
    port = port * 10 + static_cast<uint32_t>(digit - '0');
  }
  if (port == 0 || port > 65535) return std::nullopt;
  return static_cast<uint16_t>(port);
}

}  // namespace

bool Endpoint::is_v4() const {
  return std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), ip.begin());
}

std::string Endpoint::IpBytes() const {
  const size_t skip = is_v4() ? kMappedPrefix.size() : 0;
  return std::string(reinterpret_cast<const char*>(ip.data()) + skip, ip.size() - skip);
}

std::optional<Endpoint> Endpoint::FromBytes(std::string_view ip, uint32_t port) {
  if (port == 0 || port > 65535 || (ip.size() != 4 && ip.size() != 16)) return std::nullopt;
  Endpoint endpoint;
  endpoint.port = static_cast<uint16_t>(port);
  if (ip.size() == 4) std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), endpoint.ip.begin());
  std::memcpy(endpoint.ip.data() + endpoint.ip.size() - ip.size(), ip.data(), ip.size());
  return endpoint;
}

std::string Endpoint::IpToString() const {
  char text[kIpTextMax];
  const bool v4 = is_v4();
  const void* bytes = ip.data() + (v4 ? kMappedPrefix.size() : 0);
  if (inet_ntop(v4 ? AF_INET : AF_INET6, bytes, text, sizeof text) == nullptr) return "";
  return text;
}

std::string Endpoint::ToString() const {
  if (is_v4()) return base::StrCat(IpToString(), ":", port);
  return base::StrCat("[", IpToString(), "]:", port);
}

std::optional<Endpoint> Endpoint::ParseIp(std::string_view ip, uint16_t port) {
  if (ip.size() >= kIpTextMax || ip.find('\0') != std::string_view::npos) return std::nullopt;
  const std::string text(ip);
  char bytes[16];
  if (inet_pton(AF_INET, text.c_str(), bytes) == 1) return FromBytes({bytes, 4}, port);
  if (inet_pton(AF_INET6, text.c_str(), bytes) == 1) return FromBytes({bytes, 16}, port);
  return std::nullopt;
}

std::optional<Endpoint> Endpoint::Parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::optional<uint16_t> port = ParsePort(text.substr(colon + 1));
  std::string_view ip = text.substr(0, colon);
  if (!port.has_value()) return std::nullopt;
  const bool brackets = ip.size() >= 2 && ip.front() == '[' && ip.back() == ']';
  if (brackets) ip = ip.substr(1, ip.size() - 2);
  // An IPv6 address without brackets would make the port a guess; brackets around IPv4 are none.
  if (brackets != (ip.find(':') != std::string_view::npos)) return std::nullopt;
  return ParseIp(ip, *port);
}

size_t EndpointHash::operator()(const Endpoint& endpoint) const {
  return StableHash()
      .Bytes({reinterpret_cast<const char*>(endpoint.ip.data()), endpoint.ip.size()})
      .Number(endpoint.port)
      .value();
}

}  // namespace consul::gossip
