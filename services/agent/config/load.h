// services/agent/config/load.h
//
// From flags, files and directories to a Config. Sources are read in the order given and merged:
// a later scalar replaces, a list appends, an object merges; flags come after files. Null, empty
// text, an empty list, an empty object and an empty file count as absent.
//
// Threads: call from one thread at a time; reads files, touches nothing else.
// Background: services/agent/config/README.md.
#ifndef CONSUL_SERVICES_AGENT_CONFIG_LOAD_H_
#define CONSUL_SERVICES_AGENT_CONFIG_LOAD_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/agent/config/config.h"
#include "services/agent/config/machine.h"
#include "services/agent/config/value.h"

namespace consul::agent::config {

// Files in a directory that are read; the rest is named in an error.
inline constexpr size_t kDirectoryFilesMax = 4096;

// What the command line contributes. `paths` holds -config-file and -config-dir arguments in the
// order in which they stood there: a directory gives its *.json and *.hcl in alphabetical order,
// and is not searched below. `flags` holds the other flags as the keys that they set; the source of
// each value is its flag ("flag -http-port").
struct Sources {
  std::vector<std::string> paths;
  // "", "json" or "hcl": for files whose name does not tell.
  std::string format;
  // -hcl fragments; merged last.
  std::vector<std::string> fragments;
  Value flags;
};

struct Loaded {
  Config config;
  // One line each, without prefix, for the user to see before the agent starts.
  std::vector<std::string> warnings;
};

// Ready to run, or INVALID_ARGUMENT that names keys, values and files (several faults of one file
// are told at once), or the error of a file that cannot be read, with its name.
absl::StatusOr<Loaded> Load(const Sources& sources, const Machine& machine);

}  // namespace consul::agent::config

#endif  // CONSUL_SERVICES_AGENT_CONFIG_LOAD_H_
