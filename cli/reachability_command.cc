#include <algorithm>
#include <cstdio>
#include <ostream>
#include <set>

#include "cli/commands.h"
#include "consul/agent/v1/agent.pb.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

using agent::v1::ProbeReachabilityResponse;
using agent::v1::ReachabilityAck;

std::string Seconds(const google::protobuf::Duration& duration) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f",
                static_cast<double>(duration.seconds()) +
                    static_cast<double>(duration.nanos()) / 1e9);
  return text;
}

constexpr std::string_view kTips =
    "\nTroubleshooting tips:\n"
    "* Every agent has to reach the address and port of every other one's gossip,\n"
    "  by UDP and by TCP\n"
    "* An advertised address has to lead to the one that is bound\n"
    "* No agent may be behind a network address translation that others are not\n"
    "  behind\n"
    "* Firewalls have to let the gossip ports through, in both directions\n";

class ReachabilityCommand final : public Command {
 public:
  explicit ReachabilityCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kAgentOnly);
    flags().AddBool("verbose", &verbose_, "Shows every answer, and how long it took.");
    flags().AddBool("wan", &wan_, "Asks the members of the WAN pool, of a server.");
  }

 private:
  std::string Usage() const override { return "consul reachability [options]"; }
  std::string Description() const override {
    return "  Tests which members the agent reaches: it asks all of them by gossip whether\n"
           "  they hear it. Members that are alive and do not answer, and members that are\n"
           "  thought to be gone and do, are named, and the exit code is 1.";
  }

  int Execute(const std::vector<std::string>& args) override {
    if (!args.empty()) return Fail("Too many command line arguments.");
    agent::v1::ProbeReachabilityRequest request;
    request.set_wan(wan_);
    ProbeReachabilityResponse response;
    out() << "Starting reachability test...\n" << std::flush;
    const absl::Status called = api_.Connect(context())->Call(
        "consul.agent.v1.AgentService/ProbeReachability", request, &response);
    if (!called.ok()) return Fail("Error probing reachability", called);
    if (verbose_) ShowAnswers(response);
    return Judge(response);
  }

  void ShowAnswers(const ProbeReachabilityResponse& response) const {
    for (const ReachabilityAck& ack : response.acks()) {
      out() << "\tAck from '" << ack.node() << "', time: " << Seconds(ack.after()) << " sec\n";
    }
    const google::protobuf::Duration last =
        response.acks().empty() ? response.took() : response.acks().rbegin()->after();
    out() << "Query time: " << Seconds(response.took())
          << " sec, time to last response: " << Seconds(last) << " sec\n";
  }

  int Judge(const ProbeReachabilityResponse& response) const {
    std::set<std::string> missing(response.live().begin(), response.live().end());
    std::set<std::string> unexpected;
    for (const ReachabilityAck& ack : response.acks()) {
      if (missing.erase(ack.node()) == 0) unexpected.insert(ack.node());
    }
    if (missing.empty() && unexpected.empty()) {
      out() << "Successfully contacted all live nodes\n";
      return kExitOk;
    }
    Name("Missing acks from:", missing);
    Name("Acks from members that are not alive:", unexpected);
    out() << kTips;
    return kExitError;
  }

  void Name(std::string_view title, const std::set<std::string>& members) const {
    if (members.empty()) return;
    out() << title << "\n";
    for (const std::string& member : members) out() << "\t" << member << "\n";
  }

  ApiFlags api_;
  bool verbose_ = false;
  bool wan_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeReachabilityCommand(const Context& context) {
  return std::make_unique<ReachabilityCommand>(context);
}

}  // namespace consul::cli
