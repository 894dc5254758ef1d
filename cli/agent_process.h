// cli/agent_process.h
//
// Where the agent's process is put together: agent, faces, banner, signals, and the end.
//
// Threads: the main thread, before any other exists.
#ifndef CONSUL_CLI_AGENT_PROCESS_H_
#define CONSUL_CLI_AGENT_PROCESS_H_

#include "services/agent/config/load.h"

namespace consul::cli {

// Runs an agent until it has left or is told to end. Prints the banner and the log to standard
// output. Returns the exit code: 0 after a graceful leave, 1 after any other end.
int RunAgent(const agent::config::Loaded& loaded);

}  // namespace consul::cli

#endif  // CONSUL_CLI_AGENT_PROCESS_H_
