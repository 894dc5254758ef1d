// services/agent/config/value.h
//
// The tree that a configuration file is, whichever language it was written in. Every value knows
// where it stands, so that a complaint about it can say so.
//
// Threads: a plain value.
#ifndef CONSUL_SERVICES_AGENT_CONFIG_VALUE_H_
#define CONSUL_SERVICES_AGENT_CONFIG_VALUE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace consul::agent::config {

// Where a value was written. A line of 0 means that only the source is known.
struct Position {
  int line = 0;
  int column = 0;
};

class Value;
using List = std::vector<Value>;
// In the order of the file; a key may stand several times (HCL's blocks) until Merge folds them.
using Object = std::vector<std::pair<std::string, Value>>;

class Value {
 public:
  Value() = default;
  Value(std::nullptr_t) {}
  Value(bool value) : data_(value) {}
  Value(int64_t value) : data_(value) {}
  Value(int value) : data_(static_cast<int64_t>(value)) {}
  Value(double value) : data_(value) {}
  Value(std::string value) : data_(std::move(value)) {}
  Value(std::string_view value) : data_(std::string(value)) {}
  Value(const char* value) : data_(std::string(value)) {}
  Value(List value) : data_(std::move(value)) {}
  Value(Object value) : data_(std::move(value)) {}

  bool is_null() const { return std::holds_alternative<std::monostate>(data_); }
  // Each is null unless the value is of that kind.
  const bool* as_bool() const { return std::get_if<bool>(&data_); }
  const int64_t* as_int() const { return std::get_if<int64_t>(&data_); }
  const double* as_double() const { return std::get_if<double>(&data_); }
  const std::string* as_string() const { return std::get_if<std::string>(&data_); }
  const List* as_list() const { return std::get_if<List>(&data_); }
  const Object* as_object() const { return std::get_if<Object>(&data_); }
  List* as_list() { return std::get_if<List>(&data_); }
  Object* as_object() { return std::get_if<Object>(&data_); }

  // Null, "", [] and {}: as good as not written.
  bool IsAbsent() const;
  // The last child of that name (the later one wins), or null. Null for anything but an object.
  const Value* Find(std::string_view name) const;
  // Sets `path` ("ports.http"), making the objects on the way; an existing value there is replaced.
  // REQUIRES: the value is null or an object, and so is every value on the way.
  void Set(std::string_view path, Value value);

  // For messages: "text" in quotes, numbers and bools bare, "a list", "an object", "null".
  std::string Describe() const;
  // The whole tree as compact JSON, keys in order, with control characters escaped.
  std::string ToJson() const;

  Position position;
  // The file's name, or "flag -x"; shared by all values of one source. Null when unknown.
  std::shared_ptr<const std::string> source;

 private:
  std::variant<std::monostate, bool, int64_t, double, std::string, List, Object> data_;
};

}  // namespace consul::agent::config

#endif  // CONSUL_SERVICES_AGENT_CONFIG_VALUE_H_
