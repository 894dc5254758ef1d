// Goal: no error that a gRPC peer sends crashes who is told it, it stays an error that HTTP can
// tell, and every error of ours arrives as it was sent. The first byte is the code, the second the
// length of the text; behind the text are the details, as bytes.
#include <google/protobuf/stubs/logging.h>
#include <grpcpp/support/status.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "services/rpc/errors.h"
#include "services/rpc/grpc_status.h"

namespace {

namespace rpc = consul::rpc;
namespace errors = consul::errors;

constexpr int kCodesCount = 17;

void Require(bool fact) {
  if (!fact) std::abort();
}

// Or every input of bad UTF-8 is a line.
[[maybe_unused]] const auto kQuiet = google::protobuf::SetLogHandler(nullptr);

// Code, text and detail; what gRPC could say as well is marked on its way.
void RequireArrives(const absl::Status& status) {
  const absl::Status arrived = rpc::FromGrpc(rpc::ToGrpc(status));
  Require(arrived.code() == status.code() && arrived.message() == status.message());
  Require(rpc::Detail(arrived).SerializeAsString() == rpc::Detail(status).SerializeAsString());
  Require(status.ok() || absl::IsCancelled(status) || rpc::IsOfServer(arrived));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::string text(bytes.substr(0, data[1]));
  const std::string details(bytes.substr(text.size()));
  const grpc::Status wire(static_cast<grpc::StatusCode>(data[0] % kCodesCount), text, details);
  const absl::Status status = rpc::FromGrpc(wire);
  Require(status.ok() == wire.ok());
  const int http = rpc::HttpStatus(status);
  Require(status.ok() ? http == 200 : http >= 400 && http <= 599);
  rpc::Detail(status);
  RequireArrives(status);
  const auto reason = static_cast<errors::v1::Reason>(1 + data[0] % (errors::v1::Reason_MAX));
  const absl::Status ours = rpc::Error(reason, text, details);
  Require(rpc::Detail(ours).reason() == reason);
  RequireArrives(ours);
  return 0;
}
