// A server: consensus, the replicated state, the server port, and a place in the WAN pool.
#include <chrono>
#include <future>
#include <map>
#include <utility>

#include "services/agent/joiner.h"
#include "services/agent/role.h"
#include "services/agent/self.h"
#include "services/agent/server_port.h"
#include "services/agent/bootstrap_handlers.h"
#include "services/api/autopilot_handlers.h"
#include "services/api/catalog_handlers.h"
#include "services/api/coordinate_handlers.h"
#include "services/api/keyring_handlers.h"
#include "services/api/kv_handlers.h"
#include "services/api/node_sync_handlers.h"
#include "services/api/operator_raft_handlers.h"
#include "services/api/snapshot_handlers.h"
#include "services/api/status_handlers.h"
#include "services/base/strings.h"
#include "services/gossip/words.h"
#include "services/rpc/errors.h"
#include "services/rpc/leader_forward.h"
#include "services/rpc/local_backend.h"
#include "services/rpc/waited_calls.h"
#include "services/server/autopilot_driver.h"
#include "services/server/operator_view.h"
#include "services/server/server.h"

namespace consul::agent {
namespace {

std::string AddressOf(const config::Config& config) {
  return config::Endpoint{config.advertise_address, config.ports.server.value_or(0)}.ToString();
}

google::protobuf::Duration ToProto(std::chrono::nanoseconds duration) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
  google::protobuf::Duration proto;
  proto.set_seconds(seconds.count());
  proto.set_nanos(static_cast<int32_t>((duration - seconds).count()));
  return proto;
}

operators::v1::AutopilotConfiguration AutopilotOf(const config::Autopilot& config) {
  operators::v1::AutopilotConfiguration autopilot;
  autopilot.set_cleanup_dead_servers(config.cleanup_dead_servers);
  *autopilot.mutable_last_contact_threshold() = ToProto(config.last_contact_threshold);
  autopilot.set_max_trailing_logs(config.max_trailing_logs);
  autopilot.set_min_quorum(config.min_quorum);
  *autopilot.mutable_server_stabilization_time() = ToProto(config.server_stabilization_time);
  return autopilot;
}

server::Server::Options ServerOptions(const config::Config& config, const std::string& node_id,
                                      std::function<void(const std::string&)> force_leave) {
  server::Server::Options options;
  options.autopilot = AutopilotOf(config.autopilot);
  options.force_leave = std::move(force_leave);
  options.data_dir = config.data_dir;
  options.node_name = config.node_name;
  options.node_id = node_id;
  options.datacenter = config.datacenter;
  options.address = AddressOf(config);
  options.bootstrap = config.bootstrap;
  options.bootstrap_expect = config.bootstrap_expect;
  options.raft_multiplier = config.performance.raft_multiplier;
  options.raft_snapshot_threshold = config.raft_log.snapshot_threshold;
  options.raft_snapshot_interval = config.raft_log.snapshot_interval;
  options.raft_trailing_logs = config.raft_log.trailing_logs;
  return options;
}

class ServerRole final : public Role, private gossip::Pool::Listener {
 public:
  explicit ServerRole(RoleContext context)
      : context_(std::move(context)),
        config_(*context_.config),
        logger_(context_.logger),
        to_leader_(ForwardOptions(config_), logger_),
        server_(ServerOptions(config_, context_.identity.node_id,
                              [this](const std::string& name) { ForceLeave(name); }),
                &context_.lan->list(), context_.metrics, logger_),
        saves_(server_.consensus(), server_.state(), [this] { return server_.term(); }) {}

  absl::Status OpenPool() override {
    if (!config_.serf_wan_listen.has_value()) return absl::OkStatus();
    std::vector<std::string> warnings;
    absl::StatusOr<gossip::PoolOptions> options =
        WanPoolOptions(config_, context_.identity, &warnings);
    if (!options.ok()) return options.status();
    for (const std::string& warning : warnings) logger_->Warn("agent", warning);
    absl::StatusOr<std::unique_ptr<gossip::Pool>> wan =
        gossip::Pool::Open(*std::move(options), this, logger_);
    if (!wan.ok()) return wan.status();
    wan_ = *std::move(wan);
    joiner_ = std::make_unique<Joiner>("WAN", wan_.get(), logger_);
    return absl::OkStatus();
  }
  void Announce() override {
    if (wan_ != nullptr) wan_->Announce();
  }

