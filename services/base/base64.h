// services/base/base64.h
//
// Base64 with the standard alphabet and padding (RFC 4648, section 4): values in JSON and on the
// command line, and gossip keys.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_BASE_BASE64_H_
#define CONSUL_SERVICES_BASE_BASE64_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace consul::base {

void AppendBase64(std::string_view bytes, std::string* out);
std::string EncodeBase64(std::string_view bytes);

// Line ends are passed over. INVALID_ARGUMENT "illegal base64 data at input byte N" with the first
// byte that cannot stand where it does; padding is required.
absl::StatusOr<std::string> DecodeBase64(std::string_view text);

}  // namespace consul::base

#endif  // CONSUL_SERVICES_BASE_BASE64_H_
