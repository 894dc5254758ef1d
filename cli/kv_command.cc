#include "cli/commands.h"

namespace consul::cli {
namespace {

// The name of the group: it has help, and its subcommands do the work.
class KvCommand final : public Command {
 public:
  explicit KvCommand(const Context& context) : Command(context) {}

 private:
  std::string Usage() const override { return "consul kv <subcommand> [options] [args]"; }
  std::string Description() const override {
    return "  Works with the key-value store. Set the key \"redis/config/connections\" to\n"
           "  \"5\":\n\n"
           "      $ consul kv put redis/config/connections 5\n\n"
           "  Read it back, alone or with all that is known of it:\n\n"
           "      $ consul kv get redis/config/connections\n"
           "      $ consul kv get -detailed redis/config/connections\n\n"
           "  Remove it:\n\n"
           "      $ consul kv delete redis/config/connections\n\n"
           "  Each subcommand has help of its own.";
  }
  int Execute(const std::vector<std::string>&) override { return kExitError; }
};

}  // namespace

std::unique_ptr<Command> MakeKvCommand(const Context& context) {
  return std::make_unique<KvCommand>(context);
}

}  // namespace consul::cli
