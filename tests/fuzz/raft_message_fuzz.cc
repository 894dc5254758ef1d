// Goal: no bytes crash the decoder of what servers say to each other, and what it takes is what
// protobuf reads in them and encodes to the same messages again. Method: the input is a request, as
// one piece and in pieces as the first byte says; it is tried as a hello and as a batch.
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "consul/internal/raft/v1/transport.pb.h"
#include "services/transport/message_codec.h"

namespace consul::transport {
namespace {

namespace v1 = internal::raft::v1;

void Require(bool fact) {
  if (!fact) std::abort();
}

grpc::ByteBuffer InPieces(std::string_view bytes, size_t piece) {
  std::vector<grpc::Slice> slices;
  while (!bytes.empty()) {
    slices.emplace_back(std::string(bytes.substr(0, piece)));
    bytes.remove_prefix(slices.back().size());
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  grpc::ByteBuffer copy(buffer);
  grpc::Slice slice;
  Require(copy.DumpToSingleSlice(&slice).ok());
  return std::string(reinterpret_cast<const char*>(slice.begin()), slice.size());
}

void TryHello(const grpc::ByteBuffer& whole, const grpc::ByteBuffer& pieces,
              const std::string& bytes) {
  const auto hello = DecodeHello(whole);
  Require(DecodeHello(pieces).ok() == hello.ok());
  if (!hello.ok()) return;
  Require(!hello->from.empty() && !hello->to.empty());
  Require(DecodeHello(EncodeHello(*hello)).value() == *hello);
  v1::SendRequest request;
  Require(request.ParseFromString(bytes));
  Require(request.hello().from() == hello->from.value);
  Require(request.hello().cluster_id() == hello->cluster_id);
  Require(request.hello().state_version() == hello->state_version);
}

void TryBatch(const grpc::ByteBuffer& whole, const grpc::ByteBuffer& pieces,
              const std::string& bytes) {
  const raft::ServerId from{"a"};
  const raft::ServerId to{"b"};
  const auto batch = DecodeBatch(whole, from, to);
  const auto again = DecodeBatch(pieces, from, to);
  Require(again.ok() == batch.ok());
  if (!batch.ok()) return;
  Require(!batch->empty() && batch->size() <= kBatchMessagesMax);
  const std::string encoded = BytesOf(EncodeBatch(*batch));
  Require(BytesOf(EncodeBatch(*again)) == encoded);
  const auto decoded = DecodeBatch(InPieces(encoded, encoded.size()), from, to);
  Require(decoded.ok() && BytesOf(EncodeBatch(*decoded)) == encoded);
  v1::SendRequest theirs;
  v1::SendRequest ours;
  Require(theirs.ParseFromString(bytes) && ours.ParseFromString(encoded));
  Require(theirs.batch().messages_size() == ours.batch().messages_size());
  for (int i = 0; i < ours.batch().messages_size(); ++i) {
    Require(ours.batch().messages(i).body_case() == theirs.batch().messages(i).body_case());
    Require(ours.batch().messages(i).term() == theirs.batch().messages(i).term());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const grpc::ByteBuffer whole = InPieces(bytes, bytes.size());
  const grpc::ByteBuffer pieces = InPieces(bytes, 1 + data[0] % 64);
  TryHello(whole, pieces, bytes);
  TryBatch(whole, pieces, bytes);
  return 0;
}

}  // namespace consul::transport
