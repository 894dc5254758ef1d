// services/agent/config/schema.h
//
// Every key that a configuration file may hold, with its type and what becomes of it. One table:
// keys with an effect, keys that users of Consul have in their files and that do nothing yet, and
// among those the ones that must not be ignored, because the agent would then be less guarded than
// its user believes.
//
// Threads: constant data.
// Background: services/agent/config/README.md.
#ifndef CONSUL_SERVICES_AGENT_CONFIG_SCHEMA_H_
#define CONSUL_SERVICES_AGENT_CONFIG_SCHEMA_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "services/agent/config/value.h"

namespace consul::agent::config {

enum class KeyType {
  kBool,
  kInteger,
  kNumber,      // integer or float
  kString,
  kDuration,    // text of services/base/duration.h
  kStringList,
  kStringMap,
  kObject,      // its keys are in the table, with this one's path before them
  kAny,         // not looked into
};

enum class KeyUse {
  kWorks,
  kNoEffect,         // known: a warning
  kRefused,          // an error when it is set at all
  kRefusedIfTrue,    // an error when true; false is what we do anyway
  kRefusedUnlessAllow,  // an error unless it is the text "allow"
};

struct Key {
  std::string_view path;  // "ports.http"
  KeyType type;
  KeyUse use;
};

// Sorted by path.
const std::vector<Key>& Keys();
// The key of that path, in either case; null for an unknown one.
const Key* FindKey(std::string_view path);

// Holds one source against the table. Absent values are taken out of `tree`, and keys are put into
// the table's spelling. Faults are collected: INVALID_ARGUMENT
//   failed to parse FILE: N error(s) occurred:\n\t* invalid config key X\n\t* ...
// What is known and without effect goes to `warnings`, one line for each key.
absl::Status CheckAgainstSchema(std::string_view source, Value* tree,
                                std::vector<std::string>* warnings);

}  // namespace consul::agent::config

#endif  // CONSUL_SERVICES_AGENT_CONFIG_SCHEMA_H_
