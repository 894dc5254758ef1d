#include "cli/gateway_process.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <utility>

#include "cli/faces.h"
#include "cli/gate.h"
#include "cli/process.h"
#include "cli/settings_watch.h"
#include "cli/signals.h"
#include "services/base/duration.h"
#include "services/base/log.h"
#include "services/base/strings.h"
#include "services/rpc/channel_backend.h"

namespace consul::cli {
namespace {

using agent::v1::GatewaySettings;
using Clock = SettingsWatch::Clock;
using google::protobuf::util::MessageDifferencer;

// An agent that is there has answered by then, on a busy machine too: the banner then stands for a
// gateway that serves. Longer than that, and it is said that none answers.
constexpr std::chrono::milliseconds kFirstAnswerWait{1000};

std::string Shown(const std::optional<agent::config::Endpoint>& endpoint) {
  return endpoint.has_value() ? base::StrCat("'", endpoint->ToString(), "'") : "off";
}

std::chrono::nanoseconds Nanoseconds(const google::protobuf::Duration& duration) {
  constexpr int64_t kSecondsMax = rpc::kAgentTimeMax / std::chrono::seconds(1);
  return std::chrono::seconds(std::clamp<int64_t>(duration.seconds(), 0, kSecondsMax)) +
         std::chrono::nanoseconds(duration.nanos());
}

rpc::AgentTimes TimesOf(const agent::v1::CallSettings& calls) {
  const auto milliseconds = [](const google::protobuf::Duration& duration) {
    return std::chrono::ceil<std::chrono::milliseconds>(Nanoseconds(duration));
  };
  return {.hold = milliseconds(calls.rpc_hold_timeout()),
          .wait_default = milliseconds(calls.default_query_time()),
          .wait_max = milliseconds(calls.max_query_time())};
}

// For the log.
std::string Described(const GatewaySettings& settings) {
  const agent::v1::DnsSettings& dns = settings.dns();
  const auto text = [](const google::protobuf::Duration& duration) {
    return base::FormatDuration(Nanoseconds(duration));
  };
  return base::StrCat(
      "datacenter=", settings.datacenter(), " domain=", dns.domain(),
      " alt_domain=", dns.alt_domain(), " node_ttl=", text(dns.node_ttl()),
      " allow_stale=", dns.allow_stale() ? "true" : "false",
      " soa.refresh=", text(dns.soa().refresh()), " soa.retry=", text(dns.soa().retry()),
      " soa.expire=", text(dns.soa().expire()), " soa.min_ttl=", text(dns.soa().min_ttl()),
      " http_max_conns_per_client=", settings.http().connections_per_client_max(),
      " kv_max_value_size=", settings.http().kv_value_bytes_max(),
      " rpc_hold_timeout=", text(settings.calls().rpc_hold_timeout()),
      " default_query_time=", text(settings.calls().default_query_time()),
      " max_query_time=", text(settings.calls().max_query_time()));
}

class GatewayProcess {
 public:
  explicit GatewayProcess(const GatewayOptions& options)
      : options_(options),
        logger_(base::LogLevel::kInfo),
        channel_(options.rpc_address, {}),
        missed_(absl::UnavailableError(
            base::StrCat("the agent at ", options.rpc_address, " has not told its settings yet"))),
        gate_(&channel_, missed_),
        faces_(&gate_, &logger_),
        watch_(&channel_, [this] { signals_.Request(); },
               [this](SettingsWatch::Answer answer) { Hear(std::move(answer)); }) {}

  int Run() {
    Print("==> Starting Consul gateway...");
    FacesOptions faces;
    if (options_.http_listen.has_value()) faces.http_listen = {*options_.http_listen};
    faces.rpc_address = options_.rpc_address;
    if (options_.dns_listen.has_value()) faces.dns_listen = {*options_.dns_listen};
    if (absl::Status status = faces_.Start(faces); !status.ok()) {
      PrintError(base::StrCat("==> Error starting gateway: ", base::ToStd(status.message())));
      return 1;
    }
    bool goes_on = true;
    const Clock::time_point banner_at = Clock::now() + kFirstAnswerWait;
    while (goes_on && !gate_.open() && Clock::now() < banner_at) goes_on = Turn(banner_at);
    if (goes_on) PrintBanner();
    SayWhatIsMissed();
    banner_printed_ = true;
    logger_.Release();
    while (goes_on) goes_on = Turn(Clock::time_point::max());
    faces_.Stop();
    return 0;
  }

