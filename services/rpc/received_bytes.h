// services/rpc/received_bytes.h
//
// Whether anything comes from somebody, below what gRPC tells of its connections: a message of
// many megabytes is one event to it, at its end.
//
// Threads: any.
#ifndef CONSUL_SERVICES_RPC_RECEIVED_BYTES_H_
#define CONSUL_SERVICES_RPC_RECEIVED_BYTES_H_

#include <cstdint>
#include <string_view>

namespace consul::rpc {

// Bytes that came on those of this process's TCP connections that lead to `address`, "IP:PORT" or
// "[IP]:PORT", and are open now; 0 for any other text. Looks at every open file of the process:
// for a rare doubt.
uint64_t BytesReceivedFrom(std::string_view address);

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_RECEIVED_BYTES_H_
