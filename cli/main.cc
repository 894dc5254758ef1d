// The program: the commands with the real world around them.
#include <google/protobuf/stubs/logging.h>
#include <signal.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "cli/agent_process.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/gateway_process.h"
#include "services/agent/config/machine.h"

namespace {

std::atomic<bool> interrupted{false};

// The second interrupt ends a command as it always does.
void OnInterrupt(int) {
  interrupted.store(true);
  signal(SIGINT, SIG_DFL);
}

// Commands that end in order at the first interrupt ask for it; until they do it ends them, and
// the agent, as it ends any program.
bool Interrupted() {
  static const bool watched = signal(SIGINT, OnInterrupt) != SIG_ERR;
  return watched && interrupted.load();
}

}  // namespace

int main(int argc, char** argv) {
  // Debian builds abseil with its mutexes looking for deadlocks: a twentieth of gRPC's time.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  // It would write a line for each message of a client that does not parse; the client is told.
  google::protobuf::SetLogHandler(nullptr);
  consul::cli::Context context;
  context.in = &std::cin;
  context.out = &std::cout;
  context.err = &std::cerr;
  context.environment = [](const char* name) {
    const char* const value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  context.connect = &consul::cli::Connect;
  context.machine = &consul::agent::config::ThisMachine;
  context.interrupted = &Interrupted;
  context.run_agent = [](consul::agent::config::Loaded loaded) {
    return consul::cli::RunAgent(loaded);
  };
  context.run_gateway = &consul::cli::RunGateway;
  return consul::cli::Main(std::vector<std::string>(argv + 1, argv + argc), context);
}
