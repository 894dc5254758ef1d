// cli/command.h
//
// A command of the program: its help, its flags, what it does. One file each; commands.cc lists
// them.
//
// Threads: one; a command is made, run once and thrown away.
#ifndef CONSUL_CLI_COMMAND_H_
#define CONSUL_CLI_COMMAND_H_

#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/client.h"
#include "cli/flags.h"

namespace consul::agent::config {
struct Loaded;
struct Machine;
}  // namespace consul::agent::config

namespace consul::cli {

struct GatewayOptions;

// Exit codes that mean something to scripts.
inline constexpr int kExitOk = 0;
inline constexpr int kExitError = 1;
inline constexpr int kExitNothingMatched = 2;
inline constexpr int kExitUnknownCommand = 127;

// What a command may touch of the world. main.cc fills in the real ones, tests their own.
struct Context {
  std::istream* in = nullptr;
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  // A variable of the environment; empty when it is not set.
  std::function<std::string(const char* name)> environment;
  std::function<std::unique_ptr<Client>(const ClientOptions&)> connect;
  std::function<agent::config::Machine()> machine;
  // True once the user has interrupted the program. An interrupt before the first time that this is
  // asked ends the process, as it does with any other.
  std::function<bool()> interrupted;
  // Run the two long-lived processes until they end; they return the exit code.
  std::function<int(agent::config::Loaded)> run_agent;
  std::function<int(const GatewayOptions&)> run_gateway;
};

class Command {
 public:
  explicit Command(const Context& context) : context_(context) {}
  virtual ~Command() = default;
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  // The exit code. `args` are those behind the command's name.
  int Run(const std::vector<std::string>& args);
  // "Usage: ...", what it does, its flags; ends in a line end.
  std::string Help() const;

 protected:
  // "consul kv get [options] KEY"
  virtual std::string Usage() const = 0;
  // Paragraphs of at most 80 columns, each line indented by two; no line end at either end.
  virtual std::string Description() const = 0;
  // Does the work, the flags being set.
  virtual int Execute(const std::vector<std::string>& args) = 0;

  FlagSet& flags() { return flags_; }
  const Context& context() const { return context_; }
  std::ostream& out() const { return *context_.out; }
  std::ostream& err() const { return *context_.err; }

  // Whether `text`, which is `what`, can be said to an agent. Otherwise standard error says why.
  bool IsText(std::string_view what, std::string_view text) const;
  // Writes `text` and a line end to standard error; kExitError.
  int Fail(std::string_view text) const;
  // "what: the status's message", or that no agent could be reached, and how to say where one is.
  int Fail(std::string_view what, const absl::Status& status) const;

 private:
  const Context& context_;
  FlagSet flags_;
};

// The flags that every command that asks an agent has, and their variables of the environment.
class ApiFlags {
 public:
  enum Extent { kAgentOnly, kServerToo };
  // Adds -http-addr, -rpc-addr and -token; with kServerToo -datacenter and -stale as well.
  void AddTo(FlagSet* flags, Extent extent);

  // To the agent that -rpc-addr says, else -http-addr, CONSUL_RPC_ADDR, CONSUL_HTTP_ADDR or the
  // default. Where these are wrong each call fails with the reason.
  std::unique_ptr<Client> Connect(const Context& context) const;
  const std::string& datacenter() const { return datacenter_; }
  bool stale() const { return stale_; }

 private:
  absl::StatusOr<AgentAddress> Address(const Context& context) const;
  absl::StatusOr<AgentAddress> HttpAddress(const Context& context) const;

  std::string rpc_address_;
  std::string http_address_;  // host:port
  std::string token_;
  std::string datacenter_;
  bool stale_ = false;
};

// The setter of -rpc-addr: empty, which is as if it were not given, or what CheckRpcAddress takes.
absl::Status SetRpcAddress(std::string_view text, std::string* out);
// What the flag says, else the environment, else the default. INVALID_ARGUMENT names what is wrong
// with the environment's.
absl::StatusOr<std::string> RpcAddress(const std::string& flag, const Context& context);

// Runs the program: `args` without its name. The exit code; a success whose output could not all be
// written is an error, and standard error says why.
int Main(const std::vector<std::string>& args, const Context& context);

}  // namespace consul::cli

#endif  // CONSUL_CLI_COMMAND_H_
