#include "tests/sim/cluster/sim_cluster.h"

#include <utility>

#include "services/base/strings.h"

namespace consul::sim {
namespace {

constexpr Duration kFullDiskStart = std::chrono::milliseconds(300);

}  // namespace

SimCluster::SimCluster(const SimOptions& options)
    : options_(options),
      world_(options.seed, options.tracing),
      checks_(&world_, options.look_inside),
      network_(&world_, [this](raft::Message message) {
        for (const auto& server : servers_) {
          if (server->id() == message.to) return server->Receive(std::move(message));
        }
      }) {
  std::vector<raft::Member> voters;
  for (size_t i = 0; i < options_.voters + options_.spares; ++i) {
    const raft::ServerId id{base::StrCat("s", i + 1)};
    if (i < options_.voters) voters.push_back({id, raft::MemberKind::kVoter});
    servers_.push_back(std::make_unique<SimServer>(
        &world_, &network_, &checks_, options_, id, i + 1,
        SimServer::Hooks{
            .stepped = [this] { Stepped(); },
            .died =
                [this](SimServer* server) {
                  const std::vector<base::Unsynced> fates{
                      base::Unsynced::kKept, base::Unsynced::kLost, base::Unsynced::kTorn};
                  Kill(server, world_.Choose(fates),
                       world_.Between(Milliseconds(100), Milliseconds(2000)));
                },
        }));
    const auto drift = static_cast<uint64_t>(options_.drift_ppm_max);
    servers_.back()->SetDrift(static_cast<int64_t>(world_.Below(2 * drift + 1)) -
                              options_.drift_ppm_max);
  }
  first_ = raft::Configuration(voters);
  views_.resize(servers_.size());
  StartAll();
}

void SimCluster::Stepped() {
  for (size_t i = 0; i < servers_.size(); ++i) {
    if (servers_[i] != nullptr) views_[i] = servers_[i]->view();
  }
  checks_.Check(views_);
}

void SimCluster::RunFor(Duration duration) {
  world_.RunUntil(world_.now() + duration, [this] { return sound(); });
}

SimServer* SimCluster::leader() {
  SimServer* best = nullptr;
  for (const auto& server : servers_) {
    if (server->leads() && (best == nullptr || server->core().term() > best->core().term())) {
      best = server.get();
    }
  }
  return best;
}

std::vector<SimServer*> SimCluster::Members() {
  std::vector<SimServer*> members;
  const SimServer* const leads = leader();
  if (leads == nullptr) return members;
  for (const auto& server : servers_) {
    if (leads->core().configuration().configuration.Contains(server->id())) {
      members.push_back(server.get());
    }
  }
  return members;
}

void SimCluster::Kill(SimServer* server, base::Unsynced unsynced, Duration pause) {
  if (!server->up()) return;
  server->Stop(unsynced);
  if (unsynced == base::Unsynced::kKept) {
    for (const auto& peer : servers_) {
      if (!peer->up() || network_.IsCut(server->id(), peer->id())) continue;
      world_.After(world_.Between(Duration{0}, Milliseconds(3)),
                   [peer = peer.get(), id = server->id()] { peer->StreamBroken(id); });
    }
  }
  StartSoon(server, pause);
}

void SimCluster::StartSoon(SimServer* server, Duration pause) {
  world_.After(pause, [this, server] {
    if (server->up()) return;
    const bool is_first = first_.Contains(server->id());
    if (!server->Start(is_first ? first_ : raft::Configuration())) {
      StartSoon(server, kFullDiskStart);
    }
  });
}

void SimCluster::StartAll() {
  for (const auto& server : servers_) StartSoon(server.get(), Duration{0});
}

}  // namespace consul::sim
