// Goal: whatever happens to the machines and the network of a pool, every promise of Swim holds
// after every step, and when the faults end all views become the truth, soon. Method: pools of a
// few members in virtual time under random faults, with the invariants watched; then a time
// without faults, in which the members reconnect as the layer above makes them.
//
//   SEED=n     one run (printed when one fails)
//   SEEDS=n    so many runs from SEED, or from 1
//
// Seeds that ever failed are in gossip_seeds.txt and run every time.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "services/base/strings.h"
#include "services/gossip/random.h"
#include "services/gossip/sim_pool.h"

namespace consul::gossip {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kRunsDefault = 500;
constexpr int kActions = 120;
// Within which a pool without faults must agree. Suspicions of up to six times their minimum that
// began just before, a name that is held for its time, and an exchange or two.
constexpr Duration kRecovery = seconds(240);

class RandomRun {
 public:
  explicit RandomRun(uint64_t seed) : random_(seed), pool_(Options(), seed) {
    pool_.WatchInvariants();
    pool_.SetListener([this](HostId host, const Output& output) { Heard(host, output); });
    const size_t count = 3 + random_.Below(8);
    for (size_t i = 0; i < count; ++i) {
      const HostId host = pool_.AddHost(base::StrCat("m", i));
      hosts_.push_back(host);
      pool_.network().SetDrift(host, static_cast<int>(random_.Below(1001)) - 500);
      Start(host);
    }
    pool_.network().RunFor(seconds(5));
  }

  // Returns what broke; empty: nothing.
  std::string Faults() {
    for (int i = 0; i < kActions && Broken().empty(); ++i) {
      Act();
      Pass(milliseconds(random_.Below(random_.Below(4) == 0 ? 8000 : 1500)));
    }
    return Broken();
  }

  std::string Recover() {
    SimNetwork& network = pool_.network();
    network.HealAll();
    network.weather() = SimWeather{};
    for (const HostId host : hosts_) {
      network.SetSlowness(host, Duration{});
      // Who has left comes back; so does who has lost its name, under its own again.
      if (pool_.up(host) && pool_.swim(host).leaving()) pool_.Kill(host);
      if (!pool_.up(host)) Start(host);
    }
    const auto asleep = [&](HostId host) { return network.paused(host) || network.stalled(host); };
    while (std::any_of(hosts_.begin(), hosts_.end(), asleep) && Broken().empty()) Pass(seconds(1));
    while (recovery_ < kRecovery && Broken().empty()) {
      Pass(seconds(1));
      recovery_ += seconds(1);
      why_ = pool_.WhyNotConverged();
      if (why_.empty()) return AnnounceAndListen();
    }
    return Broken().empty() ? base::StrCat("not converged:\n", why_) : Broken();
  }

  // From the end of the last fault until all agreed, in whole seconds.
  Duration recovery() const { return recovery_; }
  uint64_t failures() const { return failures_; }
  uint64_t refutations() const { return refutations_; }
  uint64_t joins() const { return joins_; }
  uint64_t steps() { return pool_.network().steps(); }

 private:
  static SwimOptions Options() {
    SwimOptions options;
    options.dead_node_reclaim = seconds(10);
    return options;
  }

  const std::string& Broken() const { return pool_.invariants().broken(); }
  HostId Any() { return hosts_[random_.Below(hosts_.size())]; }

  void Start(HostId host) {
    pool_.options().tcp_probes = random_.Below(4) != 0;
    pool_.Start(host);
    JoinSomebody(host);
  }

  void JoinSomebody(HostId host) {
    const HostId other = Any();
    if (other != host) pool_.Join(host, other);
  }

  void Heard(HostId host, const Output& output) {
    for (const Change& change : output.changes) {
      failures_ += change.kind == ChangeKind::kFailed ? 1 : 0;
    }
    for (const Fact& fact : output.facts) {
      refutations_ += fact.kind == FactKind::kRefuted ? 1 : 0;
    }
    for (const JoinResult& result : output.join_results) joins_ += result.joined ? 1 : 0;
    for (const CustomReceived& custom : output.customs) {
      if (!announced_.empty() && custom.message == announced_) heard_[host.value] = true;
    }
  }

  // Time passes. Each second some member tries to reach one that it believes dead, or somebody at
  // all when it is alone, as the layer above does.
  void Pass(Duration duration) {
    const Time end = pool_.network().now() + duration;
    while (pool_.network().now() < end && Broken().empty()) {
      pool_.network().RunUntil(std::min(end, pool_.network().now() + seconds(1)));
      Reconnect(Any());
    }
  }

