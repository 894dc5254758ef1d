#include "cli/commands.h"

namespace consul::cli {
namespace {

// The name of the group: it has help, and its subcommands do the work.
class SnapshotCommand final : public Command {
 public:
  explicit SnapshotCommand(const Context& context) : Command(context) {}

 private:
  std::string Usage() const override { return "consul snapshot <subcommand> [options] [args]"; }
  std::string Description() const override {
    return "  Saves, restores and inspects the state of the servers: keys and catalog, all\n"
           "  of one moment.\n\n"
           "      $ consul snapshot save backup.snap\n"
           "      $ consul snapshot inspect backup.snap\n"
           "      $ consul snapshot restore backup.snap\n\n"
           "  Each subcommand has help of its own.";
  }
  int Execute(const std::vector<std::string>&) override { return kExitError; }
};

}  // namespace

std::unique_ptr<Command> MakeSnapshotCommand(const Context& context) {
  return std::make_unique<SnapshotCommand>(context);
}

}  // namespace consul::cli
