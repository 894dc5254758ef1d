// gateway/dns/dump.h
//
// A message as text, one line a part, for tests, fuzzing and logs:
//
//   id 7 QUERY NOERROR qr aa rd
//   question a.node.consul. IN A
//   answer a.node.consul. 0 IN A 10.0.0.1
//   edns version 0 udp 1232 flags do
//
// It decodes every record type that encoder.h writes; others are shown as \# LENGTH HEX (RFC 3597).
//
// Threads: pure functions.
#ifndef CONSUL_GATEWAY_DNS_DUMP_H_
#define CONSUL_GATEWAY_DNS_DUMP_H_

#include <cstdint>
#include <span>
#include <string>

#include "gateway/dns/wire.h"

namespace consul::gateway::dns {

// "A", "AAAA", ... or "TYPE65" (RFC 3597 5).
std::string TypeText(Type type);

// "NOERROR", "NXDOMAIN", ... or "RCODE11".
std::string RcodeText(uint16_t rcode);

// All of `message`; where it is malformed the text ends with a line "malformed WHAT at OFFSET", and
// bytes behind the last record give "trailing N bytes".
std::string Dump(std::span<const uint8_t> message);

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_DUMP_H_
