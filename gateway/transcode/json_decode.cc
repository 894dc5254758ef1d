#include "gateway/transcode/json_decode.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "absl/strings/match.h"
#include "gateway/transcode/json_text.h"
#include "services/base/base64.h"
#include "services/base/check.h"
#include "services/base/duration.h"
#include "services/base/strings.h"
#include "services/base/utf8.h"

namespace consul::gateway {
namespace {

namespace json = boost::json;
using google::protobuf::Message;

absl::Status Invalid(std::string_view text) {
  return absl::InvalidArgumentError(base::ToAbsl(text));
}

std::string_view View(const json::string& text) { return {text.data(), text.size()}; }
std::string_view View(json::string_view text) { return {text.data(), text.size()}; }

// The plan has `"Name":`.
std::string_view NameOf(const JsonField& field) {
  return std::string_view(field.name).substr(1, field.name.size() - 3);
}

const JsonField* Find(const JsonType& type, std::string_view name) {
  const JsonField* alike = nullptr;
  for (const JsonField& field : type.fields) {
    if (NameOf(field) == name) return &field;
    const bool same = absl::EqualsIgnoreCase(base::ToAbsl(NameOf(field)), base::ToAbsl(name));
    if (same && alike == nullptr) alike = &field;
  }
  return alike;
}

std::string_view KindText(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "bool";
    case json::kind::int64:
    case json::kind::uint64:
    case json::kind::double_:
      return "number";
    case json::kind::string:
      return "string";
    case json::kind::array:
      return "array";
    case json::kind::object:
      return "object";
  }
  return "";
}

std::string_view TypeText(const JsonField& field) {
  switch (field.shape) {
    case JsonShape::kBool:
      return "bool";
    case JsonShape::kUint32:
      return "uint32";
    case JsonShape::kUint64:
      return "uint64";
    case JsonShape::kDouble:
      return "float64";
    case JsonShape::kMessage:
      return "object";
    case JsonShape::kDurationText:
      return "duration";
    default:
      return "string";
  }
}

// Fills one message, and those in it.
class Decoder {
 public:
  absl::Status Fill(const json::object& object, const JsonType& type, Message* message) {
    for (const json::key_value_pair& member : object) {
      const std::string name = base::ToUtf8(View(member.key()));
      const JsonField* const field = Find(type, name);
      if (field == nullptr) {
        std::string text = "json: unknown field ";
        AppendJsonString(name, &text);
        return Invalid(text);
      }
      const size_t outer = path_.size();
      base::StrAppend(&path_, path_.empty() ? "" : ".", NameOf(*field));
      if (absl::Status status = FillField(member.value(), *field, message); !status.ok()) {
        return status;
      }
      path_.resize(outer);
    }
    return absl::OkStatus();
  }

 private:
  absl::Status WrongType(const json::value& value, std::string_view wanted) const {
    std::string number;
    // Go says which number, where one of another kind would do.
    if (value.is_number() && (wanted == "uint32" || wanted == "uint64")) {
      number = base::StrCat(" ", json::serialize(value));
    }
    return Invalid(base::StrCat("json: cannot unmarshal ", KindText(value), number,
                                " into field ", path_, " of type ", wanted));
  }

