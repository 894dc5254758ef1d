// cli/agent_address.h
//
// Where a command finds its agent: at its RPC, or at its HTTP port, which passes RPC on. What flags
// and the environment say is checked here, before anything connects. Looks nothing up.
//
// Threads: plain values and pure functions.
#ifndef CONSUL_CLI_AGENT_ADDRESS_H_
#define CONSUL_CLI_AGENT_ADDRESS_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace consul::cli {

enum class Face { kRpc, kHttp };

// "RPC" or "HTTP".
std::string_view FaceName(Face face);

// Where an agent's RPC is unless a flag or the environment says otherwise.
inline constexpr std::string_view kRpcAddressDefault = "127.0.0.1:8400";

struct AgentAddress {
  Face face = Face::kRpc;
  std::string host_port = std::string(kRpcAddressDefault);

  friend bool operator==(const AgentAddress&, const AgentAddress&) = default;
};

// OK for HOST:PORT: a host's name, an IPv4 literal or an IPv6 literal in brackets (with its zone,
// if it has one), and a port of 1 to 65535. INVALID_ARGUMENT says what is wrong, without the
// address itself: "missing port in address".
absl::Status CheckRpcAddress(std::string_view address);

// The HOST:PORT of an HTTP address: that, HOST alone, whose port is 80 as in a URL, or :PORT or
// PORT alone, which are this machine's; each may stand behind "http://" and before one "/".
// INVALID_ARGUMENT says what is wrong, as above; https:// and unix:// are not supported yet.
absl::StatusOr<std::string> ParseHttpAddress(std::string_view text);

}  // namespace consul::cli

#endif  // CONSUL_CLI_AGENT_ADDRESS_H_
