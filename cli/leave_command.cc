#include <ostream>

#include "cli/commands.h"
#include "consul/agent/v1/agent.pb.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

class LeaveCommand final : public Command {
 public:
  explicit LeaveCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kAgentOnly);
  }

 private:
  std::string Usage() const override { return "consul leave [options]"; }
  std::string Description() const override {
    return "  Makes the agent leave the cluster gracefully and shut down: the other members\n"
           "  know that it left and has not failed, and its entries leave the catalog.";
  }

  int Execute(const std::vector<std::string>& args) override {
    if (!args.empty()) {
      return Fail(base::StrCat("Error found unexpected args: [", Joined(args), "]"));
    }
    agent::v1::LeaveResponse response;
    const absl::Status called = api_.Connect(context())->Call(
        "consul.agent.v1.AgentService/Leave", agent::v1::LeaveRequest(), &response);
    if (!called.ok()) return Fail("Error leaving", called);
    out() << "Graceful leave complete\n";
    return kExitOk;
  }

  static std::string Joined(const std::vector<std::string>& args) {
    std::string text;
    for (const std::string& arg : args) base::StrAppend(&text, text.empty() ? "" : " ", arg);
    return text;
  }

  ApiFlags api_;
};

}  // namespace

std::unique_ptr<Command> MakeLeaveCommand(const Context& context) {
  return std::make_unique<LeaveCommand>(context);
}

}  // namespace consul::cli
