#include "services/agent/config/schema.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <utility>

#include "services/base/duration.h"
#include "services/base/strings.h"

namespace consul::agent::config {
namespace {

constexpr std::string_view kFlagSource = "flag ";

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

std::string PositionText(const Value& value) {
  if (value.position.line == 0) return "";
  return base::StrCat(" (", value.position.line, ":", value.position.column, ")");
}

// Kinds by the names that users of Consul know from its messages.
const char* KindName(const Value& value) {
  if (value.as_bool() != nullptr) return "bool";
  if (value.as_int() != nullptr) return "int";
  if (value.as_double() != nullptr) return "float64";
  if (value.as_string() != nullptr) return "string";
  if (value.as_list() != nullptr) return "slice";
  if (value.as_object() != nullptr) return "map";
  return "null";
}

// How a message speaks of a value: by its flag, or by its key and file.
std::string NameOf(const Value& value, std::string_view path, std::string_view source) {
  if (value.source != nullptr && value.source->compare(0, kFlagSource.size(), kFlagSource) == 0) {
    return base::StrCat(*value.source, " (config key \"", path, "\")");
  }
  return base::StrCat("config key \"", path, "\" in ", source);
}

class Checker {
 public:
  Checker(std::string_view source, std::vector<std::string>* warnings)
      : source_(source), warnings_(warnings) {}

  void CheckObject(std::string_view prefix, Object* object) {
    for (auto& [name, value] : *object) {
      const std::string path = base::StrCat(prefix, name);
      // "a.b" in quotes is one name, not the path of two.
      const Key* key = name.find('.') == std::string::npos ? FindKey(path) : nullptr;
      if (key == nullptr) {
        Fault(base::StrCat("invalid config key ", path, PositionText(value)));
        continue;
      }
      name = std::string(key->path.substr(prefix.size()));
      TakeOutOfList(key->type, &value);
      if (value.IsAbsent()) continue;
      CheckValue(*key, &value);
    }
    std::erase_if(*object, [](const auto& item) { return item.second.IsAbsent(); });
  }

  absl::Status Result() const {
    if (faults_.empty()) return absl::OkStatus();
    std::string text;
    if (!source_.empty()) text = base::StrCat("failed to parse ", source_, ": ");
    base::StrAppend(&text, faults_.size(),
                    faults_.size() == 1 ? " error occurred:" : " errors occurred:");
    for (const std::string& fault : faults_) base::StrAppend(&text, "\n\t* ", fault);
    return absl::InvalidArgumentError(text);
  }

 private:
  void Fault(std::string text) { faults_.push_back(std::move(text)); }

  void WrongType(const Key& key, const char* wanted, const Value& value) {
    Fault(base::StrCat("'", key.path, "' expected type '", wanted, "', got unconvertible type '",
                       KindName(value), "' (", value.Describe(), ")", PositionText(value)));
  }

  // A list of one stands for what is in it: in HCL a block is such a list, and so the reference
  // takes them everywhere.
  static void TakeOutOfList(KeyType type, Value* value) {
    if (type == KeyType::kStringList || type == KeyType::kAny) return;
    if (List* const list = value->as_list(); list != nullptr && list->size() == 1) {
      Value item = std::move(list->front());
      *value = std::move(item);
    }
    if (type != KeyType::kStringMap || value->as_object() == nullptr) return;
    for (auto& [name, item] : *value->as_object()) TakeOutOfList(KeyType::kString, &item);
  }

  void CheckValue(const Key& key, Value* value) {
    if (key.type == KeyType::kObject) {
      Object* object = value->as_object();
      if (object == nullptr) return WrongType(key, "map", *value);
      return CheckObject(base::StrCat(key.path, "."), object);
    }
    if (CheckType(key, value)) ApplyUse(key, *value);
  }

