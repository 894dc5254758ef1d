// gateway/dns/utf8.h
//
// Whether bytes off the wire are text. Lookups carry names as protobuf strings, which must be
// UTF-8; a label may be any bytes.
//
// Threads: pure function.
#ifndef CONSUL_GATEWAY_DNS_UTF8_H_
#define CONSUL_GATEWAY_DNS_UTF8_H_

#include <string_view>

namespace consul::gateway::dns {

// True when `text` is well-formed UTF-8: no overlong forms, surrogates or values over U+10FFFF.
bool IsUtf8(std::string_view text);

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_UTF8_H_