  void Reconnect(HostId host) {
    if (!pool_.up(host) || pool_.network().paused(host) || pool_.swim(host).leaving()) return;
    Swim& swim = pool_.swim(host);
    // Two that know nobody else, and whom all others have seen leave, are found by nobody: agents
    // are configured with whom to join.
    if (swim.counts().living() == 1 || random_.Below(4) == 0) {
      JoinSomebody(host);
      return;
    }
    std::vector<Endpoint> dead;
    swim.ForEachMember([&](const Entry& entry) {
      if (entry.state == LifeState::kDead) dead.push_back(entry.member->info.address);
    });
    if (dead.empty()) return;
    pool_.With(host, [&](Swim* self, Time now) {
      self->Join(now, dead[random_.Below(dead.size())]);
    });
  }

  void Act() {
    const HostId host = Any();
    if (!pool_.up(host)) {
      ComeBack(host);
      return;
    }
    const uint64_t dice = random_.Below(100);
    if (dice < 12) {
      pool_.network().SetRefuses(host, random_.Below(2) == 0);
      pool_.Kill(host);
    } else if (dice < 24) {
      const uint64_t pause_max = random_.Below(4) == 0 ? 40'000 : 3000;
      const auto pause = milliseconds(random_.Below(pause_max));
      if (random_.Below(3) == 0) {
        pool_.network().Stall(host, pause);
      } else {
        pool_.network().Pause(host, pause);
      }
    } else if (dice < 30) {
      pool_.network().SetSlowness(host, milliseconds(random_.Below(2) * random_.Below(700)));
    } else if (dice < 42) {
      pool_.network().Cut(host, Any());
    } else if (dice < 46) {
      Isolate(host);
    } else if (dice < 50) {
      Split();
    } else if (dice < 60) {
      pool_.network().HealAll();
    } else if (dice < 68) {
      ChangeWeather();
    } else {
      Call(host, dice);
    }
  }

  void Call(HostId host, uint64_t dice) {
    if (pool_.network().paused(host)) return;
    const std::string other = pool_.name(Any());
    pool_.With(host, [&](Swim* swim, Time now) {
      if (dice < 74) {
        swim->Leave(now);
      } else if (dice < 80) {
        swim->UpdateMeta(now, base::StrCat("meta", random_.Below(1000)));
      } else if (dice < 84) {
        swim->MakeLeft(now, other);
      } else if (dice < 88) {
        swim->Evict(other);
      } else if (dice < 92) {
        swim->SetIntent(other, {LamportTime{random_.Below(1000)}, 1});
      } else if (dice < 96) {
        swim->Broadcast(now, "topic", std::string(random_.Below(1000), 'x'), Priority::kEvent);
      } else {
        swim->SetAckPayload(std::string(random_.Below(257), 'x'));
      }
    });
    if (dice >= 96) JoinSomebody(host);
  }

  // The machine is started again: as it was, at another address, or set up anew.
  void ComeBack(HostId host) {
    const uint64_t dice = random_.Below(6);
    if (dice == 0) pool_.RenewId(host);
    if (dice == 1) {
      pool_.MoveTo(host, *Endpoint::Parse(base::StrCat("10.200.", random_.Below(250), ".",
                                                       1 + random_.Below(250), ":7946")));
    }
    if (dice == 2) pool_.SetMeta(host, base::StrCat("life", random_.Below(1000)));
    Start(host);
  }

  void Isolate(HostId host) {
    for (const HostId other : hosts_) {
      pool_.network().Cut(host, other);
      if (random_.Below(4) != 0) pool_.network().Cut(other, host);
    }
  }

  // In two parts that do not hear each other, or of which one still hears the other.
  void Split() {
    const bool one_way = random_.Below(3) == 0;
    const size_t first = 1 + random_.Below(hosts_.size() - 1);
    for (size_t i = 0; i < first; ++i) {
      for (size_t j = first; j < hosts_.size(); ++j) {
        pool_.network().Cut(hosts_[i], hosts_[j]);
        if (!one_way) pool_.network().Cut(hosts_[j], hosts_[i]);
      }
    }
  }

  void ChangeWeather() {
    SimWeather& weather = pool_.network().weather();
    weather.delay_min = std::chrono::microseconds(100 + random_.Below(2000));
    weather.delay_max = weather.delay_min + milliseconds(random_.Below(300));
    weather.loss = random_.Below(2) == 0 ? 0 : random_.Unit() * 0.3;
    weather.stream_loss = weather.loss;
    weather.duplication = random_.Below(2) == 0 ? 0 : random_.Unit() * 0.3;
  }

