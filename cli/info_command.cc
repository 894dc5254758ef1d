#include <algorithm>
#include <map>
#include <ostream>

#include "cli/commands.h"
#include "consul/agent/v1/agent.pb.h"

namespace consul::cli {
namespace {

class InfoCommand final : public Command {
 public:
  explicit InfoCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kAgentOnly);
  }

 private:
  std::string Usage() const override { return "consul info [options]"; }
  std::string Description() const override {
    return "  Shows what an agent says of itself, in groups: its build, its process, its log\n"
           "  of changes, its gossip pools.";
  }

  int Execute(const std::vector<std::string>&) override {
    agent::v1::GetSelfResponse response;
    const absl::Status called = api_.Connect(context())->Call(
        "consul.agent.v1.AgentService/GetSelf", agent::v1::GetSelfRequest(), &response);
    if (!called.ok()) return Fail("Error querying agent", called);
    std::map<std::string, std::map<std::string, std::string>> groups;
    for (const auto& group : response.stats()) {
      auto& values = groups[group.key()];
      for (const auto& pair : group.value()) values[pair.key()] = pair.value();
    }
    for (const auto& [name, values] : groups) {
      out() << name << ":\n";
      for (const auto& [key, value] : values) out() << "\t" << key << " = " << value << "\n";
    }
    return kExitOk;
  }

  ApiFlags api_;
};

}  // namespace

std::unique_ptr<Command> MakeInfoCommand(const Context& context) {
  return std::make_unique<InfoCommand>(context);
}

}  // namespace consul::cli
