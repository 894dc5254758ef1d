#include <chrono>
#include <ostream>

#include "cli/commands.h"
#include "cli/json_text.h"
#include "consul/operators/v1/autopilot.pb.h"
#include "gateway/transcode/json_plan.h"
#include "gateway/transcode/json_text.h"
#include "services/base/duration.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

using operators::v1::GetAutopilotStateResponse;
using operators::v1::ServerState;

const char* StatusText(agent::v1::MemberStatus status) {
  switch (status) {
    case agent::v1::MEMBER_STATUS_ALIVE: return "alive";
    case agent::v1::MEMBER_STATUS_LEAVING: return "leaving";
    case agent::v1::MEMBER_STATUS_LEFT: return "left";
    case agent::v1::MEMBER_STATUS_FAILED: return "failed";
    default: return "none";
  }
}

const char* RoleText(operators::v1::ServerStatus status) {
  switch (status) {
    case operators::v1::SERVER_STATUS_LEADER: return "leader";
    case operators::v1::SERVER_STATUS_VOTER: return "voter";
    case operators::v1::SERVER_STATUS_NON_VOTER: return "non-voter";
    default: return "none";
  }
}

std::string ServerText(const ServerState& server) {
  const std::chrono::nanoseconds contact = std::chrono::seconds(server.last_contact().seconds()) +
                                           std::chrono::nanoseconds(server.last_contact().nanos());
  std::string text = base::StrCat(
      "   ", server.id(), "\n      Name:            ", server.name(),
      "\n      Address:         ", server.address(), "\n      Version:         ",
      server.version(), "\n      Status:          ", RoleText(server.status()),
      "\n      Node Status:     ", StatusText(server.node_status()), "\n      Healthy:         ",
      server.healthy() ? "true" : "false", "\n      Last Contact:    ",
      base::FormatDuration(contact), "\n      Last Term:       ", server.last_term(),
      "\n      Last Index:      ", server.last_index(), "\n      Meta\n");
  for (const auto& tag : server.meta()) {
    base::StrAppend(&text, "         ", JsonString(tag.key()), ": ", JsonString(tag.value()), "\n");
  }
  return text;
}

std::string Pretty(const GetAutopilotStateResponse& state) {
  std::string text = base::StrCat(
      "Healthy:                      ", state.healthy() ? "true" : "false",
      "\nFailure Tolerance:            ", state.failure_tolerance(),
      "\nLeader:                       ", state.leader(), "\nVoters:\n");
  for (const std::string& id : state.voters()) base::StrAppend(&text, "   ", id, "\n");
  base::StrAppend(&text, "Servers:\n");
  for (const auto& server : state.servers()) text += ServerText(server.value());
  return text;
}

// The same JSON as /v1/operator/autopilot/state?pretty.
std::string Json(const GetAutopilotStateResponse& state) {
  gateway::JsonPlans plans;
  std::string compact;
  gateway::AppendJson(*plans.Of(GetAutopilotStateResponse::descriptor()), state, &compact);
  std::string text;
  gateway::AppendIndented(compact, &text);
  return text + "\n";
}

class OperatorAutopilotStateCommand final : public Command {
 public:
  explicit OperatorAutopilotStateCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kServerToo);
    flags().AddText("format", "string", &format_,
                    "How to print the state: pretty (the default) or json.");
  }

 private:
  std::string Usage() const override { return "consul operator autopilot state [options]"; }
  std::string Description() const override {
    return "  Shows how the servers are that take part in consensus, as the leader knows it.";
  }

  int Execute(const std::vector<std::string>&) override {
    if (format_ != "pretty" && format_ != "json") {
      return Fail(base::StrCat("Unknown format: ", format_));
    }
    operators::v1::GetAutopilotStateRequest request;
    request.set_datacenter(api_.datacenter());
    GetAutopilotStateResponse response;
    const absl::Status called = api_.Connect(context())->Call(
        "consul.operators.v1.AutopilotService/GetAutopilotState", request, &response);
    if (!called.ok()) return Fail("Error querying Autopilot state", called);
    out() << (format_ == "json" ? Json(response) : Pretty(response));
    return kExitOk;
  }

  ApiFlags api_;
  std::string format_ = "pretty";
};

}  // namespace

std::unique_ptr<Command> MakeOperatorAutopilotStateCommand(const Context& context) {
  return std::make_unique<OperatorAutopilotStateCommand>(context);
}

}  // namespace consul::cli
