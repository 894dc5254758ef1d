// services/agent/config/settings.h
//
// Reads a merged tree by key, and collects what is wrong with the values.
//
// Threads: belongs to one Build.
#ifndef CONSUL_SERVICES_AGENT_CONFIG_SETTINGS_H_
#define CONSUL_SERVICES_AGENT_CONFIG_SETTINGS_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "services/agent/config/value.h"

namespace consul::agent::config {

class Settings {
 public:
  explicit Settings(const Value& tree) : tree_(tree) {}

  // The value at a dotted path, or null.
  const Value* Find(std::string_view path) const;
  bool Has(std::string_view path) const { return Find(path) != nullptr; }
  // " (FILE)" or " (flag -x)" of the value at `path`, for the end of a message; "" when unknown.
  std::string Origin(std::string_view path) const;

  // Each overwrites `out` when the key is there, and leaves the default otherwise.
  // REQUIRES: the schema gives the key that type.
  void Read(std::string_view path, std::string* out) const;
  void Read(std::string_view path, bool* out) const;
  // Faults: negative.
  void Read(std::string_view path, std::chrono::nanoseconds* out);
  // Faults: "PATH cannot be N. Must be between MIN and MAX", or, with no `max`, "Must be greater
  // than or equal to MIN".
  void ReadInteger(std::string_view path, int64_t min, std::optional<int64_t> max, int64_t* out);

  void Fault(std::string text) { faults_.push_back(std::move(text)); }
  absl::Status Result() const;

 private:
  const Value& tree_;
  std::vector<std::string> faults_;
};

}  // namespace consul::agent::config

#endif  // CONSUL_SERVICES_AGENT_CONFIG_SETTINGS_H_
