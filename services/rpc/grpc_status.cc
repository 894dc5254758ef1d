#include "services/rpc/grpc_status.h"

#include <grpcpp/support/status.h>

#include <string>

#include "absl/strings/cord.h"
#include "consul/errors/v1/errors.pb.h"
#include "services/base/strings.h"
#include "services/base/utf8.h"
#include "services/rpc/errors.h"

namespace consul::rpc {
namespace {

// What gRPC itself says of connections and of servers that do not answer, so that a server's own
// word needs a mark. Calls that a stop has cancelled are to be asked elsewhere and have none.
bool IsAlsoOfConnections(absl::StatusCode code) {
  return code == absl::StatusCode::kUnavailable || code == absl::StatusCode::kUnknown ||
         code == absl::StatusCode::kDeadlineExceeded;
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status();
  const auto code = static_cast<grpc::StatusCode>(status.code());
  const std::string message(base::ToStd(status.message()));
  const absl::optional<absl::Cord> payload = status.GetPayload(base::ToAbsl(kDetailUrl));
  if (!payload.has_value() && !IsAlsoOfConnections(status.code())) {
    return grpc::Status(code, message);
  }
  errors::v1::RpcStatus wire;
  wire.set_code(static_cast<int>(code));
  // A text that is no UTF-8 would not parse, and take the details with it.
  wire.set_message(base::ToUtf8(message));
  google::protobuf::Any* const detail = wire.add_details();
  detail->set_type_url(std::string(kDetailUrl));
  if (payload.has_value()) detail->set_value(std::string(*payload));
  return grpc::Status(code, message, wire.SerializeAsString());
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  errors::v1::RpcStatus wire;
  if (!wire.ParseFromString(status.error_details())) return result;
  for (const google::protobuf::Any& detail : wire.details()) {
    if (detail.type_url() != kDetailUrl) continue;
    result.SetPayload(base::ToAbsl(kDetailUrl), absl::Cord(detail.value()));
  }
  return result;
}

bool IsOfServer(const absl::Status& status) {
  if (status.GetPayload(base::ToAbsl(kDetailUrl)).has_value()) return true;
  return !IsAlsoOfConnections(status.code()) && !absl::IsCancelled(status);
}

}  // namespace consul::rpc
