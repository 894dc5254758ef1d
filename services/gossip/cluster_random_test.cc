// Random tests of Cluster: pools whose members join, leave, are forced to leave, die, come back and
// are cut off in any order, over a network that loses, repeats and reorders. PoolInvariants hold
// after each step; when the faults end, all members agree, and on the truth.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "services/base/strings.h"
#include "services/gossip/cluster_text.h"
#include "services/gossip/test_pool.h"

namespace consul::gossip {
namespace {

using base::StrCat;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// What may happen in a run.
struct Kind {
  explicit Kind(uint64_t seed)
      : forces(seed % 3 != 0), new_ids(seed % 4 == 0), forgets(seed % 5 == 0) {}

  ClusterOptions Options() const {
    ClusterOptions options;
    if (forgets) options.reconnect_timeout = options.tombstone_timeout = kForgottenAfter;
    return options;
  }

  static constexpr Duration kForgottenAfter = minutes(2);
  bool forces;   // members are forced to leave
  bool new_ids;  // other machines take the names of those that are down
  bool forgets;  // members that are gone are forgotten within the run
};

class RandomRun {
 public:
  explicit RandomRun(uint64_t seed)
      : kind_(seed), random_(seed), pool_(seed, kind_.Options()) {
    pool_.network().loss_percent = static_cast<int>(random_.Below(20));
    pool_.network().duplicate_percent = static_cast<int>(random_.Below(20));
    pool_.network().latency_max = milliseconds(1 + random_.Below(100));
    const size_t members = 3 + random_.Below(5);
    for (size_t i = 0; i < members; ++i) {
      names_.push_back(std::string(1, static_cast<char>('a' + i)));
      pool_.Add(names_.back());
      if (i > 0) pool_.Join(names_.back(), names_.front());
    }
  }

  // Empty, or what went wrong.
  std::string Faults(int steps) {
    for (int i = 0; i < steps; ++i) {
      Step();
      pool_.Run(milliseconds(random_.Below(random_.Below(4) == 0 ? 20'000 : 1'000)));
      if (!pool_.broken().empty()) return pool_.broken() + "\n" + pool_.TakeTrace();
      pool_.TakeTrace();
    }
    return "";
  }

  // The faults end; all members are to agree within some minutes.
  std::string Recover() {
    pool_.network() = {};
    pool_.Heal();
    pool_.Run(seconds(15));  // whoever is leaving is done
    for (const std::string& name : names_) {
      TestPool::Node& node = pool_.at(name);
      if (node.up() && node.leave_done) Crash(name);
    }
    // Two that each take the other for one that left never meet by themselves.
    JoinAll();
    if (kind_.new_ids) {
      // They were refused as long as the names were of those that had just died.
      pool_.Run(minutes(1));
      JoinAll();
    }
    // Until then each forgets in its own time.
    if (kind_.forgets) pool_.Run(3 * Kind::kForgottenAfter);
    std::string why = "not begun";
    for (int i = 0; i < 120 && !why.empty(); ++i) {
      pool_.Run(seconds(10));
      why = pool_.broken().empty() ? WhyNotAgreed() : pool_.broken();
    }
    // And it stays so: nothing old comes up again.
    for (int i = 0; i < 20 && why.empty(); ++i) {
      pool_.Run(seconds(10));
      why = pool_.broken().empty() ? WhyNotAgreed() : pool_.broken();
      if (!why.empty()) why = "came undone: " + why;
    }
    if (why.empty()) why = CheckEvents();
    return why.empty() ? "" : why + "\n" + pool_.TakeTrace();
  }

  size_t events_sent() const { return sent_.size(); }
  size_t departures() const { return departures_; }

 private:
  std::string Any() { return names_[random_.Below(names_.size())]; }

