// The names of groups: they have help, and their subcommands do the work.
#include <string>
#include <utility>

#include "cli/commands.h"

namespace consul::cli {
namespace {

class GroupCommand final : public Command {
 public:
  GroupCommand(const Context& context, std::string usage, std::string description)
      : Command(context), usage_(std::move(usage)), description_(std::move(description)) {}

 private:
  std::string Usage() const override { return usage_; }
  std::string Description() const override { return description_; }
  int Execute(const std::vector<std::string>&) override { return kExitError; }

  const std::string usage_;
  const std::string description_;
};

}  // namespace

std::unique_ptr<Command> MakeOperatorCommand(const Context& context) {
  return std::make_unique<GroupCommand>(
      context, "consul operator <subcommand> [options]",
      "  Tools for those who run a cluster. Use them with care: wrong use may stop the\n"
      "  cluster, or lose data. Any agent of the cluster can be asked.");
}

std::unique_ptr<Command> MakeOperatorRaftCommand(const Context& context) {
  return std::make_unique<GroupCommand>(
      context, "consul operator raft <subcommand> [options]",
      "  Shows and changes which servers take part in consensus. Servers come and go by\n"
      "  themselves; a change by hand is for those that did not.");
}

std::unique_ptr<Command> MakeOperatorAutopilotCommand(const Context& context) {
  return std::make_unique<GroupCommand>(
      context, "consul operator autopilot <subcommand> [options]",
      "  Shows and changes how the leader looks after the servers: when a new one\n"
      "  votes, and when a dead one is removed.");
}

}  // namespace consul::cli
