// services/rpc/errors.h
//
// Errors with a reason, and the one table that says which canonical code and which HTTP status go
// with each reason.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_RPC_ERRORS_H_
#define CONSUL_SERVICES_RPC_ERRORS_H_

#include <string_view>

#include "absl/status/status.h"
#include "consul/errors/v1/errors.pb.h"

namespace consul::rpc {

// A status with the reason's canonical code, `text` as its message, and an ErrorDetail payload.
// `subject` is the field, key, address or file that the reason is about.
absl::Status Error(errors::v1::Reason reason, std::string_view text,
                   std::string_view subject = {});

// The detail of a status; REASON_UNSPECIFIED where it has none.
errors::v1::ErrorDetail Detail(const absl::Status& status);

// The HTTP status code of an error: by its reason, else by its canonical code.
int HttpStatus(const absl::Status& status);

// The payload's type URL, and the form in which a status travels in gRPC's binary details.
inline constexpr std::string_view kDetailUrl = "type.googleapis.com/consul.errors.v1.ErrorDetail";

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_ERRORS_H_
