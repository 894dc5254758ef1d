// cli/agent_flags.h
//
// The flags of `consul agent`: each sets a key of the configuration, so that a flag and a key in a
// file are one thing to the loader.
//
// Threads: one.
#ifndef CONSUL_CLI_AGENT_FLAGS_H_
#define CONSUL_CLI_AGENT_FLAGS_H_

#include "cli/flags.h"
#include "services/agent/config/load.h"

namespace consul::cli {

// Adds every flag of the agent; what they are given goes into `sources`, which must outlive
// `flags`.
void AddAgentFlags(FlagSet* flags, agent::config::Sources* sources);

}  // namespace consul::cli

#endif  // CONSUL_CLI_AGENT_FLAGS_H_