  absl::Status FillField(const json::value& value, const JsonField& field, Message* message) {
    if (value.is_null()) return absl::OkStatus();
    if (field.count == JsonCount::kOne) return Set(value, field, message);
    field.reflection->ClearField(message, field.field);
    const json::array* const list = value.if_array();
    if (list == nullptr) return WrongType(value, "list");
    for (const json::value& element : *list) {
      if (absl::Status status = Set(element, field, message); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // Sets a single field, or adds to a list, to which a null adds a zero value.
  absl::Status Set(const json::value& value, const JsonField& field, Message* message) {
    const auto& write = *field.reflection;
    const bool list = field.count == JsonCount::kList;
    switch (field.shape) {
      case JsonShape::kBool: {
        if (!value.is_bool() && !value.is_null()) return WrongType(value, TypeText(field));
        const bool truth = value.is_bool() && value.get_bool();
        list ? write.AddBool(message, field.field, truth)
             : write.SetBool(message, field.field, truth);
        return absl::OkStatus();
      }
      case JsonShape::kUint32:
      case JsonShape::kUint64:
        return SetUint(value, field, message);
      case JsonShape::kDouble: {
        if (!value.is_number() && !value.is_null()) return WrongType(value, TypeText(field));
        const double number = value.is_null() ? 0 : value.to_number<double>();
        // Larger than any that there is.
        if (!std::isfinite(number)) return WrongType(value, TypeText(field));
        list ? write.AddDouble(message, field.field, number)
             : write.SetDouble(message, field.field, number);
        return absl::OkStatus();
      }
      case JsonShape::kString:
      case JsonShape::kBase64:
        return SetText(value, field, message);
      case JsonShape::kDurationText:
        return SetDuration(value, field, message);
      case JsonShape::kMessage: {
        Message* const inner = list ? write.AddMessage(message, field.field)
                                    : write.MutableMessage(message, field.field);
        if (value.is_null()) return absl::OkStatus();
        if (!value.is_object()) return WrongType(value, TypeText(field));
        return Fill(value.get_object(), *field.type, inner);
      }
      default:
        CONSUL_CHECK(false);  // IsDecodable lets no other shape in
        return absl::OkStatus();
    }
  }

  absl::Status SetUint(const json::value& value, const JsonField& field, Message* message) {
    const auto& write = *field.reflection;
    const bool list = field.count == JsonCount::kList;
    const bool small = field.shape == JsonShape::kUint32;
    uint64_t number = 0;
    if (const uint64_t* const large = value.if_uint64(); large != nullptr) {
      number = *large;
    } else if (const int64_t* const any = value.if_int64(); any != nullptr && *any >= 0) {
      number = static_cast<uint64_t>(*any);
    } else if (!value.is_null()) {
      return WrongType(value, TypeText(field));
    }
    if (small && number > std::numeric_limits<uint32_t>::max()) {
      return WrongType(value, TypeText(field));
    }
    if (small) {
      const auto narrow = static_cast<uint32_t>(number);
      list ? write.AddUInt32(message, field.field, narrow)
           : write.SetUInt32(message, field.field, narrow);
    } else {
      list ? write.AddUInt64(message, field.field, number)
           : write.SetUInt64(message, field.field, number);
    }
    return absl::OkStatus();
  }

  absl::Status SetDuration(const json::value& value, const JsonField& field, Message* message) {
    std::chrono::nanoseconds duration;
    if (value.is_string()) {
      const auto parsed = base::ParseDuration(View(value.get_string()));
      if (!parsed.ok()) return parsed.status();
      duration = *parsed;
    } else if (const int64_t* const number = value.if_int64(); number != nullptr) {
      duration = std::chrono::nanoseconds(*number);
    } else {
      return WrongType(value, TypeText(field));
    }
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
    auto* const proto = static_cast<google::protobuf::Duration*>(
        field.reflection->MutableMessage(message, field.field));
    proto->set_seconds(seconds.count());
    proto->set_nanos(static_cast<int32_t>((duration - seconds).count()));
    return absl::OkStatus();
  }

  absl::Status SetText(const json::value& value, const JsonField& field, Message* message) {
    if (!value.is_string() && !value.is_null()) return WrongType(value, TypeText(field));
    std::string text = value.is_null() ? "" : base::ToUtf8(View(value.get_string()));
    if (field.shape == JsonShape::kBase64) {
      absl::StatusOr<std::string> bytes = base::DecodeBase64(text);
      if (!bytes.ok()) return bytes.status();
      text = *std::move(bytes);
    }
    if (field.count == JsonCount::kList) {
      field.reflection->AddString(message, field.field, std::move(text));
    } else {
      field.reflection->SetString(message, field.field, std::move(text));
    }
    return absl::OkStatus();
  }

  std::string path_;  // of the field that is being filled
};

constexpr std::string_view kSpace = " \t\r\n";

// A JSON text, whole.
absl::Status Parse(std::string_view text, json::value* value) {
  if (text.find_first_not_of(kSpace) == std::string_view::npos) return Invalid("EOF");
  json::parse_options options;
  options.max_depth = kJsonDepthMax;
  options.allow_invalid_utf8 = true;
  json::stream_parser parser({}, options);
  json::error_code error;
  size_t read = parser.write_some(text.data(), text.size(), error);
  if (!error) {
    const size_t more = text.find_first_not_of(kSpace, read);
    if (more != std::string_view::npos) {
      read = more;
      error = json::error::extra_data;
    }
  }
  if (!error) parser.finish(error);
  if (error == json::error::incomplete) return Invalid("unexpected EOF");
  if (error == json::error::too_deep) {
    return Invalid(base::StrCat("JSON is nested deeper than ", kJsonDepthMax, " levels"));
  }
  if (error) return Invalid(base::StrCat("invalid JSON at byte ", read, ": ", error.message()));
  *value = parser.release();
  return absl::OkStatus();
}

}  // namespace

bool IsDecodable(const JsonType& type) {
  return std::all_of(type.fields.begin(), type.fields.end(), [](const JsonField& field) {
    if (field.count == JsonCount::kMap) return false;
    switch (field.shape) {
      case JsonShape::kBool:
      case JsonShape::kUint32:
      case JsonShape::kUint64:
      case JsonShape::kDouble:
      case JsonShape::kString:
      case JsonShape::kBase64:
        return true;
      case JsonShape::kDurationText:
        return field.count == JsonCount::kOne;
      case JsonShape::kMessage:
        return IsDecodable(*field.type);
      default:
        return false;
    }
  });
}

absl::Status DecodeJson(std::string_view text, const JsonType& type, Message* message) {
  json::value value;
  if (absl::Status status = Parse(text, &value); !status.ok()) return status;
  if (value.is_null()) return absl::OkStatus();
  if (!value.is_object()) {
    return Invalid(base::StrCat("json: cannot unmarshal ", KindText(value), " into an object"));
  }
  return Decoder().Fill(value.get_object(), type, message);
}

}  // namespace consul::gateway
