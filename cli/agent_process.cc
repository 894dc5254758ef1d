#include "cli/agent_process.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "cli/faces.h"
#include "cli/process.h"
#include "cli/signals.h"
#include "services/agent/agent.h"
#include "services/agent/self.h"
#include "services/agent/config/addresses.h"
#include "services/base/log.h"
#include "services/base/strings.h"
#include "services/rpc/grpc_server.h"

namespace consul::cli {
namespace {

using agent::config::Config;
using agent::config::Endpoint;
using namespace std::chrono_literals;

// For a leave to end in: five seconds for a leader to be found, the rest to tell the pools.
constexpr auto kLeaveLimit = 15s;
// For everything to be ended in order. Longer than that is a disk that does not answer: what was
// acknowledged is on it already.
constexpr auto kStopLimit = 15s;
// How often somebody who waits for something else looks for a signal.
constexpr auto kSignalPoll = 5ms;

// Ends the process `limit` from now, whatever still waits; `error` is said then, unless empty.
void EndAfter(std::chrono::seconds limit, const std::string& error) {
  std::thread([limit, error] {
    std::this_thread::sleep_for(limit);
    if (!error.empty()) PrintError(error);
    Print(base::StrCat("==> The agent did not end within ", limit.count(), "s"));
    std::_Exit(1);
  }).detach();
}

std::string Listed(const std::vector<Endpoint>& endpoints) {
  if (endpoints.empty()) return "off";
  std::string list;
  for (const Endpoint& endpoint : endpoints) {
    if (!list.empty()) list += "', '";
    list += endpoint.ToString();
  }
  return base::StrCat("'", list, "'");
}

// Where this process connects to reach what listens at `endpoint`.
Endpoint Reachable(Endpoint endpoint) {
  if (agent::config::IsWildcard(endpoint.address)) {
    endpoint.address = agent::config::IsIpV6Address(endpoint.address) ? "::1" : "127.0.0.1";
  }
  return endpoint;
}

// One agent's process, from the banner to the end.
class AgentProcess {
 public:
  explicit AgentProcess(const agent::config::Loaded& loaded)
      : config_(loaded.config), warnings_(loaded.warnings), logger_(config_.log_level) {}

  int Run() {
    if (absl::Status status = OpenOrEnd(); !status.ok()) return CannotStart(status);
    // From here on it is an agent to others, whoever it still waits for: it ends as one.
    std::future<absl::Status> joined = std::async(std::launch::async, [this] { return Join(); });
    std::optional<bool> left = EndWhile(joined);
    if (!left.has_value()) {
      if (absl::Status status = joined.get(); !status.ok()) return CannotStart(status);
      agent_->KeepJoining();
      PrintBanner();
      logger_.Release();
      while (!left.has_value()) left = EndBy(*signals_.Wait());
    }
    // A join that still waits ends with the agent.
    Stop();
    logger_.Info("agent", "shutdown complete");
    return *left ? 0 : 1;
  }

 private:
  int CannotStart(const absl::Status& status) {
    // Behind what the log still says, so that it is the last that is read.
    const std::string error =
        base::StrCat("==> Error starting agent: ", base::ToStd(status.message()));
    Stop(error);
    PrintError(error);
    return 1;
  }

  // Opens agent and faces, unless the user says meanwhile that it is to end: a long log may be
  // read. Whoever else asks for the end waits until it is open.
  absl::Status OpenOrEnd() {
    std::future<absl::Status> opened = std::async(std::launch::async, [this] { return Open(); });
    bool asked = false;
    while (opened.wait_for(kSignalPoll) != std::future_status::ready) {
      const std::optional<Signals::Kind> kind = signals_.Wait(0ms);
      if (!kind.has_value()) continue;
      switch (*kind) {
        case Signals::Kind::kInterrupt:
          EndBeforeStart("interrupt");
        case Signals::Kind::kTerminate:
          EndBeforeStart("terminated");
        case Signals::Kind::kHangUp:
          SayHangUp();
          break;
        case Signals::Kind::kRequest:
        case Signals::Kind::kFailure:
          asked = true;
          break;
      }
    }
    if (asked) signals_.Request();
    return opened.get();
  }

