#include "services/rpc/grpc_bytes.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpc/slice.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/slice.h>

#include <climits>
#include <cstdint>
#include <string>
#include <vector>

namespace consul::rpc {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;
using query::v1::QueryOptions;

constexpr int kLengthDelimited = 2;  // a wire type of protobuf's
constexpr uint32_t Tag(int field, int wire_type) {
  return static_cast<uint32_t>(field << 3 | wire_type);
}

void AddMessage(int field, const std::string& bytes, std::string* out) {
  google::protobuf::io::StringOutputStream stream(out);
  CodedOutputStream coded(&stream);
  coded.WriteTag(Tag(field, kLengthDelimited));
  coded.WriteVarint32(static_cast<uint32_t>(bytes.size()));
  coded.WriteString(bytes);
}

// A Duration that overrides another one when both are parsed into one: zeros are written too.
std::string WholeDuration(std::chrono::milliseconds duration) {
  using google::protobuf::Duration;
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  CodedOutputStream coded(&stream);
  coded.WriteTag(Tag(Duration::kSecondsFieldNumber, 0));
  coded.WriteVarint64(static_cast<uint64_t>(duration.count() / 1000));
  coded.WriteTag(Tag(Duration::kNanosFieldNumber, 0));
  coded.WriteVarint64(static_cast<uint64_t>(duration.count() % 1000 * 1'000'000));
  coded.Trim();
  return bytes;
}

// Reads the message that is one field of `bytes`, skipping the others. Absent, it stays empty.
bool DecodeField(const grpc::ByteBuffer& bytes, const google::protobuf::FieldDescriptor* field,
                 google::protobuf::MessageLite* message) {
  if (field == nullptr || bytes.Length() == 0) return true;
  grpc::ByteBuffer copy(bytes);  // of the references, for the reader wants to change them
  grpc::ProtoBufferReader reader(&copy);
  CodedInputStream in(&reader);
  const uint32_t wanted = Tag(field->number(), kLengthDelimited);
  while (const uint32_t tag = in.ReadTag()) {
    if (tag != wanted) {
      if (!WireFormatLite::SkipField(&in, tag)) return false;
      continue;
    }
    uint32_t size = 0;
    if (!in.ReadVarint32(&size) || size > bytes.Length()) return false;
    const auto limit = in.PushLimit(static_cast<int>(size));
    if (!message->MergeFromCodedStream(&in) || !in.ConsumedEntireMessage()) return false;
    in.PopLimit(limit);
  }
  return true;
}

}  // namespace

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

QueryOptions OptionsOf(const Method& method, const grpc::ByteBuffer& request) {
  QueryOptions options;
  if (!DecodeField(request, method.options_field, &options)) options.Clear();
  return options;
}

uint64_t IndexOf(const Method& method, const grpc::ByteBuffer& reply) {
  query::v1::QueryMeta meta;
  return DecodeField(reply, method.meta_field, &meta) ? meta.index() : 0;
}

grpc::ByteBuffer WithWait(const grpc::ByteBuffer& request, std::chrono::milliseconds wait) {
  // A message that comes twice is merged, the later fields over the earlier ones: so the bytes are
  // left as they are, and the wait follows them.
  std::string options;
  AddMessage(QueryOptions::kWaitFieldNumber, WholeDuration(wait), &options);
  std::string added;
  AddMessage(1, options, &added);
  std::vector<grpc::Slice> slices;
  grpc::ByteBuffer copy(request);
  if (!copy.Dump(&slices).ok()) slices.clear();
  slices.emplace_back(added);
  return grpc::ByteBuffer(slices.data(), slices.size());
}

}  // namespace consul::rpc
