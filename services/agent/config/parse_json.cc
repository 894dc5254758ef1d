#include <algorithm>
#include <memory>
#include <utility>

#include <boost/json.hpp>
#include "services/agent/config/parse.h"
#include "services/agent/config/parse_limits.h"
#include "services/base/strings.h"

namespace consul::agent::config {
namespace {

namespace json = boost::json;

Value Convert(const json::value& from, const std::shared_ptr<const std::string>& source) {
  Value value;
  switch (from.kind()) {
    case json::kind::null: break;
    case json::kind::bool_: value = Value(from.get_bool()); break;
    case json::kind::int64: value = Value(static_cast<int64_t>(from.get_int64())); break;
    // Larger than any integer that a key takes; as a double it fails its range check.
    case json::kind::uint64: value = Value(static_cast<double>(from.get_uint64())); break;
    case json::kind::double_: value = Value(from.get_double()); break;
    case json::kind::string:
      value = Value(std::string(from.get_string().data(), from.get_string().size()));
      break;
    case json::kind::array: {
      List list;
      for (const json::value& item : from.get_array()) list.push_back(Convert(item, source));
      value = Value(std::move(list));
      break;
    }
    case json::kind::object: {
      Object object;
      for (const json::key_value_pair& item : from.get_object()) {
        object.emplace_back(std::string(item.key().data(), item.key().size()),
                            Convert(item.value(), source));
      }
      value = Value(std::move(object));
      break;
    }
  }
  value.source = source;
  return value;
}

// False when an object holds more than kObjectKeysMax keys.
bool KeysAreFew(const json::value& value) {
  if (const json::array* array = value.if_array()) {
    return std::all_of(array->begin(), array->end(), KeysAreFew);
  }
  const json::object* object = value.if_object();
  if (object == nullptr) return true;
  return object->size() <= kObjectKeysMax &&
         std::all_of(object->begin(), object->end(),
                     [](const auto& item) { return KeysAreFew(item.value()); });
}

std::string What(const json::error_code& error) {
  if (error == json::error::incomplete) return "unexpected end of JSON input";
  if (error == json::error::too_deep) {
    return base::StrCat("nested deeper than ", kDepthMax, " levels");
  }
  return error.message();
}

}  // namespace

absl::StatusOr<Value> ParseJson(std::string_view text, std::string_view source) {
  if (absl::Status status = CheckText(&text, source); !status.ok()) return status;
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return Value();
  json::parse_options options;
  options.max_depth = kDepthMax;
  json::stream_parser parser({}, options);
  json::error_code error;
  const size_t read = parser.write_some(text.data(), text.size(), error);
  size_t offset = read;
  if (!error && text.find_first_not_of(" \t\r\n", read) != std::string_view::npos) {
    error = json::error::extra_data;
    offset = text.find_first_not_of(" \t\r\n", read);
  }
  if (!error) parser.finish(error);
  if (error) {
    const Position at = PositionOf(text, offset);
    return absl::InvalidArgumentError(
        base::StrCat(source, ":", at.line, ":", at.column, ": ", What(error)));
  }
  const json::value parsed = parser.release();
  if (!parsed.is_object()) {
    return absl::InvalidArgumentError(
        base::StrCat(source, ":1:1: a configuration file is a JSON object"));
  }
  if (!KeysAreFew(parsed)) {
    return absl::InvalidArgumentError(
        base::StrCat(source, ": more than ", kObjectKeysMax, " keys in one object"));
  }
  return Convert(parsed, std::make_shared<const std::string>(source));
}

}  // namespace consul::agent::config
