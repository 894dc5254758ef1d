// services/rpc/wire_slices.h
//
// The wire form of a reply in slices, so that a large one keeps its thread from others for a slice
// at a time only. What is large in the API are lists, the repeated fields of the reply itself:
// encoding can stop between two of their elements; an element, and all else, is encoded at once.
// Lists come after the other fields, in the order of their numbers.
//
// Threads: one at a time.
#ifndef CONSUL_SERVICES_RPC_WIRE_SLICES_H_
#define CONSUL_SERVICES_RPC_WIRE_SLICES_H_

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <memory>
#include <vector>

namespace consul::rpc {

class WireSlices {
 public:
  // `message` and what it refers to outlive the slices and do not change.
  explicit WireSlices(const google::protobuf::Message& message);

  // Encodes what comes next: `bytes` or more while there are so many, one element more at most.
  // Returns true once all is encoded.
  bool Add(size_t bytes);

  // Of what is encoded.
  size_t size() const { return size_; }
  // Elements of all lists of `message`.
  static size_t CountElements(const google::protobuf::Message& message);

  // REQUIRES: all is encoded. Leaves nothing.
  grpc::ByteBuffer Take();

 private:
  void AddRest();

  const google::protobuf::Message& message_;
  std::vector<const google::protobuf::FieldDescriptor*> lists_;  // not encoded yet, last first
  int next_ = 0;                                                 // of lists_.back()
  bool begun_ = false;
  size_t size_ = 0;
  std::vector<grpc::Slice> slices_;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_WIRE_SLICES_H_