  bool CheckType(const Key& key, Value* value) {
    const char* wanted = nullptr;
    switch (key.type) {
      case KeyType::kBool: wanted = value->as_bool() == nullptr ? "bool" : nullptr; break;
      case KeyType::kInteger: wanted = ToInteger(value) ? nullptr : "int"; break;
      case KeyType::kNumber:
        wanted = value->as_int() == nullptr && value->as_double() == nullptr ? "float64" : nullptr;
        break;
      case KeyType::kString:
      case KeyType::kDuration: wanted = value->as_string() == nullptr ? "string" : nullptr; break;
      case KeyType::kStringList:
        wanted = value->as_list() == nullptr ? "slice" : ItemsFault(*value->as_list());
        break;
      case KeyType::kStringMap:
        wanted = value->as_object() == nullptr ? "map" : ItemsFault(*value->as_object());
        break;
      case KeyType::kObject:
      case KeyType::kAny: break;
    }
    if (wanted != nullptr) {
      WrongType(key, wanted, *value);
      return false;
    }
    return key.type != KeyType::kDuration || CheckDuration(key, *value);
  }

  // JSON has one kind of number, and HCL writes 1e3: a float without a fraction is an integer.
  static bool ToInteger(Value* value) {
    constexpr double kExactMax = 9007199254740992.0;  // 2^53: above it floats skip integers
    if (value->as_int() != nullptr) return true;
    const double* number = value->as_double();
    if (number == nullptr || std::trunc(*number) != *number || std::abs(*number) > kExactMax) {
      return false;
    }
    const Position position = value->position;
    const auto source = value->source;
    *value = Value(static_cast<int64_t>(*number));
    value->position = position;
    value->source = source;
    return true;
  }

  static const char* ItemsFault(const List& list) {
    const auto is_text = [](const Value& item) { return item.as_string() != nullptr; };
    return std::all_of(list.begin(), list.end(), is_text) ? nullptr : "slice of string";
  }
  static const char* ItemsFault(const Object& object) {
    const auto is_text = [](const auto& item) { return item.second.as_string() != nullptr; };
    return std::all_of(object.begin(), object.end(), is_text) ? nullptr : "map of string";
  }

  bool CheckDuration(const Key& key, const Value& value) {
    const auto duration = base::ParseDuration(*value.as_string());
    if (duration.ok()) return true;
    Fault(base::StrCat(key.path, ": invalid duration: ", value.Describe(), ": ",
                       base::ToStd(duration.status().message()), PositionText(value)));
    return false;
  }

  void ApplyUse(const Key& key, const Value& value) {
    bool refused = false;
    switch (key.use) {
      case KeyUse::kWorks: return;
      case KeyUse::kNoEffect:
        warnings_->push_back(base::StrCat(NameOf(value, key.path, source_),
                                          " is known but has no effect yet"));
        return;
      case KeyUse::kRefused: refused = true; break;
      case KeyUse::kRefusedIfTrue: refused = *value.as_bool(); break;
      case KeyUse::kRefusedUnlessAllow: refused = *value.as_string() != "allow"; break;
    }
    if (!refused) return;
    Fault(base::StrCat(NameOf(value, key.path, source_),
                       " is not supported yet, and without it the agent would be less protected "
                       "than asked for; remove it to start anyway"));
  }

  const std::string_view source_;
  std::vector<std::string>* const warnings_;
  std::vector<std::string> faults_;
};

}  // namespace

const Key* FindKey(std::string_view path) {
  const std::string wanted = Lower(path);
  const std::vector<Key>& keys = Keys();
  const auto it = std::lower_bound(keys.begin(), keys.end(), wanted,
                                   [](const Key& key, std::string_view p) { return key.path < p; });
  return it != keys.end() && it->path == wanted ? &*it : nullptr;
}

absl::Status CheckAgainstSchema(std::string_view source, Value* tree,
                                std::vector<std::string>* warnings) {
  if (tree->is_null()) return absl::OkStatus();
  Checker checker(source, warnings);
  checker.CheckObject("", tree->as_object());
  return checker.Result();
}

}  // namespace consul::agent::config