  void Step() {
    const std::string name = Any();
    TestPool::Node& node = pool_.at(name);
    const uint64_t dice = random_.Below(100);
    if (!node.up()) {
      if (dice < 60) Restart(name);
      return;
    }
    if (node.leave_done && dice < 70) {
      Crash(name);
    } else if (dice < 12) {
      ++departures_;
      leaving_.insert(name);
      node.cluster->Leave(pool_.now());
    } else if (dice < 24) {
      ++departures_;
      Crash(name);
      return;
    } else if (dice < 34) {
      if (kind_.forces) ForceLeave(node, random_.Below(2) == 0);
    } else if (dice < 44) {
      pool_.Heal();
    } else if (dice < 52) {
      pool_.Cut(name, Any());
    } else if (dice < 56) {
      pool_.CutOff(name);
    } else if (dice < 66) {
      pool_.Heal();
    } else if (dice < 76) {
      pool_.Join(name, Any());
      return;
    } else if (dice < 90) {
      SendEvent(node);
    } else {
      (void)node.cluster->UpdateTags(pool_.now(), {{"n", std::to_string(random_.Below(100))}});
    }
    pool_.Pump(node);
  }

  void Crash(const std::string& name) {
    const TestPool::Node& node = pool_.at(name);
    lives_[name].push_back({node.id, node.cluster->swim().Find(name)->incarnation,
                            leaving_.erase(name) > 0});
    pool_.Crash(name);
  }

  void Restart(const std::string& name) {
    const bool new_id = kind_.new_ids && random_.Below(3) == 0;
    pool_.Restart(name, /*fresh=*/new_id || random_.Below(3) == 0, new_id);
    for (int i = 0; i < 3; ++i) {
      const std::string to = Any();
      if (to != name) pool_.Join(name, to);
    }
  }

  void ForceLeave(TestPool::Node& node, bool prune) {
    const std::string other = Any();
    if (other == node.name) return;
    if (node.cluster->ForceLeave(pool_.now(), other, prune).ok()) forced_.insert(other);
  }

  void SendEvent(TestPool::Node& node) {
    const std::string payload = StrCat("p", sent_.size());
    if (!node.cluster->SendUserEvent(pool_.now(), "event", payload, false).ok()) return;
    sent_.push_back(payload);
  }

  void JoinAll() {
    std::string first;
    for (const std::string& name : names_) {
      if (!pool_.at(name).up()) continue;
      if (first.empty()) first = name;
      if (name != first) pool_.Join(name, first);
    }
  }

  // Who is up and has not left is alive for all; of the others all think the same, and nothing that
  // cannot be.
  std::string WhyNotAgreed() {
    std::string view;
    std::string first;
    for (const std::string& name : names_) {
      TestPool::Node& node = pool_.at(name);
      if (!node.up() || node.leave_done) continue;
      std::string own;
      for (const ClusterMember& member : node.cluster->Members()) {
        base::StrAppend(&own, member.name, " ", ToText(member.status), " at ",
                        member.status_time.value, ", ");
        if (const std::string why = WhyWrong(name, member); !why.empty()) {
          return StrCat(why, "\n", TablesText());
        }
      }
      if (first.empty()) {
        first = name;
        view = own;
      }
      if (own != view) {
        return StrCat(first, ": ", view, "\n", name, ": ", own, "\n", TablesText());
      }
    }
    return "";
  }

  // What stands behind the views, hidden members and past lives too.
  std::string TablesText() {
    std::string text;
    for (const auto& [name, lives] : lives_) {
      for (const Life& life : lives) {
        base::StrAppend(&text, name, " was ", life.id, " up to ", life.last.value,
                        life.left ? " and left\n" : "\n");
      }
    }
    for (const std::string& name : names_) {
      if (!pool_.at(name).up()) continue;
      const Swim& swim = pool_.cluster(name).swim();
      for (const std::string& other : names_) {
        const std::optional<Entry> entry = swim.Find(other);
        if (!entry.has_value()) continue;
        base::StrAppend(&text, name, ": ", other, " ", ToText(entry->state), " ",
                        entry->incarnation.value, " intent ", entry->intent.time.value, "/",
                        entry->intent.kind, "\n");
      }
    }
    return text;
  }

  std::string WhyWrong(const std::string& at, const ClusterMember& member) {
    const TestPool::Node& node = pool_.at(member.name);
    const bool there = node.up() && !node.leave_done;
    bool right = false;
    switch (member.status) {
      case MemberStatus::kAlive:
        right = there;
        break;
      case MemberStatus::kLeaving:
        break;
      case MemberStatus::kLeft:
        right = !there && (forced_.contains(member.name) ||
                           HasLeft(member.name, *pool_.cluster(at).swim().Find(member.name)));
        break;
      case MemberStatus::kFailed:
        // Also one that left, when it was cut off and nobody heard it.
        right = !there;
        break;
    }
    if (kind_.forgets && !there) right = false;
    if (right) return "";
    return StrCat(at, " says that ", member.name, " is ", ToText(member.status));
  }

