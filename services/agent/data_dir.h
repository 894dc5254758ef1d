// services/agent/data_dir.h
//
// The directory that an agent keeps everything in, before it is used: that it is there, and that a
// server does not begin with nothing where something was.
//
// Threads: the one that starts the agent.
#ifndef CONSUL_SERVICES_AGENT_DATA_DIR_H_
#define CONSUL_SERVICES_AGENT_DATA_DIR_H_

#include <string>

#include "absl/status/status.h"

namespace consul::agent {

// Makes it with the directories above it. The error is the system's, with the path.
absl::Status MakeDataDir(const std::string& path);

// Whether a server may start there without a log, if there is none. FAILED_PRECONDITION: what is
// there is the reference's, which this program does not read. DATA_LOSS: its own log was there, and
// is gone. Both name the file that says so, and what to do.
absl::Status CheckServerData(const std::string& path);

}  // namespace consul::agent

#endif  // CONSUL_SERVICES_AGENT_DATA_DIR_H_
