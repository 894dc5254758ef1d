#include "services/agent/agent.h"

#include <chrono>
#include <filesystem>
#include <map>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "services/agent/config/node_id.h"
#include "services/agent/node_sync.h"
#include "services/agent/self.h"
#include "services/api/catalog_handlers.h"
#include "services/api/kv_handlers.h"
#include "services/api/status_handlers.h"
#include "services/base/strings.h"
#include "services/base/uuid.h"
#include "services/rpc/errors.h"

namespace consul::agent {
namespace {

using namespace std::chrono_literals;

// A leave needs a leader; without one for so long the agent ends without having left.
constexpr auto kLeaveLeaderWait = 5s;

// With the directories above it.
absl::Status MakeDataDir(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error) return absl::OkStatus();
  return absl::ErrnoToStatus(error.value(), base::StrCat("data_dir ", path));
}

std::string AddressOf(const config::Config& config) {
  return config::Endpoint{config.advertise_address, config.ports.server.value_or(0)}.ToString();
}

server::Server::Options ServerOptions(const config::Config& config, const std::string& node_id) {
  server::Server::Options options;
  options.data_dir = config.data_dir;
  options.node_name = config.node_name;
  options.node_id = node_id;
  options.datacenter = config.datacenter;
  options.address = AddressOf(config);
  options.bootstrap = config.bootstrap;
  options.raft_multiplier = config.performance.raft_multiplier;
  return options;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Agent>> Agent::Start(config::Config config, base::Logger* logger,
                                                    LeaveListener leave_asked) {
  if (!config.server) {
    return rpc::Error(errors::v1::REASON_UNSUPPORTED,
                      "client agents are not supported yet: start a server with -server", "server");
  }
  if (absl::Status status = MakeDataDir(config.data_dir); !status.ok()) return status;
  absl::StatusOr<std::string> node_id = config::ResolveNodeId(config.node_id, config.data_dir);
  if (!node_id.ok()) return node_id.status();
  std::unique_ptr<Agent> agent(
      new Agent(std::move(config), *std::move(node_id), logger, std::move(leave_asked)));
  if (absl::Status status = agent->StartServer(); !status.ok()) return status;
  return agent;
}

Agent::Agent(config::Config config, std::string node_id, base::Logger* logger,
             LeaveListener leave_asked)
    : config_(std::move(config)),
      node_id_(std::move(node_id)),
      logger_(logger),
      leave_asked_(std::move(leave_asked)),
      lan_(LanMember(config_, node_id_), [this](const gossip::Event& event) { LogEvent(event); }),
      wan_(WanMember(config_, node_id_), [this](const gossip::Event& event) { LogEvent(event); }),
      server_(ServerOptions(config_, node_id_), &lan_, logger_),
      handlers_(rpc::PublicApi()) {}

Agent::~Agent() { Stop(); }

absl::Status Agent::StartServer() {
  RegisterHandlers();
  rpc::LocalBackend::Options options;
  options.datacenter = config_.datacenter;
  options.hold_timeout = config_.performance.rpc_hold_timeout;
  options.wait_default = config_.default_query_time;
  options.wait_max = config_.max_query_time;
  backend_ = std::make_unique<rpc::LocalBackend>(options, &handlers_, server_.consensus());
  node_sync_ =
      std::make_unique<NodeSync>(CatalogNode(config_, node_id_), base::MakeUuid(),
                                 server_.consensus(), server_.state(), logger_);
  if (absl::Status status = server_.Open(); !status.ok()) return status;
  if (absl::Status status = ports_.Take(config_); !status.ok()) return status;
  logger_->Info("consul", base::StrCat("adding server for datacenter: ", config_.datacenter,
                                       ", addr: ", AddressOf(config_)));
  // Nobody leads yet, as the log then says; it is tried again as soon as someone does.
  node_sync_->TryNow();
  node_sync_->Begin();
  // The leader first registers its members, this agent among them; then the agent adds to its node.
  server_.Start([this] { backend_->LeaderChanged(); }, [this] { node_sync_->LeaderChanged(); });
  return absl::OkStatus();
}

void Agent::RegisterHandlers() {
  view_.self = Self(config_, node_id_);
  view_.gateway_settings = GatewaySettings(config_);
  view_.lan = &lan_;
  view_.wan = &wan_;
  view_.stats = [this] { return Stats(); };
  view_.leave = [this](auto done) { RequestLeave(std::move(done)); };
  view_.logger = logger_;
  api::RegisterAgent(&view_, &handlers_);
  api::KvLimits kv;
  kv.value_bytes_max = config_.limits.kv_max_value_size;
  api::RegisterKv(kv, server_.state(), &handlers_);
  api::RegisterCatalog(config_.datacenter, server_.state(), &handlers_);
  api::RegisterHealth(server_.state(), &handlers_);
  api::RegisterStatus({.leader = [this] { return server_.leader(); },
                       .peers = [this] { return server_.peers(); }},
                      &handlers_);
}

std::vector<v1::StatGroup> Agent::Stats() const {
  const std::map<std::string, std::string> raft = server_.RaftStats();
  const rpc::Consensus::View view = server_.view();
  // An agent has no checks and services of its own before it can be given any.
  return {
      Group("agent",
            {{"check_monitors", "0"}, {"check_ttls", "0"}, {"checks", "0"}, {"services", "0"}}),
      Group("build", BuildStats()),
      Group("consul", {{"acl", "disabled"},
                       {"bootstrap", config_.bootstrap ? "true" : "false"},
                       {"known_datacenters", "1"},
                       {"leader", view.leads ? "true" : "false"},
                       {"leader_addr", server_.leader()},
                       {"server", "true"}}),
      Group("raft", Figures(raft.begin(), raft.end())),
      Group("runtime", RuntimeStats()),
      Group("serf_lan", lan_.Stats()),
      Group("serf_wan", wan_.Stats()),
  };
}

void Agent::LogEvent(const gossip::Event& event) const {
  // Names in the WAN pool carry the datacenter, which says nothing within one's own.
  std::string_view name = event.member.name();
  if (const std::string suffix = base::StrCat(".", config_.datacenter); name.ends_with(suffix)) {
    name.remove_suffix(suffix.size());
  }
  logger_->Info("serf", base::StrCat(gossip::EventName(event.kind), ": ", name, " ",
                                     event.member.addr()));
}

void Agent::RequestLeave(std::function<void(absl::Status)> done) {
  {
    base::MutexLock lock(&mutex_);
    leaving_.push_back(std::move(done));
  }
  leave_asked_();
}

absl::Status Agent::Leave() {
  logger_->Info("consul", "server starting leave");
  const auto give_up = std::chrono::steady_clock::now() + kLeaveLeaderWait;
  while (!server_.view().leader_known) {
    if (std::chrono::steady_clock::now() >= give_up) {
      return rpc::Error(errors::v1::REASON_NO_LEADER,
                        "No cluster leader: the agent did not leave");
    }
    std::this_thread::sleep_for(20ms);
  }
  // What it writes to the catalog is done before it says that it goes. The last voter stays in the
  // configuration: the same command again serves the same data.
  node_sync_->Stop();
  server_.StopDuties();
  wan_.Leave();
  lan_.Leave();
  return absl::OkStatus();
}

void Agent::AnswerLeave(const absl::Status& status) {
  std::vector<std::function<void(absl::Status)>> leaving;
  {
    base::MutexLock lock(&mutex_);
    leaving.swap(leaving_);
  }
  for (const auto& done : leaving) done(status);
}

void Agent::Stop() {
  if (node_sync_ != nullptr) node_sync_->AskToStop();
  // A write that waits is answered when the server stops, if not before.
  server_.Stop();
  if (node_sync_ != nullptr) node_sync_->Stop();
}

}  // namespace consul::agent
