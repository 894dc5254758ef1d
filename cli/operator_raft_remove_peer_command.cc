#include <ostream>

#include "cli/commands.h"
#include "consul/operators/v1/raft.pb.h"

namespace consul::cli {
namespace {

class OperatorRaftRemovePeerCommand final : public Command {
 public:
  explicit OperatorRaftRemovePeerCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kServerToo);
    flags().AddText("address", "string", &address_, "The server's address, as IP:port.");
    flags().AddText("id", "string", &id_, "The server's node id.");
  }

 private:
  std::string Usage() const override { return "consul operator raft remove-peer [options]"; }
  std::string Description() const override {
    return "  Removes a server from those that take part in consensus. That is for a server\n"
           "  that is gone and was left behind there. Where \"consul members\" still shows it,\n"
           "  \"consul force-leave\" is better: it removes the server everywhere. A server\n"
           "  that is alive is added again soon.";
  }

  int Execute(const std::vector<std::string>&) override {
    if (id_.empty() && address_.empty()) {
      return Fail("Error removing peer: an address or id is required for the peer to remove");
    }
    if (!id_.empty() && !address_.empty()) {
      return Fail("Error removing peer: cannot give both an address and id");
    }
    if (!IsText("id", id_) || !IsText("address", address_)) return kExitError;
    operators::v1::RemoveRaftPeerRequest request;
    request.set_datacenter(api_.datacenter());
    request.set_id(id_);
    request.set_address(address_);
    operators::v1::RemoveRaftPeerResponse response;
    const absl::Status called = api_.Connect(context())->Call(
        "consul.operators.v1.RaftService/RemoveRaftPeer", request, &response);
    if (!called.ok()) return Fail("Error removing peer", called);
    out() << "Removed peer with " << (id_.empty() ? "address" : "id") << " \""
          << (id_.empty() ? address_ : id_) << "\"\n";
    return kExitOk;
  }

  ApiFlags api_;
  std::string address_;
  std::string id_;
};

}  // namespace

std::unique_ptr<Command> MakeOperatorRaftRemovePeerCommand(const Context& context) {
  return std::make_unique<OperatorRaftRemovePeerCommand>(context);
}

}  // namespace consul::cli
