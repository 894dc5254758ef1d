#include "services/rpc/errors.h"

#include <optional>
#include <string>

#include "absl/strings/cord.h"
#include "services/base/strings.h"
#include "services/base/utf8.h"

namespace consul::rpc {
namespace {

using errors::v1::Reason;

struct Row {
  absl::StatusCode code;
  int http;
};

// Statuses as the reference's where it has the case, or as docs/DIVERGENCE.md says.
Row RowOf(Reason reason) {
  switch (reason) {
    case errors::v1::REASON_NO_LEADER:
      return {absl::StatusCode::kUnavailable, 500};
    case errors::v1::REASON_NO_SERVERS:
      return {absl::StatusCode::kUnavailable, 500};
    case errors::v1::REASON_NO_PATH_TO_DATACENTER:
      return {absl::StatusCode::kNotFound, 500};
    case errors::v1::REASON_INVALID_FIELD:
    case errors::v1::REASON_MISSING_FIELD:
    case errors::v1::REASON_CONFLICTING_FIELDS:
      return {absl::StatusCode::kInvalidArgument, 400};
    case errors::v1::REASON_TOO_LARGE:
      return {absl::StatusCode::kInvalidArgument, 413};
    case errors::v1::REASON_UNSUPPORTED:
      return {absl::StatusCode::kUnimplemented, 501};
    case errors::v1::REASON_OVERLOADED:
      return {absl::StatusCode::kResourceExhausted, 429};
    case errors::v1::REASON_DISK_FULL:
      return {absl::StatusCode::kResourceExhausted, 500};
    case errors::v1::REASON_OUTCOME_UNKNOWN:
      return {absl::StatusCode::kUnknown, 500};
    case errors::v1::REASON_NODE_NAME_RESERVED:
      return {absl::StatusCode::kAlreadyExists, 500};
    case errors::v1::REASON_NODE_LEFT:
    case errors::v1::REASON_CLUSTER_TOO_OLD:
      return {absl::StatusCode::kFailedPrecondition, 500};
    case errors::v1::REASON_SHUTTING_DOWN:
      return {absl::StatusCode::kUnavailable, 500};
    case errors::v1::REASON_NOT_FOUND:
      return {absl::StatusCode::kNotFound, 500};
    case errors::v1::REASON_JOIN_FAILED:
      return {absl::StatusCode::kUnavailable, 500};
    case errors::v1::REASON_MEMBERS_FAILED:
      return {absl::StatusCode::kAborted, 500};
    case errors::v1::REASON_UNSPECIFIED:
    case errors::v1::Reason_INT_MIN_SENTINEL_DO_NOT_USE_:
    case errors::v1::Reason_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return {absl::StatusCode::kUnknown, 500};
}

int HttpOfCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    default:
      return 500;
  }
}

}  // namespace

absl::Status Error(Reason reason, std::string_view text, std::string_view subject) {
  absl::Status status(RowOf(reason).code, base::ToAbsl(text));
  errors::v1::ErrorDetail detail;
  detail.set_reason(reason);
  // A text that is no UTF-8 would not parse, and take the reason with it.
  detail.set_subject(base::ToUtf8(subject));
  status.SetPayload(base::ToAbsl(kDetailUrl), absl::Cord(detail.SerializeAsString()));
  return status;
}

errors::v1::ErrorDetail Detail(const absl::Status& status) {
  errors::v1::ErrorDetail detail;
  const absl::optional<absl::Cord> payload = status.GetPayload(base::ToAbsl(kDetailUrl));
  if (!payload.has_value() || !detail.ParseFromString(std::string(*payload))) detail.Clear();
  return detail;
}

int HttpStatus(const absl::Status& status) {
  if (status.ok()) return 200;
  // A newer server may send a reason that is not known here.
  const Reason reason = Detail(status).reason();
  const bool known = reason != errors::v1::REASON_UNSPECIFIED && errors::v1::Reason_IsValid(reason);
  return known ? RowOf(reason).http : HttpOfCode(status.code());
}

}  // namespace consul::rpc
