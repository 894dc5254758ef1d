// services/agent/config/load.h
//
// From flags, files and directories to a Config. Sources are read in the order given and merged:
// a later scalar replaces, a list appends, an object merges; flags come last. Null, empty text, an
// empty list, an empty object and an empty file count as absent.
//
// Threads: call from one thread at a time; reads files, touches nothing else.
// Background: services/agent/config/README.md.
#ifndef CONSUL_SERVICES_AGENT_CONFIG_LOAD_H_
#define CONSUL_SERVICES_AGENT_CONFIG_LOAD_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/agent/config/config.h"
#include "services/agent/config/value.h"

namespace consul::agent::config {

// What the command line contributes. `files` holds -config-file and -config-dir arguments in the
// order in which they stood there. `flags` holds the other flags as the keys they set; its source
// name is shown in messages ("flag -http-port").
struct Sources {
  std::vector<std::string> files;
  // "", "json" or "hcl": for files whose name does not tell.
  std::string format;
  // -hcl fragments; merged after the files.
  std::vector<std::string> fragments;
  Value flags;
};

// What the machine says, for settings that default to it. A test fills this in by hand.
struct Machine {
  std::string host_name;
  // The address of the interface that the default route uses; empty when there is none.
  std::string default_route_address;
  // The same for IPv6.
  std::string default_route_address_v6;
  // Addresses of interfaces by the interface's name.
  std::vector<std::pair<std::string, std::string>> interface_addresses;
};

Machine ThisMachine();

struct Loaded {
  Config config;
  // One line each, without prefix, for the user to see before the agent starts.
  std::vector<std::string> warnings;
};

// INVALID_ARGUMENT names the key and the source, NOT_FOUND the file that could not be opened; several
// faults of one file are told in one message.
absl::StatusOr<Loaded> Load(const Sources& sources, const Machine& machine);

}  // namespace consul::agent::config

#endif  // CONSUL_SERVICES_AGENT_CONFIG_LOAD_H_
