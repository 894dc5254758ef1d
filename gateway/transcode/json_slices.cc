#include "gateway/transcode/json_slices.h"

#include <google/protobuf/message.h>

#include "gateway/transcode/json_value.h"

namespace consul::gateway {

using google::protobuf::Message;

JsonSlices::JsonSlices(const JsonType& type, const Message& message)
    : object_(&type), message_(&message) {}

JsonSlices::JsonSlices(const JsonField& field, const Message& message)
    : value_(&field), message_(&message) {}

void JsonSlices::WrapInList() {
  in_list_ = true;
  if (value_ != nullptr && IsEmpty(*value_, *message_)) value_ = nullptr;
}

bool JsonSlices::Append(size_t bytes, std::string* out) {
  if (!indent_) return AppendCompact(bytes, out);
  std::string compact;
  const bool complete = AppendCompact(bytes, &compact);
  indenter_.Append(compact, out);
  if (complete) out->push_back('\n');
  return complete;
}

bool JsonSlices::AppendCompact(size_t bytes, std::string* out) {
  const size_t enough = out->size() + bytes;
  if (!begun_) Begin(out);
  while (many_ != nullptr || object_ != nullptr) {
    if (out->size() >= enough) return false;
    if (many_ != nullptr) {
      AppendNextOfMany(out);
    } else {
      AppendNextMember(out);
    }
  }
  if (in_list_) out->push_back(']');
  return true;
}

void JsonSlices::Begin(std::string* out) {
  begun_ = true;
  if (in_list_) out->push_back('[');
  const JsonField* const value = value_;
  if (value != nullptr) {
    if (value->count != JsonCount::kOne && !IsEmpty(*value, *message_)) {
      BeginMany(*value, out);
    } else if (value->count == JsonCount::kOne && value->shape == JsonShape::kMessage &&
               !IsEmpty(*value, *message_)) {
      object_ = value->type;
      message_ = &value->reflection->GetMessage(*message_, value->field);
    } else {
      AppendJson(*value, *message_, out);
    }
  }
  if (object_ != nullptr) out->push_back('{');
}

void JsonSlices::AppendNextMember(std::string* out) {
  if (next_member_ == object_->fields.size()) {
    out->push_back('}');
    object_ = nullptr;
    return;
  }
  const JsonField& field = object_->fields[next_member_++];
  // To ask costs as much as to read: only where it matters.
  const bool many = field.count != JsonCount::kOne;
  const bool empty = (field.omit_empty || many) && IsEmpty(field, *message_);
  if (field.omit_empty && empty) return;
  if (!first_member_) out->push_back(',');
  first_member_ = false;
  out->append(field.name);
  if (many && !empty) {
    BeginMany(field, out);
  } else {
    AppendJsonMember(field, *message_, out);
  }
}

void JsonSlices::BeginMany(const JsonField& field, std::string* out) {
  many_ = &field;
  next_ = 0;
  size_ = field.reflection->FieldSize(*message_, field.field);
  const bool map = field.count == JsonCount::kMap;
  if (map) order_ = EntryOrder(field, *message_);
  out->push_back(map ? '{' : '[');
}

void JsonSlices::AppendNextOfMany(std::string* out) {
  const JsonField& field = *many_;
  if (next_ > 0) out->push_back(',');
  if (field.count == JsonCount::kMap) {
    const int at = order_.empty() ? next_ : order_[static_cast<size_t>(next_)];
    AppendJsonEntry(field, field.reflection->GetRepeatedMessage(*message_, field.field, at), out);
  } else {
    AppendJsonElement(field, *message_, next_, out);
  }
  if (++next_ < size_) return;
  out->push_back(field.count == JsonCount::kMap ? '}' : ']');
  many_ = nullptr;
}

}  // namespace consul::gateway
