// Goal: no bytes crash the decoding of a gRPC request, whatever its method, and where gRPC cuts the
// bytes into slices does not change what is understood. What was taken goes out as a reply again.
// What is read from the bytes alone, for a request that is passed on, is what parsing them gives.
#include <google/protobuf/arena.h>
#include <google/protobuf/message.h>
#include <google/protobuf/stubs/logging.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "services/rpc/grpc_bytes.h"
#include "services/rpc/method.h"

namespace {

using google::protobuf::Arena;
using google::protobuf::Message;

constexpr size_t kReplyBytesMax = 1 << 20;

void Require(bool fact) {
  if (!fact) std::abort();
}

// Or every input of bad UTF-8 is a line.
[[maybe_unused]] const auto kQuiet = google::protobuf::SetLogHandler(nullptr);

grpc::ByteBuffer Sliced(std::string_view bytes, size_t step) {
  std::vector<grpc::Slice> slices;
  do {
    slices.emplace_back(std::string(bytes.substr(0, step)));
    bytes.remove_prefix(std::min(step, bytes.size()));
  } while (!bytes.empty());
  return grpc::ByteBuffer(slices.data(), slices.size());
}

const Message& OptionsIn(const Message& request, const consul::rpc::Method& method) {
  return request.GetReflection()->GetMessage(request, method.options_field);
}

// A wait that is set on the bytes is the wait, and nothing else is different.
void CheckWait(const consul::rpc::Method& method, std::string_view bytes, const Message& request) {
  const grpc::ByteBuffer changed =
      consul::rpc::WithWait(Sliced(bytes, bytes.size() + 1), std::chrono::milliseconds(1001));
  Arena arena;
  Message* const decoded = request.New(&arena);
  Require(consul::rpc::Decode(changed, decoded));
  Message* const expected = request.New(&arena);
  expected->CopyFrom(request);
  auto* const wait = static_cast<consul::query::v1::QueryOptions*>(
      expected->GetReflection()->MutableMessage(expected, method.options_field))->mutable_wait();
  wait->set_seconds(1);
  wait->set_nanos(1'000'000);
  Require(decoded->SerializeAsString() == expected->SerializeAsString());
}

}  // namespace

// The first byte is the method, the second the length of slices.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const auto& methods = consul::rpc::PublicApi().methods();
  const consul::rpc::Method& method = methods[data[0] % methods.size()];
  const Message* const prototype = method.request_prototype;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  Arena arena;
  Message* const whole = prototype->New(&arena);
  Message* const pieces = prototype->New(&arena);
  const bool taken = consul::rpc::Decode(Sliced(bytes, bytes.size() + 1), whole);
  Require(consul::rpc::Decode(Sliced(bytes, 1 + data[1] % 16), pieces) == taken);
  const std::string options =
      consul::rpc::OptionsOf(method, Sliced(bytes, 1 + data[1] % 16)).SerializeAsString();
  if (!taken) return 0;
  if (method.options_field != nullptr) {
    Require(options == OptionsIn(*whole, method).SerializeAsString());
    CheckWait(method, bytes, *whole);
  }
  Require(whole->SerializeAsString() == pieces->SerializeAsString());
  grpc::ByteBuffer reply;
  size_t reply_bytes = 0;
  Require(consul::rpc::Encode(*whole, kReplyBytesMax, &reply, &reply_bytes));
  Require(reply.Length() == reply_bytes);
  Message* const again = prototype->New(&arena);
  Require(consul::rpc::Decode(reply, again));
  Require(again->SerializeAsString() == whole->SerializeAsString());
  return 0;
}
