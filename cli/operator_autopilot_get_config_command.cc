#include <ostream>

#include "cli/commands.h"
#include "consul/operators/v1/autopilot.pb.h"
#include "services/base/duration.h"

namespace consul::cli {
namespace {

std::string Text(const google::protobuf::Duration& duration) {
  return base::FormatDuration(std::chrono::seconds(duration.seconds()) +
                              std::chrono::nanoseconds(duration.nanos()));
}

class OperatorAutopilotGetConfigCommand final : public Command {
 public:
  explicit OperatorAutopilotGetConfigCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kServerToo);
  }

 private:
  std::string Usage() const override { return "consul operator autopilot get-config [options]"; }
  std::string Description() const override { return "  Shows what autopilot goes by."; }

  int Execute(const std::vector<std::string>&) override {
    operators::v1::GetAutopilotConfigurationRequest request;
    request.set_datacenter(api_.datacenter());
    operators::v1::GetAutopilotConfigurationResponse response;
    const absl::Status called = api_.Connect(context())->Call(
        "consul.operators.v1.AutopilotService/GetAutopilotConfiguration", request, &response);
    if (!called.ok()) return Fail("Error querying Autopilot configuration", called);
    const operators::v1::AutopilotConfiguration& configuration = response.configuration();
    const auto truth = [](bool value) { return value ? "true" : "false"; };
    out() << "CleanupDeadServers = " << truth(configuration.cleanup_dead_servers())
          << "\nLastContactThreshold = " << Text(configuration.last_contact_threshold())
          << "\nMaxTrailingLogs = " << configuration.max_trailing_logs()
          << "\nMinQuorum = " << configuration.min_quorum()
          << "\nServerStabilizationTime = " << Text(configuration.server_stabilization_time())
          << "\nRedundancyZoneTag = \"" << configuration.redundancy_zone_tag()
          << "\"\nDisableUpgradeMigration = " << truth(configuration.disable_upgrade_migration())
          << "\nUpgradeVersionTag = \"" << configuration.upgrade_version_tag() << "\"\n";
    return kExitOk;
  }

  ApiFlags api_;
};

}  // namespace

std::unique_ptr<Command> MakeOperatorAutopilotGetConfigCommand(const Context& context) {
  return std::make_unique<OperatorAutopilotGetConfigCommand>(context);
}

}  // namespace consul::cli