 private:
  // Does what there is to do, then waits for more, until `limit` at most. False: the end was asked
  // for.
  bool Turn(Clock::time_point limit) {
    const Clock::time_point until = std::min(watch_.Turn(Clock::now()).value_or(limit), limit);
    std::optional<std::chrono::milliseconds> timeout;
    if (until != Clock::time_point::max()) {
      const auto rest = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
      timeout = std::max(rest, std::chrono::milliseconds(0));
    }
    const std::optional<Signals::Kind> kind = signals_.Wait(timeout);
    return kind != Signals::Kind::kInterrupt && kind != Signals::Kind::kTerminate;
  }

  void PrintBanner() const {
    Print("==> Consul gateway running!");
    Print(base::StrCat("         Agent RPC: '", options_.rpc_address, "'"));
    Print(base::StrCat("         HTTP addr: ", Shown(options_.http_listen)));
    Print(base::StrCat("          DNS addr: ", Shown(options_.dns_listen)));
    Print("");
    Print("==> Log data will now stream in as it occurs:");
    Print("");
  }

  void Hear(SettingsWatch::Answer answer) {
    absl::Status status = answer.status();
    if (status.ok()) {
      if (options_.datacenter.has_value()) answer->set_datacenter(*options_.datacenter);
      if (options_.domain.has_value()) answer->mutable_dns()->set_domain(*options_.domain);
      if (!gate_.open() || !MessageDifferencer::Equals(*answer, settings_)) {
        status = faces_.Apply(*answer);
        if (status.ok()) Take(*std::move(answer));
      } else if (!missed_.ok()) {
        logger_.Info("gateway", base::StrCat("the agent at ", options_.rpc_address,
                                             " answers again, with the settings that it had"));
      }
    }
    if (!gate_.open()) gate_.Close(Why(status));
    const bool is_news = status.code() != missed_.code();
    missed_ = status;
    if (is_news && banner_printed_) SayWhatIsMissed();
  }

  void Take(GatewaySettings settings) {
    channel_.SetTimes(TimesOf(settings.calls()));
    gate_.Open();
    logger_.Info("gateway", base::StrCat("settings of the agent at ", options_.rpc_address, ": ",
                                         Described(settings)));
    settings_ = std::move(settings);
  }

  // Why there are no settings, as clients and the log are told it.
  absl::Status Why(const absl::Status& status) const {
    // When no agent answers, the channel says so, with the address.
    if (absl::IsUnavailable(status)) return absl::UnavailableError(status.message());
    return absl::UnavailableError(
        base::StrCat("the agent at ", options_.rpc_address,
                     " tells no settings that can be served: ", status.ToString()));
  }

  void SayWhatIsMissed() {
    if (missed_.ok()) return;
    logger_.Warn("gateway",
                 base::StrCat(base::ToStd(Why(missed_).message()),
                              gate_.open()
                                  ? "; its last settings stay in force"
                                  : "; until it does, HTTP answers 500 and DNS SERVFAIL"));
  }

  const GatewayOptions options_;
  Signals signals_;
  base::Logger logger_;
  rpc::ChannelBackend channel_;
  // Why there are no settings from the last question; OK when there are.
  absl::Status missed_;
  Gate gate_;
  Faces faces_;
  // In force; empty until the agent has told them.
  GatewaySettings settings_;
  bool banner_printed_ = false;
  SettingsWatch watch_;
};

}  // namespace

int RunGateway(const GatewayOptions& options) {
  RaiseFileLimit();
  return GatewayProcess(options).Run();
}

}  // namespace consul::cli
