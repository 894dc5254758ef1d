#include "cli/commands.h"
#include "consul/agent/v1/agent.pb.h"

namespace consul::cli {
namespace {

class ForceLeaveCommand final : public Command {
 public:
  explicit ForceLeaveCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kAgentOnly);
    flags().AddBool("prune", &prune_, "Takes the member off the lists of members at once.");
    flags().AddBool("wan", &wan_, "Means a member of the WAN pool, by NAME.DATACENTER.");
  }

 private:
  std::string Usage() const override { return "consul force-leave [options] name"; }
  std::string Description() const override {
    return "  Makes a member that has failed one that has left, so that nobody tries to\n"
           "  reach it any more and its entries leave the catalog. A member that is alive\n"
           "  after all comes back by itself.";
  }

  int Execute(const std::vector<std::string>& args) override {
    if (args.size() != 1) return Fail("A single node name must be specified to force leave.");
    if (!IsText("node name", args.front())) return kExitError;
    agent::v1::ForceLeaveRequest request;
    request.set_node(args.front());
    request.set_prune(prune_);
    request.set_wan(wan_);
    agent::v1::ForceLeaveResponse response;
    const absl::Status called = api_.Connect(context())->Call(
        "consul.agent.v1.AgentService/ForceLeave", request, &response);
    if (!called.ok()) return Fail("Error force leaving", called);
    return kExitOk;
  }

  ApiFlags api_;
  bool prune_ = false;
  bool wan_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeForceLeaveCommand(const Context& context) {
  return std::make_unique<ForceLeaveCommand>(context);
}

}  // namespace consul::cli