  // What was acknowledged is on disk, and who has not started has nothing to leave in order.
  [[noreturn]] void EndBeforeStart(std::string_view signal) {
    logger_.Release();
    Print(base::StrCat("==> Caught signal: ", signal));
    PrintError("==> The agent did not start: told to end at once");
    std::fflush(nullptr);
    std::_Exit(1);
  }

  absl::Status Open() {
    if (config_.bootstrap) {
      Print("==> WARNING: Bootstrap mode enabled! Do not enable unless necessary");
    }
    for (const std::string& warning : warnings_) Print(base::StrCat("==> WARNING: ", warning));
    Print("==> Starting Consul agent...");
    agent::AgentCallbacks callbacks;
    callbacks.leave_asked = [this] { signals_.Request(); };
    callbacks.failed = [this] { signals_.Fail(); };
    auto agent = agent::Agent::Start(config_, &logger_, std::move(callbacks));
    if (!agent.ok()) return agent.status();
    agent_ = *std::move(agent);
    Print("==> Starting Consul agent RPC...");
    if (absl::Status status = StartRpc(); !status.ok()) return status;
    FacesOptions faces;
    faces.http_listen = config_.http_listen;
    faces.dns_listen = config_.dns_listen;
    faces.settings = agent::GatewaySettings(config_);
    if (grpc_ != nullptr) faces.rpc_address = Reachable(config_.rpc_listen.front()).ToString();
    faces_ = std::make_unique<Faces>(agent_->backend(), &logger_);
    return faces_->Start(faces);
  }

  // As the configuration says; without anybody who answers there is no agent.
  absl::Status Join() {
    if (config_.lan.start_join.empty() && config_.wan.start_join.empty()) return absl::OkStatus();
    Print("==> Joining cluster...");
    const absl::StatusOr<uint32_t> joined = agent_->JoinAtStart();
    if (!joined.ok()) return joined.status();
    Print(base::StrCat("    Join completed. Synced with ", *joined, " initial agents"));
    return absl::OkStatus();
  }

  // The default port taken by another agent must not keep this one from its other faces:
  // configurations that were written for the reference never name this port.
  absl::Status StartRpc() {
    if (config_.rpc_listen.empty()) return absl::OkStatus();
    rpc::GrpcServer::Options options;
    for (const Endpoint& endpoint : config_.rpc_listen) {
      options.addresses.push_back(endpoint.ToString());
    }
    grpc_ = std::make_unique<rpc::GrpcServer>(options, rpc::PublicApi(), agent_->backend());
    const absl::Status status = grpc_->Start();
    if (status.ok() || config_.rpc_port_asked || !absl::IsAlreadyExists(status)) return status;
    grpc_.reset();
    Print(base::StrCat("==> WARNING: RPC is off: ", base::ToStd(status.message()),
                       ". Give this agent and its commands an address with -rpc-addr"));
    config_.rpc_listen.clear();
    return absl::OkStatus();
  }

  void PrintBanner() const {
    Print("==> Consul agent running!");
    Print(base::StrCat("         Node name: '", config_.node_name, "'"));
    Print(base::StrCat("        Datacenter: '", config_.datacenter, "'"));
    Print(base::StrCat("    Advertise addr: '", config_.advertise_address, "'"));
    Print(base::StrCat("          RPC addr: ", Listed(config_.rpc_listen)));
    Print(base::StrCat("         HTTP addr: ", Listed(config_.http_listen)));
    Print(base::StrCat("          DNS addr: ", Listed(config_.dns_listen)));
    Print(base::StrCat("         Encrypted: ", agent_->encrypted() ? "true" : "false"));
    Print(base::StrCat("            Server: ", config_.server ? "true" : "false",
                       " (bootstrap: ", config_.bootstrap ? "true" : "false", ")"));
    Print("");
    Print("==> Log data will now stream in as it occurs:");
    Print("");
  }