  void Register(rpc::Handlers* handlers) override {
    api::KvLimits kv;
    kv.value_bytes_max = config_.limits.kv_max_value_size;
    api::RegisterKv(kv, server_.state(), handlers);
    api::RegisterCatalog(config_.datacenter, server_.state(), handlers);
    api::RegisterHealth(server_.state(), handlers);
    api::RegisterCoordinates(config_.datacenter, wan_.get(), server_.state(), handlers);
    api::RegisterKeyring({config_.datacenter, context_.lan, wan_.get()}, handlers);
    api::RegisterNodeSync(server_.state(), handlers);
    RegisterBootstrap([this] { return server_.bootstrapper(); }, handlers);
    api::RegisterSnapshots(&saves_, server_.state(), handlers);
    api::RegisterStatus({.leader = [this] { return server_.leader(); },
                         .peers = [this] { return server_.peers(); }},
                        handlers);
    RegisterOperators(handlers);
  }

  absl::Status Open(const rpc::Handlers* handlers) override {
    rpc::LocalBackend::Options options;
    options.datacenter = config_.datacenter;
    options.hold_timeout = config_.performance.rpc_hold_timeout;
    options.wait_default = config_.default_query_time;
    options.wait_max = config_.max_query_time;
    backend_ = std::make_unique<rpc::LocalBackend>(options, handlers, server_.consensus());
    backend_->SetLeaderCalls(&to_leader_);
    if (absl::Status status = server_.Open(); !status.ok()) return status;
    if (config_.server_listen.has_value()) {
      port_ = std::make_unique<ServerPort>(*config_.server_listen, backend_.get(),
                                           server_.service());
      if (absl::Status status = port_->Start(); !status.ok()) return status;
    }
    logger_->Info("consul", base::StrCat("adding server for datacenter: ", config_.datacenter,
                                         ", addr: ", AddressOf(config_)));
    return absl::OkStatus();
  }

  void Start(std::function<void()> writable) override {
    server_.Start({.leader_changed =
                       [this, writable] {
                         LeaderChanged();
                         // A follower writes through the leader.
                         if (server_.view().has_leader && !server_.view().leads) writable();
                       },
                   // The leader first registers its members, this agent among them; then agents add
                   // to their nodes.
                   .duties_begun = writable,
                   .cluster_named =
                       [this](const std::string& id) { context_.lan->SetClusterId(id); }});
    if (wan_ != nullptr) wan_->Start();
  }

  rpc::Backend* backend() override { return backend_.get(); }
  gossip::Pool* wan() const override { return wan_.get(); }
  void JoinWan(std::vector<std::string> addresses,
               std::function<void(absl::StatusOr<uint32_t>)> done) override {
    if (joiner_ != nullptr) return joiner_->Join(std::move(addresses), std::move(done));
    done(absl::FailedPreconditionError("The WAN pool is off: ports.serf_wan is -1"));
  }
  void KeepJoiningWan(std::function<void(absl::Status)> exhausted) override {
    if (joiner_ != nullptr) joiner_->KeepTrying(config_.wan, std::move(exhausted));
  }

  void AddStats(std::vector<v1::StatGroup>* groups) const override {
    const std::map<std::string, std::string> raft = server_.RaftStats();
    groups->push_back(Group("consul", {{"acl", "disabled"},
                                       {"bootstrap", config_.bootstrap ? "true" : "false"},
                                       {"known_datacenters", "1"},
                                       {"leader", server_.view().leads ? "true" : "false"},
                                       {"leader_addr", server_.leader()},
                                       {"server", "true"}}));
    groups->push_back(Group("raft", Figures(raft.begin(), raft.end())));
    if (wan_ != nullptr) groups->push_back(Group("serf_wan", wan_->Stats()));
  }

  void MembersChanged(const gossip::MemberList::Members&) override {
    server_.MembersChanged();
    // The leader may have come with another address, or be known only now.
    LeaderChanged();
  }
  void MemberReaped(const std::string& name, const std::string& generation) override {
    server_.MemberReaped(name, generation);
  }

  absl::Status AwaitLeave() override {
    logger_->Info("consul", "server starting leave");
    return server_.LeaveConsensus([this] { return AskToBeRemoved(); });
  }

  // The last voter stays in the configuration: the same command again serves the same data.
  void Leave() override {
    server_.StopDuties();
    if (wan_ == nullptr) return;
    joiner_->StopTrying();
    std::promise<void> left;
    wan_->Leave([&left] { left.set_value(); });
    left.get_future().wait();
  }

  void Stop() override {
    if (joiner_ != nullptr) joiner_->StopTrying();
    if (wan_ != nullptr) wan_->Stop();
    saves_.Stop();
    // Whatever waits for consensus or for a leader is answered, so that the port has no writes to
    // wait for.
    server_.Stop();
    if (backend_ != nullptr) backend_->StopHolding();
    to_leader_.Stop();
    if (port_ != nullptr) port_->Stop();
  }

