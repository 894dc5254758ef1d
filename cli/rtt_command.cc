#include <cstdio>
#include <optional>
#include <ostream>

#include "absl/status/statusor.h"
#include "cli/commands.h"
#include "consul/agent/v1/agent.pb.h"
#include "consul/coordinate/v1/coordinate.pb.h"
#include "services/agent/rtt.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

using coordinate::v1::Coordinate;
using coordinate::v1::NodeCoordinate;

// A node by name among those of a pool.
const Coordinate* Find(const google::protobuf::RepeatedPtrField<NodeCoordinate>& nodes,
                       std::string_view name) {
  for (const NodeCoordinate& each : nodes) {
    if (each.node() == name) return &each.coord();
  }
  return nullptr;
}

class RttCommand final : public Command {
 public:
  explicit RttCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kAgentOnly);
    flags().AddBool("wan", &wan_,
                    "Means servers in the WAN pool, by NAME.DATACENTER, instead of nodes of the "
                    "datacenter.");
  }

 private:
  std::string Usage() const override { return "consul rtt [options] node1 [node2]"; }
  std::string Description() const override {
    return "  Estimates the time that a packet takes from one node to another and back, by\n"
           "  the network coordinates of the two. Without a second node: to the agent.";
  }

  int Execute(const std::vector<std::string>& args) override {
    if (args.empty() || args.size() > 2) return Fail("One or two node names must be specified");
    const std::unique_ptr<Client> client = api_.Connect(context());
    std::vector<std::string> names = args;
    if (names.size() == 1) {
      absl::StatusOr<std::string> own = OwnName(client.get());
      if (!own.ok()) return Fail("Unable to look up agent info", own.status());
      names.push_back(*std::move(own));
    }
    if (wan_) {
      for (const std::string& name : names) {
        if (name.find('.') == std::string::npos) {
          return Fail("Node names must be specified as <node name>.<datacenter> with -wan");
        }
      }
    }
    absl::StatusOr<std::vector<std::optional<Coordinate>>> places = Places(client.get(), names);
    if (!places.ok()) return Fail("Error getting coordinates", places.status());
    for (size_t i = 0; i < names.size(); ++i) {
      if (places->at(i).has_value()) continue;
      return Fail(base::StrCat("Could not find a coordinate for node \"", names[i], "\""));
    }
    const auto rtt = agent::EstimateRtt(*places->at(0), *places->at(1));
    if (!rtt.has_value()) return Fail("The coordinates of the two cannot be compared");
    char milliseconds[32];
    std::snprintf(milliseconds, sizeof(milliseconds), "%.3f",
                  static_cast<double>(rtt->count()) / 1e6);
    out() << "Estimated " << names[0] << " <-> " << names[1] << " rtt: " << milliseconds
          << " ms (using " << (wan_ ? "WAN" : "LAN") << " coordinates)\n";
    return kExitOk;
  }

  absl::StatusOr<std::string> OwnName(Client* client) const {
    agent::v1::GetSelfResponse self;
    const absl::Status called = client->Call("consul.agent.v1.AgentService/GetSelf",
                                             agent::v1::GetSelfRequest(), &self);
    if (!called.ok()) return called;
    const std::string& name = self.config().node_name();
    return wan_ ? base::StrCat(name, ".", self.config().datacenter()) : name;
  }

  // The coordinate of each name, where there is one.
  absl::StatusOr<std::vector<std::optional<Coordinate>>> Places(
      Client* client, const std::vector<std::string>& names) const {
    std::vector<std::optional<Coordinate>> places;
    const auto add = [&places](const Coordinate* found) {
      places.push_back(found == nullptr ? std::nullopt : std::optional<Coordinate>(*found));
    };
    if (wan_) {
      coordinate::v1::ListDatacentersResponse response;
      const absl::Status called =
          client->Call("consul.coordinate.v1.CoordinateService/ListDatacenters",
                       coordinate::v1::ListDatacentersRequest(), &response);
      if (!called.ok()) return called;
      for (const std::string& name : names) add(FindWan(response, name));
      return places;
    }
    coordinate::v1::ListNodesResponse response;
    const absl::Status called =
        client->Call("consul.coordinate.v1.CoordinateService/ListNodes",
                     coordinate::v1::ListNodesRequest(), &response);
    if (!called.ok()) return called;
    for (const std::string& name : names) add(Find(response.nodes(), name));
    return places;
  }

  static const Coordinate* FindWan(const coordinate::v1::ListDatacentersResponse& response,
                                   const std::string& name) {
    const size_t dot = name.rfind('.');
    for (const auto& group : response.datacenters()) {
      if (group.datacenter() != std::string_view(name).substr(dot + 1)) continue;
      return Find(group.coordinates(), std::string_view(name).substr(0, dot));
    }
    return nullptr;
  }

  ApiFlags api_;
  bool wan_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeRttCommand(const Context& context) {
  return std::make_unique<RttCommand>(context);
}

}  // namespace consul::cli
