// cli/process.h
//
// What the long-lived processes have in common.
//
// Threads: the main thread.
#ifndef CONSUL_CLI_PROCESS_H_
#define CONSUL_CLI_PROCESS_H_

#include <string_view>

namespace consul::cli {

// Writes a line to standard output at once.
void Print(std::string_view line);

// The same on stderr: for what made the process end.
void PrintError(std::string_view line);

// Takes as many open files as the system grants: each connection is one.
void RaiseFileLimit();

}  // namespace consul::cli

#endif  // CONSUL_CLI_PROCESS_H_
