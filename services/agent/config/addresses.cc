#include "services/agent/config/addresses.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "services/base/strings.h"

namespace consul::agent::config {
namespace {

using V4Bytes = std::array<unsigned char, 4>;
using V6Bytes = std::array<unsigned char, 16>;

template <typename Bytes>
std::optional<Bytes> Parse(int family, std::string_view text) {
  // A name with a NUL in it must not pass for the address before the NUL.
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  Bytes bytes;
  if (inet_pton(family, std::string(text).c_str(), bytes.data()) != 1) return std::nullopt;
  return bytes;
}
std::optional<V4Bytes> ParseV4(std::string_view text) { return Parse<V4Bytes>(AF_INET, text); }
std::optional<V6Bytes> ParseV6(std::string_view text) { return Parse<V6Bytes>(AF_INET6, text); }

bool IsLoopbackOrLinkLocal(std::string_view address) {
  if (const auto v4 = ParseV4(address)) {
    return (*v4)[0] == 127 || ((*v4)[0] == 169 && (*v4)[1] == 254);
  }
  const auto v6 = ParseV6(address);
  return address == "::1" || (v6 && (*v6)[0] == 0xfe && ((*v6)[1] & 0xc0) == 0x80);
}

std::string_view Trim(std::string_view text) {
  const size_t start = text.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos) return "";
  return text.substr(start, text.find_last_not_of(" \t\r\n") - start + 1);
}

// The first address that `accept` takes, the default route's before the others.
template <typename Accept>
std::string FirstAddress(const Machine& machine, Accept accept) {
  if (!machine.default_route_address.empty() && accept(machine.default_route_address)) {
    return machine.default_route_address;
  }
  for (const auto& [name, address] : machine.interface_addresses) {
    if (ParseV4(address) && accept(address)) return address;
  }
  return "";
}

std::string InterfaceAddress(const Machine& machine, std::string_view wanted) {
  std::string v6;
  for (const auto& [name, address] : machine.interface_addresses) {
    if (name != wanted) continue;
    if (ParseV4(address)) return address;
    if (v6.empty() && !IsLoopbackOrLinkLocal(address)) v6 = address;
  }
  return v6;
}

// The address that a template's text between the braces stands for; empty when there is none,
// nullopt when we do not know the template.
std::optional<std::string> Evaluate(std::string_view body, const Machine& machine) {
  if (body == "GetPrivateIP") {
    return FirstAddress(machine, [](const std::string& address) { return IsPrivate(address); });
  }
  if (body == "GetPublicIP") {
    return FirstAddress(machine, [](const std::string& address) {
      return !IsPrivate(address) && !IsLoopbackOrLinkLocal(address);
    });
  }
  constexpr std::string_view kInterface = "GetInterfaceIP";
  if (body.substr(0, kInterface.size()) == kInterface) {
    const std::string_view name = Trim(body.substr(kInterface.size()));
    if (name.size() > 2 && name.front() == '"' && name.back() == '"') {
      return InterfaceAddress(machine, name.substr(1, name.size() - 2));
    }
  }
  return std::nullopt;
}

}  // namespace

bool IsIpAddress(std::string_view text) { return ParseV4(text) || ParseV6(text); }
bool IsIpV6Address(std::string_view text) { return ParseV6(text).has_value(); }

bool IsWildcard(std::string_view address) {
  return ParseV4(address) == V4Bytes{} || ParseV6(address) == V6Bytes{};
}

bool IsPrivate(std::string_view address) {
  if (const auto v4 = ParseV4(address)) {
    const auto& bytes = *v4;
    return bytes[0] == 10 || (bytes[0] == 172 && (bytes[1] & 0xf0) == 16) ||
           (bytes[0] == 192 && bytes[1] == 168);
  }
  const auto v6 = ParseV6(address);
  return v6 && ((*v6)[0] & 0xfe) == 0xfc;
}

absl::StatusOr<std::vector<std::string>> ResolveAddresses(std::string_view key,
                                                          std::string_view text,
                                                          const Machine& machine) {
  const auto fail = [key](std::string_view what, std::string_view value) {
    return absl::InvalidArgumentError(base::StrCat(key, ": ", what, ": ", value));
  };
  std::vector<std::string> addresses;
  for (std::string_view rest = Trim(text); !rest.empty(); rest = Trim(rest)) {
    if (rest.substr(0, 2) == "{{") {
      const size_t end = rest.find("}}");
      if (end == std::string_view::npos) return fail("template not terminated", rest);
      const std::string_view body = Trim(rest.substr(2, end - 2));
      std::optional<std::string> address = Evaluate(body, machine);
      if (!address.has_value()) return fail("unknown template", body);
      if (address->empty()) return fail("no address found for template", body);
      addresses.push_back(*std::move(address));
      rest.remove_prefix(end + 2);
      continue;
    }
    std::string_view word = rest.substr(0, rest.find_first_of(" \t\r\n"));
    rest.remove_prefix(word.size());
    if (word.substr(0, 5) == "unix:") return fail("unix sockets are not supported yet", word);
    if (word.size() > 2 && word.front() == '[' && word.back() == ']') {
      word = word.substr(1, word.size() - 2);
    }
    if (!IsIpAddress(word)) return fail("invalid ip address", word);
    addresses.emplace_back(word);
  }
  return addresses;
}

}  // namespace consul::agent::config
