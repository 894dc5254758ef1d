// A client: no state of its own; what is asked of it goes to a server of its pool.
#include <chrono>
#include <map>
#include <random>
#include <string>
#include <utility>

#include "services/agent/known_servers.h"
#include "services/agent/role.h"
#include "services/agent/self.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/rpc/forward_backend.h"

namespace consul::agent {
namespace {

using std::chrono::milliseconds;

rpc::ForwardBackend::Options ForwardOptions(const config::Config& config) {
  rpc::ForwardBackend::Options options;
  const auto in_ms = [](std::chrono::nanoseconds duration) {
    return std::chrono::ceil<milliseconds>(duration);
  };
  options.hold_timeout = in_ms(config.performance.rpc_hold_timeout);
  options.wait_default = in_ms(config.default_query_time);
  options.wait_max = in_ms(config.max_query_time);
  // A server that holds a call for a leader as long as this agent would is still waited for.
  options.margin += options.hold_timeout;
  options.links.channel.reply_bytes_max = rpc::kForwardedReplyBytesMax;
  options.links.seed = std::random_device{}();
  return options;
}

class ClientRole final : public Role {
 public:
  explicit ClientRole(const RoleContext& context)
      : config_(*context.config), lan_(&context.lan->list()), logger_(context.logger) {}

  void Register(rpc::Handlers*) override {}

  absl::Status Open(const rpc::Handlers* handlers) override {
    backend_ =
        std::make_unique<rpc::ForwardBackend>(ForwardOptions(config_), handlers, logger_);
    return absl::OkStatus();
  }

  void Start(std::function<void()> writable) override {
    {
      base::MutexLock lock(&mutex_);
      writable_ = std::move(writable);
    }
    MembersChanged(*lan_->members());
  }

  rpc::Backend* backend() override { return backend_.get(); }

  void JoinWan(std::vector<std::string>,
               std::function<void(absl::StatusOr<uint32_t>)> done) override {
    done(absl::FailedPreconditionError("Must be a server to join WAN cluster"));
  }

  void AddStats(std::vector<v1::StatGroup>* groups) const override {
    groups->push_back(
        Group("consul", {{"acl", "disabled"},
                         {"known_servers", std::to_string(backend_->known_servers())},
                         {"server", "false"}}));
  }

  void MembersChanged(const gossip::MemberList::Members& members) override {
    const rpc::ServerList list = KnownServers(members, config_.datacenter);
    base::MutexLock lock(&mutex_);
    if (writable_ == nullptr) return;  // not started yet
    backend_->SetServers(list);
    std::map<std::string, std::string> alive;
    for (const rpc::KnownServer& server : list.servers) {
      if (server.alive()) alive.emplace(server.id, server.address);
    }
    Tell("adding", alive, alive_);
    Tell("removing", alive_, alive);
    const bool first = alive_.empty() && !alive.empty();
    alive_ = std::move(alive);
    if (first) writable_();
  }

  absl::Status AwaitLeave() override {
    logger_->Info("consul", "client starting leave");
    return absl::OkStatus();
  }
  void Leave() override {}

  void Stop() override {
    if (backend_ != nullptr) backend_->Stop();
  }

 private:
  using Servers = std::map<std::string, std::string>;  // address by node id

  // A log line for each server that stands in `these` and not in `those`.
  void Tell(const char* what, const Servers& these, const Servers& those) const {
    for (const auto& [id, address] : these) {
      const auto other = those.find(id);
      if (other != those.end() && other->second == address) continue;
      logger_->Info("consul", base::StrCat(what, " server for datacenter: ", config_.datacenter,
                                           ", addr: ", address));
    }
  }

  const config::Config& config_;
  const gossip::MemberList* const lan_;
  base::Logger* const logger_;
  std::unique_ptr<rpc::ForwardBackend> backend_;
  base::Mutex mutex_;
  std::function<void()> writable_ GUARDED_BY(mutex_);
  Servers alive_ GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<Role> MakeClientRole(RoleContext context) {
  return std::make_unique<ClientRole>(context);
}

}  // namespace consul::agent
