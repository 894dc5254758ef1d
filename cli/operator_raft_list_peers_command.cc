#include <algorithm>
#include <ostream>

#include "cli/commands.h"
#include "cli/table.h"
#include "consul/operators/v1/raft.pb.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

using operators::v1::RaftServer;

class OperatorRaftListPeersCommand final : public Command {
 public:
  explicit OperatorRaftListPeersCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kServerToo);
    flags().AddBool("detailed", &detailed_,
                    "Shows how far the log of each server is, as the leader knows it.");
  }

 private:
  std::string Usage() const override { return "consul operator raft list-peers [options]"; }
  std::string Description() const override {
    return "  Lists the servers that take part in consensus. With -stale the server that is\n"
           "  asked answers by itself, which needs no leader.";
  }

  int Execute(const std::vector<std::string>&) override {
    operators::v1::GetRaftConfigurationRequest request;
    request.set_datacenter(api_.datacenter());
    request.set_stale(api_.stale());
    operators::v1::GetRaftConfigurationResponse response;
    const absl::Status called = api_.Connect(context())->Call(
        "consul.operators.v1.RaftService/GetRaftConfiguration", request, &response);
    if (!called.ok()) {
      return Fail("Error getting peers: Failed to retrieve raft configuration", called);
    }
    uint64_t leader_index = 0;
    for (const RaftServer& server : response.servers()) {
      if (server.leader()) leader_index = server.last_index();
    }
    std::vector<std::vector<std::string>> rows = {
        {"Node", "ID", "Address", "State", "Voter", "RaftProtocol"}};
    if (detailed_) rows[0].insert(rows[0].end(), {"Last Index", "Trails Leader By"});
    for (const RaftServer& server : response.servers()) {
      auto& row = rows.emplace_back(std::vector<std::string>{
          server.node(), server.id(), server.address(), server.leader() ? "leader" : "follower",
          server.voter() ? "true" : "false", server.protocol_version()});
      if (!detailed_) continue;
      const uint64_t behind = leader_index - std::min(leader_index, server.last_index());
      row.push_back(base::StrCat(server.last_index()));
      row.push_back(server.leader() ? "-" : base::StrCat(behind, " entries"));
    }
    out() << Table(rows);
    return kExitOk;
  }

  ApiFlags api_;
  bool detailed_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeOperatorRaftListPeersCommand(const Context& context) {
  return std::make_unique<OperatorRaftListPeersCommand>(context);
}

}  // namespace consul::cli
