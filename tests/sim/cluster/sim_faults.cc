#include "tests/sim/cluster/sim_faults.h"

#include <vector>

#include "services/base/strings.h"

namespace consul::sim {
namespace {

using base::Unsynced;

Unsynced AnyUnsynced(SimWorld* world) {
  const uint64_t choice = world->Below(4);
  if (choice < 2) return Unsynced::kKept;
  return choice == 2 ? Unsynced::kLost : Unsynced::kTorn;
}

}  // namespace

SimFaults::SimFaults(SimCluster* cluster) : cluster_(cluster), world_(cluster->world()) {
  const auto share = [this] { return world_.Chance(0.3) ? 0.1 : 1.0; };
  stopping_ = share();
  cutting_ = share();
  weather_ = share();
  disks_ = share();
  members_ = share();
  pause_max_ = Milliseconds(50 + static_cast<int64_t>(world_.Below(700)));
}

void SimFaults::Begin() {
  world_.After(std::chrono::seconds(1), [this] { Next(); });
}

void SimFaults::Next() {
  if (ended_) return;
  Act();
  world_.After(world_.Between(Milliseconds(10), pause_max_), [this] { Next(); });
}

void SimFaults::Act() {
  switch (world_.Below(13)) {
    case 0:
    case 1:
      if (world_.Chance(stopping_)) StopOne();
      break;
    case 2:
      if (world_.Chance(stopping_ * 0.15)) StopAll();
      break;
    case 3:
      if (world_.Chance(stopping_)) PauseOne();
      break;
    case 4:
      if (world_.Chance(cutting_)) CutSome();
      break;
    case 5:
      if (world_.Chance(cutting_)) Isolate();
      break;
    case 6:
      if (world_.Chance(cutting_)) Partition();
      break;
    case 7:
      if (world_.Chance(weather_)) ChangeWeather();
      break;
    case 8:
      if (world_.Chance(disks_)) TroubleDisk();
      break;
    case 9:
      if (world_.Chance(members_)) ChangeMembers();
      break;
    case 10: {
      const auto drift = static_cast<uint64_t>(cluster_->options().drift_ppm_max);
      cluster_->AnyServer().SetDrift(static_cast<int64_t>(world_.Below(2 * drift + 1)) -
                                     cluster_->options().drift_ppm_max);
      break;
    }
    case 11: {
      // A connection breaks, and nobody has died.
      SimServer* const leader = cluster_->leader();
      if (leader != nullptr) cluster_->AnyServer().StreamBroken(leader->id());
      break;
    }
    default:
      cluster_->network().Heal();
      if (world_.Chance(0.5)) cluster_->network().CalmDown();
  }
}

// Leaders more often than others: what matters happens to them.
void SimFaults::StopOne() {
  SimServer* const leader = cluster_->leader();
  SimServer& one = leader != nullptr && world_.Chance(0.4) ? *leader : cluster_->AnyServer();
  ++stops_;
  cluster_->Kill(&one, AnyUnsynced(&world_),
                 world_.Between(Milliseconds(1), Milliseconds(world_.Chance(0.5) ? 100 : 3000)));
}

void SimFaults::StopAll() {
  ++stops_;
  for (const auto& server : cluster_->servers()) {
    cluster_->Kill(server.get(), AnyUnsynced(&world_),
                   world_.Between(Milliseconds(1), Milliseconds(800)));
  }
}

void SimFaults::PauseOne() {
  SimServer* const leader = cluster_->leader();
  SimServer* const one =
      leader != nullptr && world_.Chance(0.5) ? leader : &cluster_->AnyServer();
  if (!one->up() || one->paused()) return;
  one->Pause();
  if (world_.tracing()) world_.Trace(base::StrCat(one->id().value, ": sleeps"));
  world_.After(world_.Between(Milliseconds(20), Milliseconds(1500)), [this, one] {
    if (world_.tracing()) world_.Trace(base::StrCat(one->id().value, ": wakes"));
    one->Resume();
  });
}

void SimFaults::CutSome() {
  const size_t count = 1 + world_.Below(3);
  for (size_t i = 0; i < count; ++i) {
    cluster_->network().Cut(cluster_->AnyServer().id(), cluster_->AnyServer().id());
  }
}

void SimFaults::Isolate() {
  SimServer* const leader = cluster_->leader();
  const SimServer& one =
      leader != nullptr && world_.Chance(0.6) ? *leader : cluster_->AnyServer();
  const bool in = world_.Chance(0.7);
  const bool out = !in || world_.Chance(0.7);
  for (const auto& other : cluster_->servers()) {
    if (out) cluster_->network().Cut(one.id(), other->id());
    if (in) cluster_->network().Cut(other->id(), one.id());
  }
}

void SimFaults::Partition() {
  cluster_->network().Heal();
  std::vector<bool> side;
  for (size_t i = 0; i < cluster_->servers().size(); ++i) side.push_back(world_.Chance(0.5));
  for (size_t i = 0; i < side.size(); ++i) {
    for (size_t j = 0; j < side.size(); ++j) {
      if (side[i] == side[j]) continue;
      cluster_->network().Cut(cluster_->server(i).id(), cluster_->server(j).id());
    }
  }
}

void SimFaults::ChangeWeather() {
  NetworkWeather& weather = cluster_->network().weather();
  weather.loss = world_.Chance(0.5) ? 0 : 0.2 * static_cast<double>(world_.Below(100)) / 100;
  weather.repetition = world_.Chance(0.5) ? 0 : 0.1;
  weather.delay_max = Milliseconds(1 + static_cast<int64_t>(world_.Below(30)));
  weather.straggling = world_.Chance(0.5) ? 0 : 0.05;
  weather.straggle_max = Milliseconds(static_cast<int64_t>(world_.Below(800)));
}

void SimFaults::TroubleDisk() {
  SimServer* const server = &cluster_->AnyServer();
  SimDisk& disk = server->disk();
  const auto later = [&](Duration max, std::function<void()> mend) {
    world_.After(world_.Between(Milliseconds(100), max), std::move(mend));
  };
  switch (world_.Below(4)) {
    case 0:
      disk.files().FailSync(world_.Below(4));
      break;
    case 1:
      disk.SetFull(true);
      later(Milliseconds(2000), [&disk] { disk.SetFull(false); });
      break;
    case 2:
      disk.SetLatency(Milliseconds(5), Milliseconds(20 + static_cast<int64_t>(world_.Below(300))));
      later(Milliseconds(3000),
            [&disk] { disk.SetLatency(std::chrono::microseconds(100), Milliseconds(2)); });
      break;
    default:
      server->SetApplyDelay(Milliseconds(5 + static_cast<int64_t>(world_.Below(100))));
      later(Milliseconds(3000), [server] { server->ResetApplyDelay(); });
  }
}

void SimFaults::ChangeMembers() {
  SimServer* const leader = cluster_->leader();
  if (leader == nullptr) return;
  using Kind = raft::MembershipChange::Kind;
  const SimServer& one = cluster_->AnyServer();
  const raft::Configuration& members = leader->core().configuration().configuration;
  if (world_.Chance(0.3)) return leader->TransferLeadership(one.id());
  if (!members.Contains(one.id())) {
    return leader->ChangeMembership({world_.Chance(0.7) ? Kind::kAddLearner : Kind::kAddVoter,
                                     one.id()});
  }
  if (!members.IsVoter(one.id())) {
    return leader->ChangeMembership({world_.Chance(0.8) ? Kind::kAddVoter : Kind::kRemove,
                                     one.id()});
  }
  if (members.voters_count() > 2) {
    leader->ChangeMembership({world_.Chance(0.5) ? Kind::kDemote : Kind::kRemove, one.id()});
  }
}

void SimFaults::End() {
  ended_ = true;
  cluster_->network().Heal();
  cluster_->network().CalmDown();
  for (const auto& server : cluster_->servers()) {
    server->Resume();
    server->ResetApplyDelay();
    server->disk().SetFull(false);
    server->disk().SetLatency(std::chrono::microseconds(100), Milliseconds(2));
  }
  cluster_->StartAll();
}

}  // namespace consul::sim
