#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "gateway/transcode/json_plan.h"
#include "gateway/transcode/json_text.h"
#include "gateway/transcode/json_value.h"
#include "services/base/duration.h"

namespace consul::gateway {
namespace {

using google::protobuf::Message;

void AppendValue(const google::protobuf::Value& value, std::string* out);

void AppendStruct(const google::protobuf::Struct& message, std::string* out) {
  std::vector<std::string_view> keys;
  for (const auto& [key, value] : message.fields()) keys.push_back(key);
  std::sort(keys.begin(), keys.end());
  out->push_back('{');
  for (size_t i = 0; i < keys.size(); ++i) {
    if (i > 0) out->push_back(',');
    AppendJsonString(keys[i], out);
    out->push_back(':');
    AppendValue(message.fields().at(std::string(keys[i])), out);
  }
  out->push_back('}');
}

void AppendValue(const google::protobuf::Value& value, std::string* out) {
  switch (value.kind_case()) {
    case google::protobuf::Value::kNumberValue:
      AppendJsonDouble(value.number_value(), out);
      return;
    case google::protobuf::Value::kStringValue:
      AppendJsonString(value.string_value(), out);
      return;
    case google::protobuf::Value::kBoolValue:
      out->append(value.bool_value() ? "true" : "false");
      return;
    case google::protobuf::Value::kStructValue:
      AppendStruct(value.struct_value(), out);
      return;
    case google::protobuf::Value::kListValue: {
      out->push_back('[');
      bool first = true;
      for (const google::protobuf::Value& element : value.list_value().values()) {
        if (!first) out->push_back(',');
        first = false;
        AppendValue(element, out);
      }
      out->push_back(']');
      return;
    }
    case google::protobuf::Value::kNullValue:
    case google::protobuf::Value::KIND_NOT_SET:
      out->append("null");
      return;
  }
}

std::chrono::nanoseconds Nanoseconds(const Message& message) {
  const auto& duration = static_cast<const google::protobuf::Duration&>(message);
  return std::chrono::seconds(duration.seconds()) + std::chrono::nanoseconds(duration.nanos());
}

// As Go writes a time in UTC: RFC 3339, with as many digits of a second as there are. An absent one
// is Go's zero time.
void AppendTimestamp(const google::protobuf::Timestamp& time, std::string* out) {
  if (time.seconds() == 0 && time.nanos() == 0) {
    out->append("\"0001-01-01T00:00:00Z\"");
    return;
  }
  const absl::Time at =
      absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
  out->push_back('"');
  out->append(absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", at, absl::UTCTimeZone()));
  out->push_back('"');
}

void AppendMessageValue(const JsonField& field, const Message& message, std::string* out) {
  switch (field.shape) {
    case JsonShape::kDurationText:
      AppendJsonString(base::FormatDuration(Nanoseconds(message)), out);
      return;
    case JsonShape::kDurationNumber:
      AppendJsonInt(Nanoseconds(message).count(), out);
      return;
    case JsonShape::kTimestamp:
      AppendTimestamp(static_cast<const google::protobuf::Timestamp&>(message), out);
      return;
    case JsonShape::kStruct:
      AppendStruct(static_cast<const google::protobuf::Struct&>(message), out);
      return;
    default:
      AppendJson(*field.type, message, out);
  }
}

void AppendText(const JsonField& field, std::string_view text, std::string* out) {
  if (field.shape == JsonShape::kBase64) {
    AppendJsonBase64(text, out);
  } else {
    AppendJsonString(text, out);
  }
}

void AppendEnum(const JsonField& field, const google::protobuf::EnumValueDescriptor* value,
                std::string* out) {
  const int index = value->index();
  // A number that this version does not know has no place among the texts.
  if (index < 0 || static_cast<size_t>(index) >= field.enum_texts.size()) {
    AppendJsonString("", out);
  } else {
    AppendJsonString(field.enum_texts[static_cast<size_t>(index)], out);
  }
}

void AppendOne(const JsonField& field, const Message& message, std::string* out) {
  const auto& read = *field.reflection;
  switch (field.shape) {
    case JsonShape::kBool:
      out->append(read.GetBool(message, field.field) ? "true" : "false");
      return;
    case JsonShape::kInt32:
      AppendJsonInt(read.GetInt32(message, field.field), out);
      return;
    case JsonShape::kInt64:
      AppendJsonInt(read.GetInt64(message, field.field), out);
      return;
    case JsonShape::kUint32:
      AppendJsonUint(read.GetUInt32(message, field.field), out);
      return;
    case JsonShape::kUint64:
      AppendJsonUint(read.GetUInt64(message, field.field), out);
      return;
    case JsonShape::kFloat:
      AppendJsonDouble(static_cast<double>(read.GetFloat(message, field.field)), out);
      return;
    case JsonShape::kDouble:
      AppendJsonDouble(read.GetDouble(message, field.field), out);
      return;
    case JsonShape::kEnumNumber:
      AppendJsonInt(read.GetEnumValue(message, field.field), out);
      return;
    case JsonShape::kEnumText:
      AppendEnum(field, read.GetEnum(message, field.field), out);
      return;
    case JsonShape::kString:
    case JsonShape::kBase64: {
      std::string scratch;
      AppendText(field, read.GetStringReference(message, field.field, &scratch), out);
      return;
    }
    case JsonShape::kMessage:
    case JsonShape::kDurationText:
    case JsonShape::kDurationNumber:
    case JsonShape::kTimestamp:
    case JsonShape::kStruct:
      AppendMessageValue(field, read.GetMessage(message, field.field), out);
      return;
  }
}

std::string_view KeyOf(const JsonField& map, const Message& entry, std::string* scratch) {
  return map.key->reflection->GetStringReference(entry, map.key->field, scratch);
}

bool IsMessage(const JsonField& field) {
  return field.field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE;
}

}  // namespace

void AppendJsonElement(const JsonField& field, const Message& message, int i, std::string* out) {
  const auto& read = *field.reflection;
  switch (field.shape) {
    case JsonShape::kBool:
      out->append(read.GetRepeatedBool(message, field.field, i) ? "true" : "false");
      return;
    case JsonShape::kInt32:
      AppendJsonInt(read.GetRepeatedInt32(message, field.field, i), out);
      return;
    case JsonShape::kInt64:
      AppendJsonInt(read.GetRepeatedInt64(message, field.field, i), out);
      return;
    case JsonShape::kUint32:
      AppendJsonUint(read.GetRepeatedUInt32(message, field.field, i), out);
      return;
    case JsonShape::kUint64:
      AppendJsonUint(read.GetRepeatedUInt64(message, field.field, i), out);
      return;
    case JsonShape::kFloat:
      AppendJsonDouble(static_cast<double>(read.GetRepeatedFloat(message, field.field, i)), out);
      return;
    case JsonShape::kDouble:
      AppendJsonDouble(read.GetRepeatedDouble(message, field.field, i), out);
      return;
    case JsonShape::kEnumNumber:
      AppendJsonInt(read.GetRepeatedEnumValue(message, field.field, i), out);
      return;
    case JsonShape::kEnumText:
      AppendEnum(field, read.GetRepeatedEnum(message, field.field, i), out);
      return;
    case JsonShape::kString:
    case JsonShape::kBase64: {
      std::string scratch;
      AppendText(field, read.GetRepeatedStringReference(message, field.field, i, &scratch), out);
      return;
    }
    case JsonShape::kMessage:
    case JsonShape::kDurationText:
    case JsonShape::kDurationNumber:
    case JsonShape::kTimestamp:
    case JsonShape::kStruct:
      AppendMessageValue(field, read.GetRepeatedMessage(message, field.field, i), out);
      return;
  }
}

void AppendJsonEntry(const JsonField& map, const Message& entry, std::string* out) {
  std::string scratch;
  AppendJsonString(KeyOf(map, entry, &scratch), out);
  out->push_back(':');
  const JsonField& value = *map.value;
  if (value.count == JsonCount::kOne) {
    AppendOne(value, entry, out);
  } else {
    AppendJson(value, entry, out);
  }
}

std::vector<int> EntryOrder(const JsonField& map, const Message& message) {
  const auto& read = *map.reflection;
  const int size = read.FieldSize(message, map.field);
  const auto key = [&](int i, std::string* scratch) {
    return KeyOf(map, read.GetRepeatedMessage(message, map.field, i), scratch);
  };
  std::vector<int> order;
  if (size > kOrderedEntriesMax) return order;
  bool sorted = true;
  std::string a;
  std::string b;
  for (int i = 1; i < size && sorted; ++i) sorted = key(i - 1, &a) <= key(i, &b);
  if (sorted) return order;
  order.resize(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int left, int right) { return key(left, &a) < key(right, &b); });
  return order;
}

namespace {

void AppendMap(const JsonField& field, const Message& message, int size, std::string* out) {
  const auto& read = *field.reflection;
  const std::vector<int> order = EntryOrder(field, message);
  out->push_back('{');
  for (int i = 0; i < size; ++i) {
    if (i > 0) out->push_back(',');
    const int at = order.empty() ? i : order[static_cast<size_t>(i)];
    AppendJsonEntry(field, read.GetRepeatedMessage(message, field.field, at), out);
  }
  out->push_back('}');
}

void AppendMany(const JsonField& field, const Message& message, std::string* out) {
  const int size = field.reflection->FieldSize(message, field.field);
  if (size == 0 && field.null_if_empty) {
    out->append("null");
    return;
  }
  if (field.count == JsonCount::kMap) {
    AppendMap(field, message, size, out);
    return;
  }
  out->push_back('[');
  for (int i = 0; i < size; ++i) {
    if (i > 0) out->push_back(',');
    AppendJsonElement(field, message, i, out);
  }
  out->push_back(']');
}

}  // namespace

void AppendJsonMember(const JsonField& field, const Message& message, std::string* out) {
  if (field.count != JsonCount::kOne) {
    AppendMany(field, message, out);
    return;
  }
  if (field.null_if_empty && IsEmpty(field, message)) {
    out->append("null");
    return;
  }
  if (!field.absent_json.empty() && IsMessage(field) &&
      !field.reflection->HasField(message, field.field)) {
    out->append(field.absent_json);
    return;
  }
  AppendOne(field, message, out);
}

bool IsEmpty(const JsonField& field, const Message& message) {
  const auto& read = *field.reflection;
  if (field.count != JsonCount::kOne) return read.FieldSize(message, field.field) == 0;
  // Without presence HasField is "differs from zero"; with presence a set zero is not empty here.
  return !read.HasField(message, field.field);
}

void AppendJson(const JsonType& type, const Message& message, std::string* out) {
  out->push_back('{');
  bool first = true;
  for (const JsonField& field : type.fields) {
    if (field.omit_empty && IsEmpty(field, message)) continue;
    if (!first) out->push_back(',');
    first = false;
    out->append(field.name);
    AppendJsonMember(field, message, out);
  }
  out->push_back('}');
}

void AppendJson(const JsonField& field, const Message& message, std::string* out) {
  if (field.count != JsonCount::kOne) {
    AppendMany(field, message, out);
  } else if ((IsMessage(field) || field.null_if_empty) && IsEmpty(field, message)) {
    out->append("null");
  } else {
    AppendOne(field, message, out);
  }
}

}  // namespace consul::gateway