  // What EndBy returns, of what comes until `joined` is there; nothing: it is there.
  std::optional<bool> EndWhile(const std::future<absl::Status>& joined) {
    while (joined.wait_for(kSignalPoll) != std::future_status::ready) {
      const std::optional<Signals::Kind> kind = signals_.Wait(0ms);
      if (!kind.has_value()) continue;
      if (*kind != Signals::Kind::kHangUp) logger_.Release();
      if (const std::optional<bool> left = EndBy(*kind); left.has_value()) return left;
    }
    return std::nullopt;
  }

  // Ends the agent where it is told to. Returns whether it has left gracefully; nothing: it was not
  // told to end.
  std::optional<bool> EndBy(Signals::Kind kind) {
    switch (kind) {
      case Signals::Kind::kHangUp:
        SayHangUp();
        return std::nullopt;
      case Signals::Kind::kInterrupt:
        Print("==> Caught signal: interrupt");
        return config_.skip_leave_on_interrupt ? false : Leave();
      case Signals::Kind::kTerminate:
        Print("==> Caught signal: terminated");
        return config_.leave_on_terminate && Leave();
      case Signals::Kind::kRequest:
        return Leave();
      case Signals::Kind::kFailure:
        return false;
    }
    return std::nullopt;
  }

  void SayHangUp() {
    logger_.Warn("agent", "Caught signal: hangup. Configuration is read at the start alone");
  }

  // Why a leave is waited for no longer when this comes meanwhile; empty: it is. Who asks for the
  // leave while it goes on is answered with it.
  std::string_view EndOfWait(std::optional<Signals::Kind> kind) {
    if (!kind.has_value()) return "";
    switch (*kind) {
      case Signals::Kind::kInterrupt:
      case Signals::Kind::kTerminate:
        return "told to end at once";
      case Signals::Kind::kFailure:
        return "it failed meanwhile, as its log says";
      case Signals::Kind::kHangUp:
        SayHangUp();
        return "";
      case Signals::Kind::kRequest:
        return "";
    }
    return "";
  }

  bool Leave() {
    Print("==> Gracefully shutting down agent...");
    auto left = std::make_shared<std::promise<absl::Status>>();
    std::future<absl::Status> result = left->get_future();
    std::thread leaving([this, left] { left->set_value(agent_->Leave()); });
    const auto give_up = std::chrono::steady_clock::now() + kLeaveLimit;
    std::string_view why;
    while (why.empty()) {
      if (result.wait_for(kSignalPoll) == std::future_status::ready) {
        const absl::Status status = result.get();
        leaving.join();
        agent_->AnswerLeave(status);
        if (!status.ok()) {
          logger_.Error("agent", base::StrCat("leave failed: ", base::ToStd(status.message())));
        }
        return status.ok();
      }
      why = EndOfWait(signals_.Wait(0ms));
      const bool late = std::chrono::steady_clock::now() >= give_up;
      if (why.empty() && late) why = "the leave took too long";
    }
    PrintError(base::StrCat("==> The agent did not leave: ", why));
    // Something waits for a disk or a lock that may never come: nothing here can be ended in order.
    std::fflush(nullptr);
    std::_Exit(1);
  }

  // Faces first, so that nothing new comes in; each answers what it has. RPC before HTTP, which
  // carries connections of RPC: these end by the service's own word.
  void Stop(const std::string& error = "") {
    EndAfter(kStopLimit, error);
    if (agent_ != nullptr) logger_.Info("agent", "requesting shutdown");
    if (grpc_ != nullptr) grpc_->Stop();
    if (faces_ != nullptr) faces_->Stop();
    if (agent_ != nullptr) agent_->Stop();
    logger_.Release();
  }

  Config config_;
  const std::vector<std::string> warnings_;
  Signals signals_;
  base::Logger logger_;
  std::unique_ptr<agent::Agent> agent_;
  std::unique_ptr<rpc::GrpcServer> grpc_;
  std::unique_ptr<Faces> faces_;
};

}  // namespace

int RunAgent(const agent::config::Loaded& loaded) {
  RaiseFileLimit();
  return AgentProcess(loaded).Run();
}

}  // namespace consul::cli
