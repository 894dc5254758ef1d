#include "services/rpc/grpc_status.h"

#include <google/protobuf/message.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/slice.h>

#include <string>

#include "absl/strings/cord.h"
#include "consul/errors/v1/errors.pb.h"
#include "services/rpc/errors.h"

namespace consul::rpc {

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const auto code = static_cast<grpc::StatusCode>(status.code());
  const std::string text(status.message());
  const errors::v1::ErrorDetail detail = Detail(status);
  if (detail.reason() == errors::v1::REASON_UNSPECIFIED) return grpc::Status(code, text);
  errors::v1::RpcStatus whole;
  whole.set_code(static_cast<int>(status.code()));
  whole.set_message(text);
  whole.add_details()->PackFrom(detail);
  return grpc::Status(code, text, whole.SerializeAsString());
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status made(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  errors::v1::RpcStatus whole;
  if (status.error_details().empty() || !whole.ParseFromString(status.error_details())) {
    return made;
  }
  for (const google::protobuf::Any& any : whole.details()) {
    if (any.Is<errors::v1::ErrorDetail>()) {
      made.SetPayload(any.type_url(), absl::Cord(any.value()));
    }
  }
  return made;
}

bool Decode(const grpc::ByteBuffer& buffer, google::protobuf::Message* message) {
  grpc::Slice slice;
  if (buffer.TrySingleSlice(&slice).ok()) {
    return message->ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
  }
  grpc::ByteBuffer copy(buffer);
  grpc::ProtoBufferReader reader(&copy);
  return reader.status().ok() && message->ParseFromZeroCopyStream(&reader);
}

grpc::ByteBuffer Encode(const google::protobuf::Message& message) {
  const size_t size = message.ByteSizeLong();
  grpc::Slice slice(size);
  message.SerializeWithCachedSizesToArray(const_cast<uint8_t*>(slice.begin()));
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace consul::rpc