  // Whether a life that `entry` may be about ended with a leave. A life begins with incarnation 1;
  // then it is above those of the lives before that it has heard of.
  bool HasLeft(const std::string& name, const Entry& entry) {
    Incarnation before;
    for (const Life& life : lives_[name]) {
      if (life.id != entry.member->info.id) continue;
      const Incarnation first = life.last > before ? before.Next() : Incarnation{1};
      const bool is_it = entry.incarnation == Incarnation{1} ||
                         (entry.incarnation >= first && entry.incarnation <= life.last);
      if (is_it && life.left) return true;
      before = std::max(before, life.last);
    }
    // An intent is about a name, whichever machine had it last.
    return !lives_[name].empty() && lives_[name].back().left;
  }

  // Every event of the buffer is known to all now. (That nobody was told twice is an invariant.)
  std::string CheckEvents() {
    for (const std::string& name : names_) {
      TestPool::Node& node = pool_.at(name);
      if (!node.up() || node.leave_done) continue;
      SendEvent(node);
      pool_.Pump(node);
    }
    const std::vector<std::string> last(sent_.end() - static_cast<ptrdiff_t>(Living()),
                                        sent_.end());
    pool_.Run(minutes(3));
    for (const std::string& name : names_) {
      TestPool::Node& node = pool_.at(name);
      if (!node.up() || node.leave_done) continue;
      for (const std::string& payload : last) {
        const auto told = std::count_if(
            node.user_events.begin(), node.user_events.end(),
            [&](const UserEvent& event) { return event.payload == payload; });
        if (told != 1) return StrCat(name, " was told ", told, " times of ", payload);
      }
    }
    return pool_.broken();
  }

  size_t Living() {
    return static_cast<size_t>(std::count_if(names_.begin(), names_.end(), [this](auto& name) {
      return pool_.at(name).up() && !pool_.at(name).leave_done;
    }));
  }

  struct Life {
    std::string id;
    Incarnation last;
    bool left = false;
  };

  const Kind kind_;
  Random random_;
  TestPool pool_;
  std::vector<std::string> names_;
  std::map<std::string, std::vector<Life>> lives_;  // that are over
  std::set<std::string> leaving_;                   // in this life, by themselves
  std::set<std::string> forced_;                    // by others, ever
  std::vector<std::string> sent_;
  size_t departures_ = 0;
};

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// What a run found, beside whether it did anything.
struct Outcome {
  std::string why;  // empty: all was well
  size_t events = 0;
  size_t departures = 0;
};

Outcome RunSeed(uint64_t seed) {
  RandomRun run(seed);
  Outcome outcome;
  outcome.why = run.Faults(60);
  if (outcome.why.empty()) outcome.why = run.Recover();
  outcome.events = run.events_sent();
  outcome.departures = run.departures();
  return outcome;
}

TEST(ClusterRandomTest, AllAgreeInTheEnd) {
  const uint64_t first = FromEnvironment("SEED", 1);
  const uint64_t count = FromEnvironment("SEEDS", std::getenv("SEED") != nullptr ? 1 : 40);
  size_t events = 0;
  size_t departures = 0;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    const Outcome outcome = RunSeed(seed);
    ASSERT_EQ(outcome.why, "") << "SEED=" << seed;
    events += outcome.events;
    departures += outcome.departures;
  }
  // The runs did something.
  EXPECT_GT(events, count * 2);
  EXPECT_GT(departures, count * 2);
}

// Each failed once. What they found also stands in testdata/cluster_gone.txt, told shortly.
TEST(ClusterRandomTest, ANodeIdThatReplacesAnotherOfTheGoneIsPublished) {
  EXPECT_EQ(RunSeed(328).why, "");
}
TEST(ClusterRandomTest, WhoLeftInAFormerLifeHasFailedInThisOne) {
  EXPECT_EQ(RunSeed(2432).why, "");
}

TEST(ClusterRandomTest, ADeathOfALaterLifeIsNoLeave) { EXPECT_EQ(RunSeed(7361).why, ""); }

}  // namespace
}  // namespace consul::gossip
