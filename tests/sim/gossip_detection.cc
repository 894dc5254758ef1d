// How soon deaths are known.
#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <string>
#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/gossip/suspicion.h"
#include "tests/sim/gossip_scenarios.h"

namespace consul::gossip {
namespace {

// The steps in which curves are drawn.
constexpr Duration kCurveStep = std::chrono::milliseconds(10);
// How long after its expected end a death is watched.
constexpr Duration kAfterDeath = std::chrono::seconds(8);
// How long a member that came back is left in peace.
constexpr Duration kRest = std::chrono::seconds(5);

double InSeconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

// One death: who learned of it when.
struct Death {
  Time died;
  std::vector<Time> suspected;
  std::vector<Time> dead;
  std::vector<bool> knows;
};

// Listens for the deaths of members that it has killed.
class Deaths {
 public:
  explicit Deaths(SimPool* pool) : pool_(pool) {
    pool->SetListener([this](HostId host, const Output& output) { Heard(host, output); });
  }

  Death* Kill(HostId victim) {
    Death& death = deaths_[pool_->name(victim)];
    death = Death{pool_->network().now(), {}, {}, std::vector<bool>(pool_->size())};
    pool_->Kill(victim);
    return &death;
  }

  // It joins by way of somebody who is there.
  void Revive(HostId host) {
    deaths_.erase(pool_->name(host));
    HostId other = host;
    do {
      other.value = static_cast<uint32_t>((other.value + 1) % pool_->size());
    } while (!pool_->up(other));
    pool_->Start(host);
    pool_->Join(host, other);
  }

 private:
  void Heard(HostId host, const Output& output) {
    for (const Fact& fact : output.facts) {
      if (fact.kind == FactKind::kSuspected) Learned(host, fact.name);
    }
    for (const Change& change : output.changes) {
      if (change.kind != ChangeKind::kFailed) continue;
      const std::string& name = change.entry.member->info.name;
      Learned(host, name);
      const auto death = deaths_.find(name);
      if (death != deaths_.end()) death->second.dead.push_back(pool_->network().now());
    }
  }

  void Learned(HostId host, const std::string& name) {
    const auto death = deaths_.find(name);
    if (death == deaths_.end() || death->second.knows[host.value]) return;
    death->second.knows[host.value] = true;
    death->second.suspected.push_back(pool_->network().now());
  }

  SimPool* const pool_;
  std::map<std::string, Death> deaths_;
};

void AddCurve(const std::vector<Time>& times, Time died, double weight,
              std::vector<double>* curve) {
  for (const Time time : times) {
    for (size_t i = static_cast<size_t>((time - died) / kCurveStep) + 1; i < curve->size(); ++i) {
      (*curve)[i] += weight;
    }
  }
}

}  // namespace

SwimOptions PlainSwim() {
  SwimOptions options;
  options.lifeguard = false;
  options.tcp_probes = false;
  return options;
}

std::unique_ptr<SimPool> MakePool(const SwimOptions& options, size_t count, uint64_t seed) {
  auto pool = std::make_unique<SimPool>(options, seed);
  pool->network().weather().delay_min = std::chrono::microseconds(200);
  pool->network().weather().delay_max = std::chrono::microseconds(800);
  for (size_t i = 0; i < count; ++i) {
    std::string number = std::to_string(i);
    number.insert(0, 5 - number.size(), '0');
    pool->Start(pool->AddHost(base::StrCat("node-", number)));
  }
  pool->Preload();
  return pool;
}

DetectionFigures MeasureDetection(const SwimOptions& options, size_t count, size_t deaths,
                                  Duration spacing, uint64_t seed) {
  const auto pool = MakePool(options, count, seed);
  Deaths listener(pool.get());
  Random random(seed);
  DetectionFigures figures;
  figures.deaths = deaths;
  double squares = 0;
  // A member comes back long after its death was detected.
  std::deque<std::pair<HostId, const Death*>> dead;
  std::vector<Time> peace_until(count);
  const auto revive = [&] {
    const auto [host, death] = dead.front();
    dead.pop_front();
    CONSUL_CHECK(!death->suspected.empty());
    const double wait = InSeconds(death->suspected.front() - death->died);
    figures.mean += wait / static_cast<double>(deaths);
    squares += wait * wait / static_cast<double>(deaths);
    listener.Revive(host);
    peace_until[host.value] = pool->network().now() + kRest;
  };
  pool->network().RunFor(kRest);
  for (size_t i = 0; i < deaths; ++i) {
    HostId victim{};
    do {
      victim.value = static_cast<uint32_t>(random.Below(count));
    } while (!pool->up(victim) || peace_until[victim.value] > pool->network().now());
    dead.emplace_back(victim, listener.Kill(victim));
    pool->network().RunFor(
        spacing / 2 + Duration(random.Below(static_cast<uint64_t>(spacing.count()))));
    while (!dead.empty() &&
           dead.front().second->died + std::chrono::seconds(20) < pool->network().now()) {
      revive();
    }
  }
  pool->network().RunFor(std::chrono::seconds(20));
  while (!dead.empty()) revive();
  const double variance = squares - figures.mean * figures.mean;
  figures.error = std::sqrt(std::max(0.0, variance) / static_cast<double>(deaths));
  return figures;
}

SpreadFigures MeasureSpread(const SwimOptions& options, size_t count, size_t deaths,
                            uint64_t seed) {
  const auto pool = MakePool(options, count, seed);
  Deaths listener(pool.get());
  Random random(seed);
  SpreadFigures figures;
  figures.deaths = deaths;
  const Duration formula = BoundsFor(options, count).timeout_min;
  const Duration watched = formula + kAfterDeath;
  figures.formula = InSeconds(formula);
  figures.suspected_curve.resize(static_cast<size_t>(watched / kCurveStep));
  figures.dead_curve.resize(figures.suspected_curve.size());
  const size_t most = (count - 1) * 99 / 100;
  const double share = 1.0 / static_cast<double>(deaths);
  for (size_t i = 0; i < deaths; ++i) {
    pool->network().RunFor(kRest + Duration(random.Below(1'000'000'000)));
    const HostId victim{static_cast<uint32_t>(random.Below(count))};
    const Death* const death = listener.Kill(victim);
    pool->network().RunFor(watched);
    while (death->dead.size() < most) pool->network().RunFor(std::chrono::seconds(1));
    const Time first = death->suspected.front();
    const double known = InSeconds(death->suspected[most - 1] - first);
    const double confirmed = InSeconds(death->dead.front() - first);
    figures.known_mean += known * share;
    figures.known_max = std::max(figures.known_max, known);
    figures.confirmed_mean += confirmed * share;
    figures.confirmed_max = std::max(figures.confirmed_max, confirmed);
    figures.confirmed_all_mean += InSeconds(death->dead[most - 1] - first) * share;
    const double weight = share / static_cast<double>(count - 1);
    AddCurve(death->suspected, death->died, weight, &figures.suspected_curve);
    AddCurve(death->dead, death->died, weight, &figures.dead_curve);
    listener.Revive(victim);
  }
  return figures;
}

}  // namespace consul::gossip
