// A server: consensus, the replicated state, the server port, and a place in the WAN pool.
#include <chrono>
#include <map>
#include <thread>
#include <utility>

#include "services/agent/role.h"
#include "services/agent/self.h"
#include "services/agent/server_port.h"
#include "services/api/catalog_handlers.h"
#include "services/api/kv_handlers.h"
#include "services/api/node_sync_handlers.h"
#include "services/api/status_handlers.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/rpc/local_backend.h"
#include "services/server/server.h"

namespace consul::agent {
namespace {

using namespace std::chrono_literals;

// A leave needs a leader; without one for so long the agent ends without having left.
constexpr auto kLeaveLeaderWait = 5s;

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

class ServerRole final : public Role {
 public:
  explicit ServerRole(RoleContext context)
      : config_(*context.config),
        logger_(context.logger),
        wan_(WanMember(config_, context.node_id), std::move(context.pool_listener)),
        server_(ServerOptions(config_, context.node_id), context.lan, logger_) {}

  void Register(rpc::Handlers* handlers) override {
    api::KvLimits kv;
    kv.value_bytes_max = config_.limits.kv_max_value_size;
    api::RegisterKv(kv, server_.state(), handlers);
    api::RegisterCatalog(config_.datacenter, server_.state(), handlers);
    api::RegisterHealth(server_.state(), handlers);
    api::RegisterNodeSync(server_.state(), handlers);
    api::RegisterStatus({.leader = [this] { return server_.leader(); },
                         .peers = [this] { return server_.peers(); }},
                        handlers);
  }

  absl::Status Open(const rpc::Handlers* handlers) override {
    rpc::LocalBackend::Options options;
    options.datacenter = config_.datacenter;
    options.hold_timeout = config_.performance.rpc_hold_timeout;
    options.wait_default = config_.default_query_time;
    options.wait_max = config_.max_query_time;
    backend_ = std::make_unique<rpc::LocalBackend>(options, handlers, server_.consensus());
    if (absl::Status status = server_.Open(); !status.ok()) return status;
    if (config_.server_listen.has_value()) {
      port_ = std::make_unique<ServerPort>(*config_.server_listen, backend_.get());
      if (absl::Status status = port_->Start(); !status.ok()) return status;
    }
    logger_->Info("consul", base::StrCat("adding server for datacenter: ", config_.datacenter,
                                         ", addr: ", AddressOf(config_)));
    return absl::OkStatus();
  }

  void Start(std::function<void()> writable) override {
    // The leader first registers its members, this agent among them; then agents add to their
    // nodes.
    server_.Start([this] { backend_->LeaderChanged(); }, std::move(writable));
  }

  rpc::Backend* backend() override { return backend_.get(); }
  const gossip::Pool* wan() const override { return &wan_; }

  void AddStats(std::vector<v1::StatGroup>* groups) const override {
    const std::map<std::string, std::string> raft = server_.RaftStats();
    groups->push_back(Group("consul", {{"acl", "disabled"},
                                       {"bootstrap", config_.bootstrap ? "true" : "false"},
                                       {"known_datacenters", "1"},
                                       {"leader", server_.view().leads ? "true" : "false"},
                                       {"leader_addr", server_.leader()},
                                       {"server", "true"}}));
    groups->push_back(Group("raft", Figures(raft.begin(), raft.end())));
    groups->push_back(Group("serf_wan", wan_.Stats()));
  }

  void MembersChanged(const gossip::MemberList::Members&) override { server_.MembersChanged(); }

  absl::Status AwaitLeave() override {
    logger_->Info("consul", "server starting leave");
    const auto give_up = std::chrono::steady_clock::now() + kLeaveLeaderWait;
    while (!server_.view().leader_known) {
      if (std::chrono::steady_clock::now() >= give_up) {
        return rpc::Error(errors::v1::REASON_NO_LEADER,
                          "No cluster leader: the agent did not leave");
      }
      std::this_thread::sleep_for(20ms);
    }
    return absl::OkStatus();
  }

  // The last voter stays in the configuration: the same command again serves the same data.
  void Leave() override {
    server_.StopDuties();
    wan_.Leave();
  }

  void Stop() override {
    // Whatever waits for consensus or for a leader is answered, so that the port has no writes to
    // wait for.
    server_.Stop();
    if (backend_ != nullptr) backend_->StopHolding();
    if (port_ != nullptr) port_->Stop();
  }

 private:
  const config::Config& config_;
  base::Logger* const logger_;
  gossip::Pool wan_;
  server::Server server_;
  std::unique_ptr<rpc::LocalBackend> backend_;
  std::unique_ptr<ServerPort> port_;
};

}  // namespace

std::unique_ptr<Role> MakeServerRole(RoleContext context) {
  return std::make_unique<ServerRole>(std::move(context));
}

}  // namespace consul::agent
