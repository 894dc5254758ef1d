// gateway/dns/client.h
//
// Who asked, as far as a late response needs it: a TCP connection by number, or a UDP peer with the
// socket and the local address that it asked.
//
// Threads: value type.
#ifndef CONSUL_GATEWAY_DNS_CLIENT_H_
#define CONSUL_GATEWAY_DNS_CLIENT_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

#include "gateway/dns/wire.h"

namespace consul::gateway::dns {

// Room for the control message with the local address, of either family.
inline constexpr size_t kPacketInfoBytes = CMSG_SPACE(sizeof(in6_pktinfo));
static_assert(sizeof(in6_pktinfo) >= sizeof(in_pktinfo));

struct Client {
  Transport transport = Transport::kUdp;
  // Number of the TCP connection, or index of the UDP socket.
  uint64_t number = 0;
  // UDP: the peer and, on a wildcard socket, the control message of the reply.
  sockaddr_in6 peer;
  socklen_t peer_bytes = 0;
  size_t control_bytes = 0;
  alignas(cmsghdr) uint8_t control[kPacketInfoBytes];
};

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_CLIENT_H_
