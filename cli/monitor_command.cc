#include <algorithm>
#include <cctype>
#include <optional>
#include <ostream>

#include "cli/commands.h"
#include "consul/agent/v1/agent.pb.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

std::optional<agent::v1::LogLevel> ParseLevel(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (text == "TRACE") return agent::v1::LOG_LEVEL_TRACE;
  if (text == "DEBUG") return agent::v1::LOG_LEVEL_DEBUG;
  if (text == "INFO") return agent::v1::LOG_LEVEL_INFO;
  if (text == "WARN") return agent::v1::LOG_LEVEL_WARN;
  if (text == "ERR" || text == "ERROR") return agent::v1::LOG_LEVEL_ERROR;
  return std::nullopt;
}

class MonitorCommand final : public Command {
 public:
  explicit MonitorCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kAgentOnly);
    flags().AddText("log-level", "string", &level_,
                    "The least level of the lines to show: trace, debug, info, warn or err. The "
                    "default is info.");
  }

 private:
  std::string Usage() const override { return "consul monitor [options]"; }
  std::string Description() const override {
    return "  Shows the log lines of an agent as they are written, until it is interrupted.\n"
           "  The level may be below the agent's own: an agent that writes INFO to its own\n"
           "  output still shows DEBUG here.";
  }

  int Execute(const std::vector<std::string>&) override {
    const std::optional<agent::v1::LogLevel> level = ParseLevel(level_);
    if (!level.has_value()) {
      return Fail(base::StrCat("Invalid log level: ", level_,
                               ". Valid log levels are: [TRACE DEBUG INFO WARN ERR ERROR]"));
    }
    agent::v1::MonitorRequest request;
    request.set_log_level(*level);
    agent::v1::MonitorResponse response;
    if (context().interrupted()) return kExitOk;  // the first question also begins the watch
    const absl::Status called = api_.Connect(context())->Stream(
        "consul.agent.v1.AgentService/Monitor", request, &response,
        [this, &response] { out() << response.line() << std::endl; },
        [this] { return context().interrupted() || !out().good(); });
    // An agent that shuts down cuts its streams off.
    const bool cut_off = absl::IsUnavailable(called) && !IsConnectFailure(called);
    if (!called.ok() && !cut_off) return Fail("Error monitoring the agent", called);
    if (!context().interrupted() && out().good()) {
      err() << "Remote side ended the monitor! This usually means that the agent has shut down.\n";
    }
    return kExitOk;
  }

  ApiFlags api_;
  std::string level_ = "INFO";
};

}  // namespace

std::unique_ptr<Command> MakeMonitorCommand(const Context& context) {
  return std::make_unique<MonitorCommand>(context);
}

}  // namespace consul::cli
