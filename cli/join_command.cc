#include <ostream>

#include "cli/commands.h"
#include "consul/agent/v1/agent.pb.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

class JoinCommand final : public Command {
 public:
  explicit JoinCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kAgentOnly);
    flags().AddBool("wan", &wan_, "Joins a server to another server in the WAN pool.");
  }

 private:
  std::string Usage() const override { return "consul join [options] address ..."; }
  std::string Description() const override {
    return "  Tells an agent that runs to join the cluster of another one: at least one\n"
           "  existing member, by host name or IP address, with a port where it is not the\n"
           "  usual one.";
  }

  int Execute(const std::vector<std::string>& args) override {
    if (args.empty()) return Fail("At least one address to join must be specified.");
    for (const std::string& address : args) {
      if (!IsText("address", address)) return kExitError;
    }
    const std::unique_ptr<Client> client = api_.Connect(context());
    uint32_t contacted = 0;
    for (const std::string& address : args) {
      agent::v1::JoinRequest request;
      request.set_address(address);
      request.set_wan(wan_);
      agent::v1::JoinResponse response;
      const absl::Status called =
          client->Call("consul.agent.v1.AgentService/Join", request, &response);
      if (called.ok()) {
        contacted += response.contacted();
      } else {
        Fail(base::StrCat("Error joining address '", address, "'"), called);
      }
    }
    if (contacted == 0) return Fail("Failed to join any nodes.");
    out() << "Successfully joined cluster by contacting " << contacted << " nodes.\n";
    return kExitOk;
  }

  ApiFlags api_;
  bool wan_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeJoinCommand(const Context& context) {
  return std::make_unique<JoinCommand>(context);
}

}  // namespace consul::cli
