// gateway/dns/query_text.h
//
// Queries written in words, for text tests and for clients in tests:
//
//   Web.node.consul A edns=1232 do version=1 norec cd class=CH opcode=5
//
// Threads: pure functions.
#ifndef CONSUL_GATEWAY_DNS_QUERY_TEXT_H_
#define CONSUL_GATEWAY_DNS_QUERY_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/dns/wire.h"

namespace consul::gateway::dns {

// The type of a name like "AAAA" or "TYPE65".
std::optional<Type> TypeFromText(std::string_view text);

// The query's bytes; RD is set unless the words say norec. Nothing for words that are not known.
std::optional<std::vector<uint8_t>> QueryFromWords(const std::vector<std::string>& words,
                                                   uint16_t id);

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_QUERY_TEXT_H_
