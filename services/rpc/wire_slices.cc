#include "services/rpc/wire_slices.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/util/field_mask_util.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpc/slice.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "services/base/check.h"

namespace consul::rpc {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::FieldMask;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;
using google::protobuf::util::FieldMaskUtil;

bool IsList(const FieldDescriptor& field) {
  return field.is_repeated() && !field.is_map() &&
         (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE ||
          field.cpp_type() == FieldDescriptor::CPPTYPE_STRING);
}

uint32_t TagOf(const FieldDescriptor& field) {
  return static_cast<uint32_t>(field.number()) << 3 | WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
}

// One list of a message, element by element.
class Elements {
 public:
  Elements(const Message& message, const FieldDescriptor* field)
      : message_(message),
        reflection_(*message.GetReflection()),
        field_(field),
        of_messages_(field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE),
        tag_(TagOf(*field)) {}

  int count() const { return reflection_.FieldSize(message_, field_); }

  // With its tag and its length.
  size_t SizeOf(int i) {
    const size_t size = of_messages_ ? Element(i).ByteSizeLong() : Text(i).size();
    return CodedOutputStream::VarintSize32(tag_) +
           CodedOutputStream::VarintSize64(size) + size;
  }

  // REQUIRES: SizeOf(i) was asked for before.
  uint8_t* Write(int i, uint8_t* to) {
    to = CodedOutputStream::WriteVarint32ToArray(tag_, to);
    if (!of_messages_) {
      const std::string& text = Text(i);
      to = CodedOutputStream::WriteVarint64ToArray(text.size(), to);
      return CodedOutputStream::WriteRawToArray(text.data(), static_cast<int>(text.size()), to);
    }
    const Message& element = Element(i);
    const int size = element.GetCachedSize();
    to = CodedOutputStream::WriteVarint64ToArray(static_cast<uint64_t>(size), to);
    return element.SerializeWithCachedSizesToArray(to);
  }

 private:
  const Message& Element(int i) const {
    return reflection_.GetRepeatedMessage(message_, field_, i);
  }
  const std::string& Text(int i) {
    return reflection_.GetRepeatedStringReference(message_, field_, i, &scratch_);
  }

  const Message& message_;
  const Reflection& reflection_;
  const FieldDescriptor* const field_;
  const bool of_messages_;
  const uint32_t tag_;
  std::string scratch_;
};

}  // namespace

WireSlices::WireSlices(const Message& message) : message_(message) {
  message.GetReflection()->ListFields(message, &lists_);
  std::erase_if(lists_, [](const FieldDescriptor* field) { return !IsList(*field); });
  std::reverse(lists_.begin(), lists_.end());
}

size_t WireSlices::CountElements(const Message& message) {
  const auto* const type = message.GetDescriptor();
  size_t count = 0;
  for (int i = 0; i < type->field_count(); ++i) {
    if (!IsList(*type->field(i))) continue;
    count += static_cast<size_t>(message.GetReflection()->FieldSize(message, type->field(i)));
  }
  return count;
}

// All that is no list.
void WireSlices::AddRest() {
  std::vector<const FieldDescriptor*> fields;
  message_.GetReflection()->ListFields(message_, &fields);
  FieldMask mask;
  for (const FieldDescriptor* const field : fields) {
    if (!IsList(*field)) mask.add_paths(field->name());
  }
  if (mask.paths().empty()) return;
  const std::unique_ptr<Message> rest(message_.New());
  FieldMaskUtil::MergeMessageTo(message_, mask, FieldMaskUtil::MergeOptions(), rest.get());
  slices_.emplace_back(rest->SerializeAsString());
  size_ += slices_.back().size();
}

bool WireSlices::Add(size_t bytes) {
  if (!std::exchange(begun_, true)) AddRest();
  if (lists_.empty()) return true;
  Elements elements(message_, lists_.back());
  const int begin = next_;
  size_t size = 0;
  while (next_ < elements.count() && size < bytes) size += elements.SizeOf(next_++);
  grpc_slice raw = grpc_slice_malloc(size);
  uint8_t* to = GRPC_SLICE_START_PTR(raw);
  for (int i = begin; i < next_; ++i) to = elements.Write(i, to);
  CONSUL_CHECK(to == GRPC_SLICE_END_PTR(raw));
  slices_.emplace_back(raw, grpc::Slice::STEAL_REF);
  size_ += size;
  if (next_ == elements.count()) {
    lists_.pop_back();
    next_ = 0;
  }
  return lists_.empty();
}

grpc::ByteBuffer WireSlices::Take() {
  CONSUL_CHECK(begun_ && lists_.empty());
  grpc::ByteBuffer bytes(slices_.data(), slices_.size());
  slices_.clear();
  return bytes;
}

}  // namespace consul::rpc
