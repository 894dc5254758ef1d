// services/base/uuid.h
//
// UUIDs, which name nodes, clusters and sessions (RFC 4122).
//
// Threads: any.
#ifndef CONSUL_SERVICES_BASE_UUID_H_
#define CONSUL_SERVICES_BASE_UUID_H_

#include <string>
#include <string_view>

namespace consul::base {

// 36 characters: hexadecimal digits of either case, with dashes where a UUID has them.
bool IsUuid(std::string_view text);

// A random one (version 4), in lower case.
std::string MakeUuid();

}  // namespace consul::base

#endif  // CONSUL_SERVICES_BASE_UUID_H_
