#include <ostream>

#include "cli/commands.h"
#include "consul/operators/v1/raft.pb.h"

namespace consul::cli {
namespace {

class OperatorRaftTransferLeaderCommand final : public Command {
 public:
  explicit OperatorRaftTransferLeaderCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kServerToo);
    flags().AddText("id", "string", &id_,
                    "The node id of the server that is to lead; without it the one whose log is "
                    "furthest.");
  }

 private:
  std::string Usage() const override { return "consul operator raft transfer-leader [options]"; }
  std::string Description() const override {
    return "  Makes another server the leader. The exit code is 0 when the old leader leads\n"
           "  no more.";
  }

  int Execute(const std::vector<std::string>&) override {
    if (!IsText("id", id_)) return kExitError;
    operators::v1::TransferLeaderRequest request;
    request.set_datacenter(api_.datacenter());
    request.set_id(id_);
    operators::v1::TransferLeaderResponse response;
    const absl::Status called = api_.Connect(context())->Call(
        "consul.operators.v1.RaftService/TransferLeader", request, &response);
    if (!called.ok()) return Fail("Error transferring leadership", called);
    out() << "Success\n";
    return kExitOk;
  }

  ApiFlags api_;
  std::string id_;
};

}  // namespace

std::unique_ptr<Command> MakeOperatorRaftTransferLeaderCommand(const Context& context) {
  return std::make_unique<OperatorRaftTransferLeaderCommand>(context);
}

}  // namespace consul::cli
