// Goal: no text crashes what reads addresses, of flags, of configuration files and of listeners;
// what one of them takes is an address to the others, and a text with a byte of zero is to none.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cli/agent_address.h"
#include "gateway/dns/socket.h"
#include "services/agent/config/addresses.h"
#include "services/agent/config/machine.h"

namespace {

namespace config = consul::agent::config;

void Require(bool fact) {
  if (!fact) std::abort();
}

const config::Machine& TheMachine() {
  static const auto& machine =
      *new config::Machine{"h",
                           "10.0.0.1",
                           "2001:db8::1",
                           {{"lo", "127.0.0.1"}, {"eth0", "10.0.0.1"}, {"w", "8.8.8.8"}}};
  return machine;
}

void RequireResolved(std::string_view text) {
  const auto addresses = config::ResolveAddresses("key", text, TheMachine());
  Require(addresses.ok() || addresses.status().message().substr(0, 5) == "key: ");
  if (!addresses.ok()) return;
  for (const std::string& address : *addresses) {
    Require(config::IsIpAddress(address));
    // What the configuration takes can be listened on.
    const auto socket = consul::gateway::dns::ParseSocketAddress(address, 8600);
    Require(socket.ok() && socket->port() == 8600);
    Require(socket->wildcard() == config::IsWildcard(address));
    Require(!config::IsWildcard(address) || !config::IsPrivate(address));
    const auto again = config::ResolveAddresses("key", address, TheMachine());
    Require(again.ok() && again->size() == 1 && again->front() == address);
  }
}

void RequireSocket(std::string_view text) {
  const auto socket = consul::gateway::dns::ParseSocketAddress(text, 53);
  if (!socket.ok()) {
    Require(absl::IsInvalidArgument(socket.status()));
    return;
  }
  Require(text.find('\0') == std::string_view::npos);
  const std::string_view ip = text.substr(0, text.find('%'));
  Require(config::IsIpAddress(ip));
  Require(config::IsIpV6Address(ip) == (socket->family() == AF_INET6));
  Require(socket->ToText().ends_with(":53"));
}

void RequireRpcAddress(std::string_view text) {
  const absl::Status status = consul::cli::CheckRpcAddress(text);
  Require(status.ok() || absl::IsInvalidArgument(status));
  if (!status.ok()) return;
  const size_t colon = text.rfind(':');
  Require(colon != std::string_view::npos && colon > 0 && colon + 1 < text.size());
  // What a name is looked up by would end at a zero byte; the others are in no name.
  Require(text.find_first_of(std::string_view("\0 /\n", 4)) == std::string_view::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  RequireResolved(text);
  RequireSocket(text);
  RequireRpcAddress(text);
  return 0;
}
