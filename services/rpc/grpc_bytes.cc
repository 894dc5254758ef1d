#include "services/rpc/grpc_bytes.h"

#include <google/protobuf/message.h>
#include <grpc/slice.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/slice.h>

#include <climits>

namespace consul::rpc {

bool Decode(const grpc::ByteBuffer& bytes, google::protobuf::Message* message) {
  grpc::Slice slice;
  if (bytes.TrySingleSlice(&slice).ok()) {
    return slice.size() <= INT_MAX &&
           message->ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
  }
  grpc::ByteBuffer copy(bytes);  // of the references, for the reader wants to change them
  grpc::ProtoBufferReader reader(&copy);
  return reader.status().ok() && message->ParseFromZeroCopyStream(&reader);
}

bool Encode(const google::protobuf::Message& message, size_t bytes_max, grpc::ByteBuffer* bytes,
            size_t* size) {
  *size = message.ByteSizeLong();
  if (*size > bytes_max || *size > INT_MAX) return false;
  grpc_slice raw = grpc_slice_malloc(*size);
  message.SerializeWithCachedSizesToArray(GRPC_SLICE_START_PTR(raw));
  const grpc::Slice slice(raw, grpc::Slice::STEAL_REF);
  grpc::ByteBuffer made(&slice, 1);
  bytes->Swap(&made);
  return true;
}

}  // namespace consul::rpc
