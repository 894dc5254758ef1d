// Who is fired by what: exact keys, prefixes, absent keys, cancelled waiters, many waiters.
#include "services/state/watch_registry.h"

#include <algorithm>
#include <set>

#include "gtest/gtest.h"

namespace consul::state {
namespace {

constexpr MapId kA{1};
constexpr MapId kB{2};

struct Probe : Waiter {
  explicit Probe(std::string n) : name(std::move(n)) {}
  void Fire() override { ++fired; }
  std::string name;
  int fired = 0;
};

class WatchRegistryTest : public testing::Test {
 protected:
  std::shared_ptr<Probe> Wait(std::string name, const std::vector<Slot>& slots) {
    WatchSet set;
    for (const Slot& slot : slots) {
      if (slot.kind == Slot::Kind::kKey) {
        set.AddKey(slot.map, slot.bytes);
      } else {
        set.AddPrefix(slot.map, slot.bytes);
      }
    }
    auto probe = std::make_shared<Probe>(std::move(name));
    registry_.Register(probe, set);
    return probe;
  }
  static Slot Key(MapId map, std::string_view key) { return {map, Slot::Kind::kKey, key}; }
  static Slot Prefix(MapId map, std::string_view bytes) {
    return {map, Slot::Kind::kPrefix, bytes};
  }
  // Names of the waiters that a touch takes out, sorted.
  std::string Touch(const std::vector<Slot>& slots) {
    SlotList touched;
    for (const Slot& slot : slots) touched.Add(slot.map, slot.kind, slot.bytes);
    std::vector<std::string> names;
    for (const std::shared_ptr<Waiter>& waiter : registry_.Notify(touched)) {
      names.push_back(static_cast<Probe&>(*waiter).name);
    }
    std::sort(names.begin(), names.end());
    std::string joined;
    for (const std::string& name : names) joined += (joined.empty() ? "" : " ") + name;
    return joined;
  }
  WatchRegistry registry_;
};

TEST_F(WatchRegistryTest, AKeyFiresWhoWatchesItAndNobodyElse) {
  Wait("x", {Key(kA, "x")});
  Wait("y", {Key(kA, "y")});
  Wait("other-map", {Key(kB, "x")});
  EXPECT_EQ(Touch({Key(kA, "x")}), "x");
  EXPECT_EQ(registry_.waiter_count(), 2u);
}

TEST_F(WatchRegistryTest, AWatchedKeyIsNotAPrefix) {
  Wait("k", {Key(kA, "foo")});
  EXPECT_EQ(Touch({Key(kA, "foobar"), Key(kA, "fo")}), "");
}

TEST_F(WatchRegistryTest, APrefixFiresForEveryKeyBeneathIt) {
  Wait("foo", {Prefix(kA, "foo")});
  Wait("foo/", {Prefix(kA, "foo/")});
  Wait("all", {Prefix(kA, "")});
  Wait("bar", {Prefix(kA, "bar")});
  EXPECT_EQ(Touch({Key(kA, "foo/x")}), "all foo foo/");
}

TEST_F(WatchRegistryTest, AKeyThatIsThePrefixItselfFiresIt) {
  Wait("p", {Prefix(kA, "foo")});
  EXPECT_EQ(Touch({Key(kA, "foo")}), "p");
}

TEST_F(WatchRegistryTest, AKeyShorterThanThePrefixDoesNotFireIt) {
  Wait("p", {Prefix(kA, "foo")});
  EXPECT_EQ(Touch({Key(kA, "fo"), Key(kA, "")}), "");
}

TEST_F(WatchRegistryTest, FiresEachWaiterOnceHoweverManyOfItsSlotsAreTouched) {
  const auto probe = Wait("w", {Key(kA, "x"), Key(kA, "y"), Prefix(kA, ""), Key(kB, "x")});
  EXPECT_EQ(Touch({Key(kA, "x"), Key(kA, "y"), Key(kB, "x")}), "w");
  EXPECT_EQ(Touch({Key(kA, "x"), Key(kA, "y"), Key(kB, "x")}), "");
}

TEST_F(WatchRegistryTest, ASlotNamedTwiceInOneSetIsHarmless) {
  Wait("w", {Key(kA, "x"), Key(kA, "y"), Key(kA, "x"), Prefix(kA, "x"), Prefix(kA, "x")});
  EXPECT_EQ(Touch({Key(kA, "x")}), "w");
  EXPECT_EQ(registry_.waiter_count(), 0u);
}

TEST_F(WatchRegistryTest, ACancelledWaiterIsNotFired) {
  const auto probe = Wait("w", {Key(kA, "x"), Prefix(kA, "")});
  EXPECT_TRUE(registry_.Cancel(probe.get()));
  EXPECT_FALSE(registry_.Cancel(probe.get()));
  EXPECT_EQ(Touch({Key(kA, "x")}), "");
}

TEST_F(WatchRegistryTest, CancelAfterFiringSaysSo) {
  const auto probe = Wait("w", {Key(kA, "x")});
  EXPECT_EQ(Touch({Key(kA, "x")}), "w");
  EXPECT_FALSE(registry_.Cancel(probe.get()));
}

TEST_F(WatchRegistryTest, AFiredWaiterCanWaitAgain) {
  const auto probe = Wait("w", {Key(kA, "x")});
  Touch({Key(kA, "x")});
  WatchSet set;
  set.AddKey(kA, "y");
  registry_.Register(probe, set);
  EXPECT_EQ(Touch({Key(kA, "y")}), "w");
}

TEST_F(WatchRegistryTest, ATouchedPrefixStandsForAllKeysBeneathIt) {
  Wait("foo/x", {Key(kA, "foo/x")});
  Wait("fop", {Key(kA, "fop")});
  Wait("above", {Prefix(kA, "f")});
  Wait("beneath", {Prefix(kA, "foo/y")});
  Wait("beside", {Prefix(kA, "g")});
  EXPECT_EQ(Touch({Prefix(kA, "foo")}), "above beneath foo/x");
}

TEST_F(WatchRegistryTest, ManyPrefixLengthsAtOnceWithOneWaiterOnAll) {
  const std::string key(40, 'k');
  std::vector<Slot> slots;
  for (size_t i = 0; i <= key.size(); ++i) slots.push_back(Prefix(kA, key.substr(0, i)));
  std::vector<std::string> names;
  for (size_t i = 0; i < slots.size(); ++i) {
    slots[i].bytes = std::string_view(key).substr(0, i);
    Wait("p", {slots[i]});
  }
  Wait("all-of-them", slots);
  EXPECT_EQ(registry_.waiter_count(), slots.size() + 1);
  Touch({Key(kA, key)});
  EXPECT_EQ(registry_.waiter_count(), 0u);
}

TEST_F(WatchRegistryTest, TenThousandWaitersOnOneKey) {
  std::vector<std::shared_ptr<Probe>> probes;
  for (int i = 0; i < 10000; ++i) probes.push_back(Wait("w", {Key(kA, "hot")}));
  for (int i = 0; i < 10000; i += 2) EXPECT_TRUE(registry_.Cancel(probes[i].get()));
  SlotList touched;
  touched.AddKey(kA, "hot");
  const auto fired = registry_.Notify(touched);
  EXPECT_EQ(fired.size(), 5000u);
  for (const auto& waiter : fired) waiter->Fire();
  for (int i = 0; i < 10000; ++i) EXPECT_EQ(probes[i]->fired, i % 2);
}

TEST_F(WatchRegistryTest, TheRegistryHoldsAWaiterThatNobodyElseHolds) {
  std::weak_ptr<Probe> weak = Wait("w", {Key(kA, "x")});
  EXPECT_FALSE(weak.expired());
  EXPECT_EQ(Touch({Key(kA, "x")}), "w");
  EXPECT_TRUE(weak.expired());
}

TEST_F(WatchRegistryTest, NotifyAllTakesOutEveryone) {
  Wait("a", {Key(kA, "x")});
  Wait("b", {Prefix(kB, "")});
  EXPECT_EQ(registry_.NotifyAll().size(), 2u);
  EXPECT_EQ(registry_.waiter_count(), 0u);
}

TEST_F(WatchRegistryTest, WaitersLeftAtTheEndAreLetGo) {
  std::weak_ptr<Probe> weak;
  {
    WatchRegistry registry;
    auto probe = std::make_shared<Probe>("w");
    weak = probe;
    WatchSet set;
    set.AddPrefix(kA, "");
    registry.Register(std::move(probe), set);
  }
  EXPECT_TRUE(weak.expired());
}

TEST(WatchRegistry, AParkedWaiterOfOneSlotCostsLittle) {
  // The waiter, its one link, and the two allocations' headers.
  EXPECT_LE(sizeof(Waiter) + WatchRegistry::kLinkBytes + 32, 120u);
}

TEST(WatchSet, RepeatedSlotsInARowAreOne) {
  WatchSet set;
  set.AddKey(kA, "x");
  set.AddKey(kA, "x");
  set.AddPrefix(kA, "x");
  set.AddKey(kA, "x");
  EXPECT_EQ(set.size(), 3u);
}

TEST(WatchSet, ASetBeyondTheLimitWatchesWholeMaps) {
  WatchSet set;
  for (size_t i = 0; i < WatchSet::kSlotsMax; ++i) set.AddKey(kA, std::to_string(i));
  EXPECT_EQ(set.size(), WatchSet::kSlotsMax);
  set.AddKey(kB, "one too many");
  ASSERT_EQ(set.size(), 2u);
  std::set<MapId> maps;
  for (size_t i = 0; i < set.size(); ++i) {
    EXPECT_EQ(set[i].kind, Slot::Kind::kPrefix);
    EXPECT_EQ(set[i].bytes, "");
    maps.insert(set[i].map);
  }
  EXPECT_EQ(maps, (std::set<MapId>{kA, kB}));
}

}  // namespace
}  // namespace consul::state
