// Random tests of Cluster: pools whose members join, leave, are forced to leave, die, come back and
// are cut off in any order, over a network that loses, repeats and reorders. PoolInvariants hold
// after each step; when the faults end, all members agree, and on the truth.
#include <cstdlib>
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

class RandomRun {
 public:
  explicit RandomRun(uint64_t seed) : random_(seed), pool_(seed) {
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
    for (const std::string& name : names_) {
      TestPool::Node& node = pool_.at(name);
      if (node.up() && node.leave_done) pool_.Crash(name);
    }
    JoinAll();
    const bool agreed = pool_.RunUntil([this] { return WhyNotAgreed().empty(); }, minutes(20));
    if (!pool_.broken().empty()) return pool_.broken() + "\n" + pool_.TakeTrace();
    if (!agreed) return WhyNotAgreed() + "\n" + pool_.TakeTrace();
    // And it stays so: nothing old comes up again.
    for (int i = 0; i < 20; ++i) {
      pool_.Run(seconds(10));
      if (!pool_.broken().empty()) return pool_.broken() + "\n" + pool_.TakeTrace();
      if (const std::string why = WhyNotAgreed(); !why.empty()) return "came undone: " + why;
    }
    return CheckEvents();
  }

  size_t events_sent() const { return sent_.size(); }
  size_t departures() const { return departures_; }

 private:
  struct Sent {
    UserEvent event;
    std::string by;
  };

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
      pool_.Crash(name);
    } else if (dice < 12) {
      ++departures_;
      ends_[name] = End::kLeft;
      node.cluster->Leave(pool_.now());
    } else if (dice < 24) {
      ++departures_;
      // One that is in the middle of leaving has said so to some.
      ends_[name] = node.cluster->Self().status == MemberStatus::kAlive ? End::kDied : End::kLeft;
      pool_.Crash(name);
      return;
    } else if (dice < 44) {
      ForceLeave(node, random_.Below(2) == 0);
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

  void Restart(const std::string& name) {
    pool_.Restart(name, random_.Below(3) == 0);
    ends_.erase(name);
    forced_.erase(name);
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
        if (const std::string why = WhyWrong(name, member); !why.empty()) return why;
      }
      if (first.empty()) {
        first = name;
        view = own;
      }
      if (own != view) return StrCat(first, ": ", view, "\n", name, ": ", own);
    }
    return "";
  }

  std::string WhyWrong(const std::string& at, const ClusterMember& member) {
    const TestPool::Node& node = pool_.at(member.name);
    const bool there = node.up() && !node.leave_done;
    if (there == (member.status == MemberStatus::kAlive)) {
      if (there || member.status == MemberStatus::kLeft) return "";
      if (member.status == MemberStatus::kFailed && !forced_.contains(member.name)) return "";
      if (member.status == MemberStatus::kFailed && ends_[member.name] == End::kLeft) return "";
      // Forced before it was known, or while it was alive and refuted: it may have failed since.
      if (member.status == MemberStatus::kFailed) return "";
    }
    return StrCat(at, " says that ", member.name, " is ", ToText(member.status));
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

  enum class End : uint8_t { kDied, kLeft };

  Random random_;
  TestPool pool_;
  std::vector<std::string> names_;
  std::map<std::string, End> ends_;
  std::set<std::string> forced_;
  std::vector<std::string> sent_;
  size_t departures_ = 0;
};

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(ClusterRandomTest, AllAgreeInTheEnd) {
  const uint64_t first = FromEnvironment("SEED", 1);
  const uint64_t count = FromEnvironment("SEEDS", std::getenv("SEED") != nullptr ? 1 : 40);
  size_t events = 0;
  size_t departures = 0;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE(StrCat("SEED=", seed));
    RandomRun run(seed);
    ASSERT_EQ(run.Faults(60), "");
    ASSERT_EQ(run.Recover(), "");
    events += run.events_sent();
    departures += run.departures();
  }
  // The runs did something.
  EXPECT_GT(events, count * 2);
  EXPECT_GT(departures, count * 2);
}

}  // namespace
}  // namespace consul::gossip
