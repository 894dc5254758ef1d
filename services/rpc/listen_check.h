// services/rpc/listen_check.h
//
// Why a listener cannot have an address. gRPC only says that it failed; an agent has to tell a
// second agent on the machine from a wrong address.
//
// Threads: any.
#ifndef CONSUL_SERVICES_RPC_LISTEN_CHECK_H_
#define CONSUL_SERVICES_RPC_LISTEN_CHECK_H_

#include <string_view>

#include "absl/status/status.h"

namespace consul::rpc {

// Binds "127.0.0.1:8400" or "[::1]:8400" for a moment. ALREADY_EXISTS: taken, "listen tcp
// 127.0.0.1:8400: address already in use". INVALID_ARGUMENT: not an IP address and port.
// UNAVAILABLE: the system's reason. OK also for "unix:" addresses, which are not looked at.
absl::Status CheckListen(std::string_view address);

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_LISTEN_CHECK_H_
