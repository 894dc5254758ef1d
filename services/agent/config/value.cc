#include "services/agent/config/value.h"

#include <cstdio>

#include "services/base/check.h"
#include "services/base/strings.h"

namespace consul::agent::config {
namespace {

void AppendJsonString(std::string_view text, std::string* out) {
  out->push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      out->append(escape);
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

std::string DoubleText(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

void AppendJson(const Value& value, std::string* out) {
  if (value.is_null()) {
    out->append("null");
  } else if (const bool* flag = value.as_bool()) {
    out->append(*flag ? "true" : "false");
  } else if (const int64_t* number = value.as_int()) {
    base::StrAppend(out, *number);
  } else if (const double* number = value.as_double()) {
    out->append(DoubleText(*number));
  } else if (const std::string* text = value.as_string()) {
    AppendJsonString(*text, out);
  } else if (const List* list = value.as_list()) {
    out->push_back('[');
    const char* separator = "";
    for (const Value& item : *list) {
      out->append(separator);
      AppendJson(item, out);
      separator = ",";
    }
    out->push_back(']');
  } else if (const Object* object = value.as_object()) {
    out->push_back('{');
    const char* separator = "";
    for (const auto& [name, item] : *object) {
      out->append(separator);
      AppendJsonString(name, out);
      out->push_back(':');
      AppendJson(item, out);
      separator = ",";
    }
    out->push_back('}');
  }
}

}  // namespace

bool Value::IsAbsent() const {
  if (const std::string* text = as_string()) return text->empty();
  if (const List* list = as_list()) return list->empty();
  if (const Object* object = as_object()) return object->empty();
  return is_null();
}

const Value* Value::Find(std::string_view name) const {
  const Object* object = as_object();
  if (object == nullptr) return nullptr;
  for (auto it = object->rbegin(); it != object->rend(); ++it) {
    if (it->first == name) return &it->second;
  }
  return nullptr;
}

void Value::Set(std::string_view path, Value value) {
  if (is_null()) data_ = Object();
  Object* object = as_object();
  CONSUL_CHECK(object != nullptr);
  const size_t dot = path.find('.');
  const std::string_view name = path.substr(0, dot);
  Value* child = const_cast<Value*>(Find(name));
  if (child == nullptr) {
    object->emplace_back(std::string(name), Value());
    child = &object->back().second;
  }
  if (dot == std::string_view::npos) {
    *child = std::move(value);
  } else {
    child->Set(path.substr(dot + 1), std::move(value));
  }
}

std::string Value::Describe() const {
  if (as_list() != nullptr) return "a list";
  if (as_object() != nullptr) return "an object";
  return ToJson();
}

std::string Value::ToJson() const {
  std::string out;
  AppendJson(*this, &out);
  return out;
}

}  // namespace consul::agent::config
