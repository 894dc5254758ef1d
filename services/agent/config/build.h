// services/agent/config/build.h
//
// From a merged tree that agrees with the schema to a Config: defaults, ranges, and what one
// setting means for another.
//
// Threads: pure function, but for looking whether data_dir is a directory.
#ifndef CONSUL_SERVICES_AGENT_CONFIG_BUILD_H_
#define CONSUL_SERVICES_AGENT_CONFIG_BUILD_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/agent/config/config.h"
#include "services/agent/config/machine.h"
#include "services/agent/config/value.h"

namespace consul::agent::config {

// Adds to `warnings`. INVALID_ARGUMENT names every setting that is out of its range; a single fault
// stands alone, several are "N errors occurred:\n\t* ...".
// REQUIRES: CheckAgainstSchema found no fault in what was merged.
absl::StatusOr<Config> Build(const Value& merged, const Machine& machine,
                             std::vector<std::string>* warnings);

}  // namespace consul::agent::config

#endif  // CONSUL_SERVICES_AGENT_CONFIG_BUILD_H_