 private:
  static rpc::ForwardBackend::Options ForwardOptions(const config::Config& config) {
    rpc::ForwardBackend::Options options;
    options.hold_timeout = std::chrono::duration_cast<std::chrono::milliseconds>(
        config.performance.rpc_hold_timeout);
    return options;
  }

  absl::Status AskToBeRemoved() {
    operators::v1::RemoveRaftPeerRequest request;
    request.set_id(context_.identity.node_id);
    operators::v1::RemoveRaftPeerResponse response;
    const rpc::Method* const method =
        rpc::PublicApi().Find("/consul.operators.v1.RaftService/RemoveRaftPeer");
    rpc::WaitedCalls calls;
    return calls.Run(backend_.get(), *method, request, &response, /*hold=*/false);
  }

  void RegisterOperators(rpc::Handlers* handlers) {
    api::RaftControl raft;
    raft.configuration = [this] { return server_.raft_configuration(); };
    raft.pass_on = [this](rpc::Call* call) {
      if (server_.view().leads) return false;
      backend_->PassOn(call);
      return true;
    };
    raft.remove = [this](const std::string& id, std::function<void(absl::Status)> done) {
      server_.RemovePeer(id, std::move(done));
    };
    raft.transfer = [this](const std::string& id, std::function<void(absl::Status)> done) {
      server_.TransferLead(id, std::move(done));
    };
    api::RegisterRaft(std::move(raft), handlers);
    api::AutopilotReport autopilot;
    autopilot.configuration = [this] { return server_.autopilot()->configuration(); };
    autopilot.health = [this]() -> std::optional<operators::v1::GetAutopilotHealthResponse> {
      const auto health = server_.autopilot()->health();
      if (!health.has_value()) return std::nullopt;
      return server::HealthMessage(*health);
    };
    autopilot.state = [this]() -> std::optional<operators::v1::GetAutopilotStateResponse> {
      const auto health = server_.autopilot()->health();
      if (!health.has_value()) return std::nullopt;
      return server::StateMessage(*health);
    };
    api::RegisterAutopilot(std::move(autopilot), handlers);
  }

  void LeaderChanged() {
    to_leader_.SetLeader(server_.other_leader());
    if (backend_ != nullptr) backend_->LeaderChanged();
  }

  // Consensus does without that server from now on, and so do the pools.
  void ForceLeave(const std::string& name) {
    context_.lan->ForceLeave(name, /*prune=*/false, [](absl::Status) {});
    if (wan_ != nullptr) {
      wan_->ForceLeave(base::StrCat(name, ".", config_.datacenter), /*prune=*/false,
                       [](absl::Status) {});
    }
  }

  // gossip::Pool::Listener, of the WAN pool.
  void OnMemberEvent(const gossip::MemberEvent& event) override {
    if (event.heard_late) return;
    // Names in the WAN pool carry the datacenter, which says nothing within one's own.
    std::string_view name = event.member.name;
    const std::string suffix = base::StrCat(".", config_.datacenter);
    if (name.ends_with(suffix)) name.remove_suffix(suffix.size());
    logger_->Info("serf", base::StrCat(gossip::EventName(event.kind), ": ", name, " ",
                                       event.member.address.IpToString()));
  }
  void OnMembersPublished() override {}
  void OnUserEvent(const gossip::UserEvent&) override {}
  void OnNameLost(const gossip::NameConflict& conflict) override {
    logger_->Error("agent",
                   !conflict.copy_of.empty()
                       ? base::StrCat("In the WAN pool: ", conflict.copy_of)
                       : base::StrCat("Node name conflict in the WAN pool: ", conflict.name,
                                      " belongs to node id ", conflict.winner_id, " at ",
                                      conflict.winner_address.ToString()));
    context_.failed();
  }

  const RoleContext context_;
  const config::Config& config_;
  base::Logger* const logger_;
  std::unique_ptr<gossip::Pool> wan_;
  std::unique_ptr<Joiner> joiner_;
  rpc::LeaderForward to_leader_;
  server::Server server_;
  api::SnapshotSaves saves_;
  std::unique_ptr<rpc::LocalBackend> backend_;
  std::unique_ptr<ServerPort> port_;
};

}  // namespace

std::unique_ptr<Role> MakeServerRole(RoleContext context) {
  return std::make_unique<ServerRole>(std::move(context));
}

}  // namespace consul::agent
