// Reads flags and configuration, says what is wrong with them, and hands over to the agent.
#include <ostream>

#include "cli/agent_flags.h"
#include "cli/commands.h"
#include "services/agent/config/load.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

class AgentCommand final : public Command {
 public:
  explicit AgentCommand(const Context& context) : Command(context) {
    AddAgentFlags(&flags(), &sources_);
    flags().AddBool("dev", &dev_, "Starts a server without a data directory. Not supported yet.");
  }

 private:
  std::string Usage() const override { return "consul agent [options]"; }
  std::string Description() const override {
    return "  Starts an agent, which runs until it is interrupted. The first server of a\n"
           "  datacenter:\n\n"
           "      $ consul agent -server -bootstrap -data-dir /tmp/consul";
  }

  int Execute(const std::vector<std::string>& args) override {
    if (!args.empty()) {
      std::string text;
      for (const std::string& arg : args) base::StrAppend(&text, text.empty() ? "" : " ", arg);
      return Fail(base::StrCat("==> Unexpected extra arguments: [", text, "]"));
    }
    if (dev_) {
      return Fail(
          "==> flag -dev is not supported yet: start with -server -bootstrap -data-dir DIR");
    }
    absl::StatusOr<agent::config::Loaded> loaded =
        agent::config::Load(sources_, context().machine());
    if (!loaded.ok()) return Fail(base::StrCat("==> ", base::ToStd(loaded.status().message())));
    return context().run_agent(*std::move(loaded));
  }

  agent::config::Sources sources_;
  bool dev_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeAgentCommand(const Context& context) {
  return std::make_unique<AgentCommand>(context);
}

}  // namespace consul::cli
