#include <chrono>
#include <optional>
#include <ostream>

#include "cli/commands.h"
#include "consul/operators/v1/autopilot.pb.h"
#include "services/base/duration.h"

namespace consul::cli {
namespace {

using operators::v1::AutopilotConfiguration;

void Set(std::chrono::nanoseconds duration, google::protobuf::Duration* out) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
  out->set_seconds(seconds.count());
  out->set_nanos(static_cast<int32_t>((duration - seconds).count()));
}

class OperatorAutopilotSetConfigCommand final : public Command {
 public:
  explicit OperatorAutopilotSetConfigCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kServerToo);
    flags().AddBool("cleanup-dead-servers", &cleanup_dead_servers_,
                    "Whether servers that have failed are removed, while they are a minority: "
                    "-cleanup-dead-servers=true or =false.");
    AddDuration("last-contact-threshold", "200ms", &last_contact_threshold_,
                "A server that the leader has not heard for longer is not healthy.");
    flags().AddUint("max-trailing-logs", &max_trailing_logs_,
                    "A server that lacks more entries of the log is not healthy.");
    flags().AddUint("min-quorum", &min_quorum_,
                    "So many voters stay, whoever has failed.");
    AddDuration("server-stabilization-time", "10s", &server_stabilization_time_,
                "So long a new server has to be healthy before it votes.");
  }

 private:
  void AddDuration(const std::string& name, const std::string& placeholder,
                   std::chrono::nanoseconds* out, const std::string& help) {
    flags().Add(FlagGroup::kCommand, name, placeholder, help, [out](std::string_view text) {
      const absl::StatusOr<std::chrono::nanoseconds> parsed = base::ParseDuration(text);
      if (parsed.ok()) *out = *parsed;
      return parsed.status();
    });
  }

  std::string Usage() const override { return "consul operator autopilot set-config [options]"; }
  std::string Description() const override {
    return "  Changes what autopilot goes by. What no option names stays as it is.";
  }

  int Execute(const std::vector<std::string>&) override {
    const std::unique_ptr<Client> client = api_.Connect(context());
    operators::v1::GetAutopilotConfigurationRequest get;
    get.set_datacenter(api_.datacenter());
    operators::v1::GetAutopilotConfigurationResponse now;
    absl::Status called = client->Call(
        "consul.operators.v1.AutopilotService/GetAutopilotConfiguration", get, &now);
    if (!called.ok()) return Fail("Error querying Autopilot configuration", called);
    operators::v1::SetAutopilotConfigurationRequest set;
    if (!api_.datacenter().empty()) set.mutable_options()->set_datacenter(api_.datacenter());
    *set.mutable_configuration() = now.configuration();
    set.set_cas(now.configuration().modify_index());
    if (!Change(set.mutable_configuration())) return kExitError;
    operators::v1::SetAutopilotConfigurationResponse response;
    called = client->Call("consul.operators.v1.AutopilotService/SetAutopilotConfiguration", set,
                          &response);
    if (!called.ok()) return Fail("Error setting Autopilot configuration", called);
    if (!response.applied()) {
      return Fail("Configuration could not be atomically updated, please try again");
    }
    out() << "Configuration updated!\n";
    return kExitOk;
  }

  // Standard error says why it returns false.
  bool Change(AutopilotConfiguration* configuration) {
    if (min_quorum_ > UINT32_MAX) {
      Fail("Error setting Autopilot configuration: -min-quorum is too large");
      return false;
    }
    if (flags().WasSet("cleanup-dead-servers")) {
      configuration->set_cleanup_dead_servers(cleanup_dead_servers_);
    }
    if (flags().WasSet("last-contact-threshold")) {
      Set(last_contact_threshold_, configuration->mutable_last_contact_threshold());
    }
    if (flags().WasSet("max-trailing-logs")) {
      configuration->set_max_trailing_logs(max_trailing_logs_);
    }
    if (flags().WasSet("min-quorum")) {
      configuration->set_min_quorum(static_cast<uint32_t>(min_quorum_));
    }
    if (flags().WasSet("server-stabilization-time")) {
      Set(server_stabilization_time_, configuration->mutable_server_stabilization_time());
    }
    return true;
  }

  ApiFlags api_;
  bool cleanup_dead_servers_ = false;
  std::chrono::nanoseconds last_contact_threshold_{0};
  uint64_t max_trailing_logs_ = 0;
  uint64_t min_quorum_ = 0;
  std::chrono::nanoseconds server_stabilization_time_{0};
};

}  // namespace

std::unique_ptr<Command> MakeOperatorAutopilotSetConfigCommand(const Context& context) {
  return std::make_unique<OperatorAutopilotSetConfigCommand>(context);
}

}  // namespace consul::cli
