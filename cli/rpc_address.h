// cli/rpc_address.h
//
// The check of an address that a command is to connect to, before it tries.
//
// Threads: pure function.
#ifndef CONSUL_CLI_RPC_ADDRESS_H_
#define CONSUL_CLI_RPC_ADDRESS_H_

#include <string_view>

#include "absl/status/status.h"

namespace consul::cli {

// OK for HOST:PORT: a host's name, an IPv4 literal or an IPv6 literal in brackets (with its zone,
// if it has one), and a port of 1 to 65535. INVALID_ARGUMENT says what is wrong, without the
// address itself: "missing port in address". Looks nothing up.
absl::Status CheckRpcAddress(std::string_view address);

}  // namespace consul::cli

#endif  // CONSUL_CLI_RPC_ADDRESS_H_