  // A broadcast in a pool without faults reaches everybody. Each hands it on, once. In a small pool
  // four copies from each may all miss one member, once in a hundred times, so it is said again.
  std::string AnnounceAndListen() {
    heard_.assign(pool_.size(), false);
    const HostId speaker = Any();
    heard_[speaker.value] = true;
    for (int time = 0; time < 4; ++time) {
      announced_ = base::StrCat("all together ", time);
      std::set<HostId> passed_on;
      for (int round = 0; round < 10; ++round) {
        for (const HostId host : hosts_) {
          if (!heard_[host.value] || !passed_on.insert(host).second) continue;
          pool_.With(host, [&](Swim* swim, Time now) {
            swim->Broadcast(now, "", announced_, Priority::kEvent);
          });
        }
        pool_.network().RunFor(milliseconds(300));
      }
    }
    for (const HostId host : hosts_) {
      if (!heard_[host.value]) {
        return base::StrCat(pool_.name(host), " has not heard the broadcast");
      }
    }
    return Broken();
  }

  Random random_;
  SimPool pool_;
  std::vector<HostId> hosts_;
  Duration recovery_{};
  std::string why_;
  std::string announced_;
  std::vector<bool> heard_;
  uint64_t failures_ = 0;
  uint64_t refutations_ = 0;
  uint64_t joins_ = 0;
};

std::vector<uint64_t> Seeds() {
  std::vector<uint64_t> seeds;
  const char* const first = std::getenv("SEED");
  const char* const count = std::getenv("SEEDS");
  const uint64_t from = first == nullptr ? 1 : std::strtoull(first, nullptr, 10);
  const uint64_t runs = count != nullptr  ? std::strtoull(count, nullptr, 10)
                        : first != nullptr ? 1
                                           : kRunsDefault;
  if (first == nullptr) {
    std::ifstream file("tests/sim/gossip_seeds.txt");
    EXPECT_TRUE(file.good());
    for (std::string line; std::getline(file, line);) {
      if (!line.empty() && line[0] != '#') seeds.push_back(std::stoull(line));
    }
  }
  for (uint64_t seed = from; seed < from + runs; ++seed) seeds.push_back(seed);
  return seeds;
}

TEST(GossipRandomTest, PromisesHoldUnderFaultsAndAllViewsBecomeTheTruth) {
  uint64_t failures = 0;
  uint64_t refutations = 0;
  uint64_t joins = 0;
  Duration all{};
  Duration longest{};
  const std::vector<uint64_t> seeds = Seeds();
  for (const uint64_t seed : seeds) {
    SCOPED_TRACE(base::StrCat("SEED=", seed));
    RandomRun run(seed);
    ASSERT_EQ(run.Faults(), "");
    ASSERT_EQ(run.Recover(), "");
    failures += run.failures();
    refutations += run.refutations();
    joins += run.joins();
    all += run.recovery();
    longest = std::max(longest, run.recovery());
  }
  const auto in_seconds = [](Duration duration) {
    return std::chrono::duration_cast<seconds>(duration).count();
  };
  std::cout << seeds.size() << " runs, of one view after the last fault: in the mean after "
            << in_seconds(all / static_cast<int64_t>(seeds.size())) << " s, at the latest after "
            << in_seconds(longest) << " s" << std::endl;
  // The runs did something: pools where nobody is suspected would find no fault.
  if (seeds.size() < kRunsDefault) return;
  EXPECT_GT(failures, seeds.size() * 5);
  EXPECT_GT(refutations, seeds.size() * 5);
  EXPECT_GT(joins, seeds.size() * 5);
}

// Two pools, each with a member of the same name, meet by joins of any two.
TEST(GossipRandomTest, OfTwoMembersOfOneNameTheOneWithTheSmallerIdStays) {
  for (const uint64_t seed : Seeds()) {
    SCOPED_TRACE(base::StrCat("SEED=", seed));
    Random random(seed);
    SimPool pool(SwimOptions(), seed);
    pool.WatchInvariants();
    std::vector<HostId> losers;
    pool.SetListener([&](HostId host, const Output& output) {
      if (output.name_lost_to != nullptr) losers.push_back(host);
    });
    pool.network().weather().delay_max = milliseconds(1 + random.Below(100));
    pool.network().weather().loss = random.Below(2) == 0 ? 0 : random.Unit() * 0.1;
    const bool first_is_smaller = random.Below(2) == 0;
    std::vector<std::vector<HostId>> sides(2);
    for (size_t side = 0; side < sides.size(); ++side) {
      const size_t count = 2 + random.Below(4);
      for (size_t i = 0; i < count; ++i) {
        const HostId host = pool.AddHost(base::StrCat("s", side, "m", i));
        if (i == 0) {
          pool.SetMemberName(host, "same");
          pool.SetId(host, (side == 0) == first_is_smaller ? "id-1" : "id-2");
        }
        pool.Start(host);
        if (i > 0) pool.Join(host, sides[side].front());
        sides[side].push_back(host);
      }
    }
    pool.network().RunFor(seconds(10));
    // Again and again: the one that joined may have lost its name, and left, before it was done.
    const auto staying = [&](const std::vector<HostId>& side) {
      for (;;) {
        const HostId host = side[random.Below(side.size())];
        if (!pool.swim(host).leaving()) return host;
      }
    };
    for (int time = 0; time < 8; ++time) {
      const HostId from = staying(sides[0]);
      const HostId to = staying(sides[1]);
      pool.Join(from, to);
      pool.network().RunFor(seconds(20));
    }
    ASSERT_EQ(pool.invariants().broken(), "");
    const HostId loser = sides[first_is_smaller ? 1 : 0].front();
    ASSERT_EQ(losers, std::vector<HostId>{loser});
    ASSERT_EQ(pool.WhyNotConverged(), "");
  }
}

// What of `id` is believed living at another address than `at`; empty: nothing.
std::string Misled(const Swim& swim, const std::string& id, const Endpoint& at) {
  std::string who;
  swim.ForEachMember([&](const Entry& entry) {
    const MemberInfo& info = entry.member->info;
    if (info.id != id || !IsLiving(entry.state) || info.address == at) return;
    who = base::StrCat(swim.self().name, " believes ", info.name, " at ", info.address.ToString());
  });
  return who;
}

// Copies of members' data, under the same names or others, are joined, join each other and members,
// and come in what fewer newcomers tell than the pool has members.
TEST(GossipRandomTest, NoCopyHasTheMembersPlaceInItsPool) {
  for (const uint64_t seed : Seeds()) {
    SCOPED_TRACE(base::StrCat("SEED=", seed));
    Random random(seed);
    SimPool pool(SwimOptions(), seed);
    pool.WatchInvariants();
    std::vector<HostId> ended;
    pool.SetListener([&](HostId host, const Output& output) {
      if (!output.copy_of.empty() || output.name_lost_to != nullptr) ended.push_back(host);
    });
    pool.network().weather().delay_max = milliseconds(1 + random.Below(100));
    std::vector<HostId> members;
    const size_t count = 4 + random.Below(5);
    for (size_t i = 0; i < count; ++i) {
      members.push_back(pool.AddHost(base::StrCat("m", i)));
      pool.Start(members.back());
    }
    pool.Preload();
    pool.network().RunFor(seconds(70));
    std::vector<HostId> hosts = members;
    const auto start = [&](const std::string& name, const HostId* of) {
      const HostId host = pool.AddHost(name);
      if (of != nullptr) {
        pool.SetId(host, pool.swim(*of).self().id);
        if (random.Below(2) == 0) pool.SetMemberName(host, pool.name(*of));
      }
      pool.Start(host);
      hosts.push_back(host);
    };
    const size_t copies = 1 + random.Below(2);
    for (size_t i = 0; i < copies; ++i) {
      start(base::StrCat("copy", i), &members[random.Below(members.size())]);
    }
    if (random.Below(2) == 0) start("newcomer", nullptr);
    for (int time = 0; time < 12; ++time) {
      const HostId from = hosts[random.Below(hosts.size())];
      const HostId to = hosts[random.Below(hosts.size())];
      if (from != to && !pool.swim(from).leaving()) pool.Join(from, to);
      pool.network().RunFor(milliseconds(random.Below(random.Below(4) == 0 ? 30'000 : 1000)));
      ASSERT_EQ(pool.invariants().broken(), "");
      for (const HostId member : members) {
        ASSERT_EQ(std::count(ended.begin(), ended.end(), member), 0) << pool.name(member);
        const MemberInfo& info = pool.swim(member).self();
        for (const HostId other : members) {
          ASSERT_EQ(Misled(pool.swim(other), info.id, info.address), "");
        }
      }
    }
  }
}

TEST(GossipRandomTest, OneSeedIsOneRun) {
  RandomRun one(7);
  RandomRun same(7);
  EXPECT_EQ(one.Faults(), "");
  EXPECT_EQ(same.Faults(), "");
  EXPECT_EQ(one.steps(), same.steps());
  EXPECT_EQ(one.refutations(), same.refutations());
}

}  // namespace
}  // namespace consul::gossip
