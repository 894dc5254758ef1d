// services/transport/wire.h
//
// The wire form of protobuf for messages that are no classes of protobuf's: their fields are put
// into a Sizer, which counts, and then into a Writer, which writes what was counted. How a message
// is put together is said once, as `template <class Out> void Put(Out* out, const T& message)`.
//
// Threads: pure values.
// Background: services/transport/README.md (The wire).
#ifndef CONSUL_SERVICES_TRANSPORT_WIRE_H_
#define CONSUL_SERVICES_TRANSPORT_WIRE_H_

#include <google/protobuf/io/coded_stream.h>
#include <grpc/slice.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "services/base/check.h"
#include "services/raft/core/types.h"

namespace consul::transport {

inline constexpr uint32_t VarintTag(uint32_t field) { return field << 3; }
inline constexpr uint32_t BytesTag(uint32_t field) { return field << 3 | 2; }

template <class T>
size_t SizeOf(const T& message);

// Counts the bytes of fields: those to be written, and those of payloads that are only referred to.
class Sizer {
 public:
  // Payloads of `shared_min` bytes and more are referred to.
  explicit Sizer(size_t shared_min = SIZE_MAX) : shared_min_(shared_min) {}

  // A zero is not written.
  void Number(uint32_t field, uint64_t value) {
    if (value == 0) return;
    written_ += VarintSize(VarintTag(field)) + VarintSize(value);
  }
  // An empty one is not written.
  void Text(uint32_t field, std::string_view text) {
    if (!text.empty()) Always(field, text.size(), /*shared=*/false);
  }
  // Written even where it is empty.
  void Payload(uint32_t field, const raft::Buffer& payload) {
    const size_t size = payload == nullptr ? 0 : payload->size();
    Always(field, size, size >= shared_min_);
  }
  template <class T>
  void Nested(uint32_t field, const T& message) {
    Sizer inner(shared_min_);
    Put(&inner, message);
    written_ += VarintSize(BytesTag(field)) + VarintSize(inner.total()) + inner.written_;
    shared_ += inner.shared_;
  }

  size_t written() const { return written_; }
  size_t total() const { return written_ + shared_; }

 private:
  static size_t VarintSize(uint64_t value) {
    return google::protobuf::io::CodedOutputStream::VarintSize64(value);
  }
  void Always(uint32_t field, size_t size, bool shared) {
    written_ += VarintSize(BytesTag(field)) + VarintSize(size);
    (shared ? shared_ : written_) += size;
  }

  const size_t shared_min_;
  size_t written_ = 0;
  size_t shared_ = 0;
};

template <class T>
size_t SizeOf(const T& message) {
  Sizer sizer;
  Put(&sizer, message);
  return sizer.total();
}

// Writes fields into one block, and large payloads beside it.
class Writer {
 public:
  // `bytes` is the Sizer's written() for the same `shared_min`.
  Writer(size_t bytes, size_t shared_min)
      : block_(grpc_slice_malloc(bytes)),
        shared_min_(shared_min),
        at_(GRPC_SLICE_START_PTR(block_)) {}
  ~Writer() { grpc_slice_unref(block_); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void Number(uint32_t field, uint64_t value) {
    if (value == 0) return;
    Varint(VarintTag(field));
    Varint(value);
  }
  void Text(uint32_t field, std::string_view text) {
    if (!text.empty()) Copy(field, text);
  }
  void Payload(uint32_t field, const raft::Buffer& payload) {
    if (payload == nullptr) return Copy(field, {});
    if (payload->size() < shared_min_) return Copy(field, *payload);
    Varint(BytesTag(field));
    Varint(payload->size());
    EndPiece();
    auto* const held = new raft::Buffer(payload);  // the slice's, which deletes it
    pieces_.emplace_back(const_cast<char*>(payload->data()), payload->size(),
                         [](void* buffer) { delete static_cast<raft::Buffer*>(buffer); }, held);
  }
  template <class T>
  void Nested(uint32_t field, const T& message) {
    Varint(BytesTag(field));
    Varint(SizeOf(message));
    Put(this, message);
  }

  // REQUIRES: as many bytes were written as were announced.
  grpc::ByteBuffer Finish() {
    EndPiece();
    CONSUL_CHECK(piece_begin_ == GRPC_SLICE_LENGTH(block_));
    return grpc::ByteBuffer(pieces_.data(), pieces_.size());
  }

 private:
  void Varint(uint64_t value) {
    at_ = google::protobuf::io::CodedOutputStream::WriteVarint64ToArray(value, at_);
  }
  void Copy(uint32_t field, std::string_view bytes) {
    Varint(BytesTag(field));
    Varint(bytes.size());
    if (!bytes.empty()) std::memcpy(at_, bytes.data(), bytes.size());
    at_ += bytes.size();
  }
  // What was written since the last piece is one.
  void EndPiece() {
    const size_t end = static_cast<size_t>(at_ - GRPC_SLICE_START_PTR(block_));
    if (end > piece_begin_) {
      pieces_.emplace_back(grpc_slice_sub(block_, piece_begin_, end), grpc::Slice::STEAL_REF);
    }
    piece_begin_ = end;
  }

  grpc_slice block_;
  const size_t shared_min_;
  uint8_t* at_;
  size_t piece_begin_ = 0;
  std::vector<grpc::Slice> pieces_;
};

// The whole message as one request.
template <class T>
grpc::ByteBuffer ToByteBuffer(const T& message, size_t shared_min) {
  Sizer sizer(shared_min);
  Put(&sizer, message);
  Writer writer(sizer.written(), shared_min);
  Put(&writer, message);
  return writer.Finish();
}

}  // namespace consul::transport

#endif  // CONSUL_SERVICES_TRANSPORT_WIRE_H_
