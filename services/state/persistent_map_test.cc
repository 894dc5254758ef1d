// The map against std::map: random batches on copies, every retained version checked whole.
#include "services/state/persistent_map.h"

#include <map>
#include <random>
#include <string>

#include "gtest/gtest.h"

namespace consul::state {
namespace {

int live_items = 0;

struct Item : Counted {
  Item(std::string_view k, uint64_t i) : name(k), index(i) { ++live_items; }
  ~Item() { --live_items; }
  std::string_view key() const { return name; }
  uint64_t modify_index() const { return index; }
  std::string name;
  uint64_t index;
};

using Model = std::map<std::string, uint64_t>;

Held<const Item> MakeItem(std::string_view key, uint64_t index) {
  return Held<const Item>(new Item(key, index));
}

uint64_t ModelIndexOfPrefix(const Model& model, const std::string& prefix) {
  uint64_t best = 0;
  for (auto it = model.lower_bound(prefix); it != model.end() && it->first.starts_with(prefix);
       ++it) {
    best = std::max(best, it->second);
  }
  return best;
}

template <typename Map>
void ExpectSame(const Map& map, const Model& model) {
  map.CheckForTest();
  ASSERT_EQ(map.size(), model.size());
  auto it = map.Begin();
  for (const auto& [key, index] : model) {
    ASSERT_TRUE(it.Valid());
    ASSERT_EQ(it->key(), key);
    ASSERT_EQ(it->modify_index(), index);
    it.Next();
  }
  ASSERT_FALSE(it.Valid());
}

// Keys that share prefixes of many lengths, hold zero bytes and bytes above 127, and are prefixes
// of one another.
std::string RandomKey(std::mt19937_64& random, int spread) {
  static const char* const kParts[] = {"service/", "a", std::string_view("\0", 1).data(), "config/",
                                       "\xff\xfe", "zz", "0123456789abcdef/", "b"};
  std::string key;
  const int parts = 1 + static_cast<int>(random() % 4);
  for (int i = 0; i < parts; ++i) {
    const int part = static_cast<int>(random() % 8);
    key += part == 2 ? std::string(1, '\0') : std::string(kParts[part]);
  }
  return key + std::to_string(random() % spread);
}

template <typename T>
class PersistentMapModel : public testing::Test {};
using Maps = testing::Types<PersistentMap<Item, 8>, PersistentMap<Item, 16>,
                            PersistentMap<Item, 32>, PersistentMap<Item, 64>>;
TYPED_TEST_SUITE(PersistentMapModel, Maps);

TYPED_TEST(PersistentMapModel, RandomBatchesLeaveOldVersionsAsTheyWere) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    std::vector<std::pair<TypeParam, Model>> versions(1);
    uint64_t index = 0;
    for (int batch = 0; batch < 60; ++batch) {
      TypeParam map = versions.back().first;
      Model model = versions.back().second;
      const int erase_percent = batch % 20 < 10 ? 20 : 75;
      for (int i = static_cast<int>(random() % 100); i >= 0; --i) {
        const std::string key = RandomKey(random, 200);
        ++index;
        if (static_cast<int>(random() % 100) < erase_percent) {
          auto at = model.lower_bound(key);
          const std::string victim = at == model.end() ? key : at->first;
          const Held<const Item> erased = map.Erase(victim);
          ASSERT_EQ(static_cast<bool>(erased), model.erase(victim) == 1);
        } else {
          const Held<const Item> replaced = map.Insert(MakeItem(key, index));
          const auto [at, fresh] = model.insert_or_assign(key, index);
          ASSERT_EQ(static_cast<bool>(replaced), !fresh);
        }
      }
      versions.emplace_back(std::move(map), std::move(model));
      if (versions.size() > 12) versions.erase(versions.begin() + random() % versions.size());
    }
    for (const auto& [map, model] : versions) ExpectSame(map, model);
  }
  EXPECT_EQ(live_items, 0);
}

TYPED_TEST(PersistentMapModel, FindLowerBoundAndPrefixIndexAgreeWithAModel) {
  std::mt19937_64 random(7);
  TypeParam map;
  Model model;
  for (uint64_t index = 1; index <= 3000; ++index) {
    const std::string key = RandomKey(random, 1000);
    map.Insert(MakeItem(key, index));
    model[key] = index;
  }
  for (int i = 0; i < 5000; ++i) {
    std::string key = RandomKey(random, 1000);
    if (random() % 2 == 0) key.resize(random() % (key.size() + 1));
    const Item* found = map.Find(key);
    ASSERT_EQ(found != nullptr, model.contains(key)) << key;
    const auto it = map.LowerBound(key);
    const auto at = model.lower_bound(key);
    ASSERT_EQ(it.Valid(), at != model.end()) << key;
    if (it.Valid()) {
      ASSERT_EQ(it->key(), at->first);
    }
    ASSERT_EQ(map.IndexOfPrefix(key), ModelIndexOfPrefix(model, key)) << key;
  }
}

TYPED_TEST(PersistentMapModel, ChangedSinceVisitsExactlyWhatChanged) {
  std::mt19937_64 random(11);
  TypeParam map;
  Model model;
  for (uint64_t index = 1; index <= 2000; ++index) {
    const std::string key = RandomKey(random, 300);
    map.Insert(MakeItem(key, index));
    model[key] = index;
  }
  for (const std::string prefix : {"", "service/", "a", "nothing", "zz"}) {
    for (const uint64_t since : {0, 500, 1990, 2000}) {
      Model changed;
      map.ForEachChanged(since, prefix,
                         [&](const Item& item) { changed[item.name] = item.index; });
      Model expected;
      for (const auto& [key, index] : model) {
        if (index > since && key.starts_with(prefix)) expected[key] = index;
      }
      ASSERT_EQ(changed, expected) << prefix << " since " << since;
    }
  }
}

TYPED_TEST(PersistentMapModel, AscendingInsertionFillsItsNodes) {
  TypeParam map;
  for (uint64_t i = 0; i < 10000; ++i) {
    char key[32];
    snprintf(key, sizeof(key), "jobs/%08d", static_cast<int>(i));
    map.Insert(MakeItem(key, i + 1));
  }
  const size_t nodes = map.CheckForTest();
  EXPECT_EQ(map.size(), 10000u);
  EXPECT_LT(nodes, 10000u / 5);
}

TYPED_TEST(PersistentMapModel, ErasingAllKeysInAnyOrderLeavesNothing) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    TypeParam map;
    std::vector<std::string> keys;
    for (int i = 0; i < 3000; ++i) keys.push_back("k" + std::to_string(i * 7919));
    for (const std::string& key : keys) map.Insert(MakeItem(key, 1));
    std::mt19937_64 random(seed);
    if (seed > 1) std::shuffle(keys.begin(), keys.end(), random);
    for (size_t i = 0; i < keys.size(); ++i) {
      ASSERT_TRUE(map.Erase(keys[i]));
      if (i % 100 == 0) map.CheckForTest();
    }
    EXPECT_TRUE(map.empty());
    EXPECT_EQ(map.CheckForTest(), 0u);
  }
  EXPECT_EQ(live_items, 0);
}

using Map = PersistentMap<Item>;

TEST(PersistentMap, AnEmptyMapAnswersEverything) {
  const Map map;
  EXPECT_EQ(map.Find("a"), nullptr);
  EXPECT_FALSE(map.Begin().Valid());
  EXPECT_EQ(map.IndexOfPrefix(""), 0u);
  EXPECT_EQ(map.size(), 0u);
}

TEST(PersistentMap, TheEmptyKeyIsAKey) {
  Map map;
  map.Insert(MakeItem("", 3));
  map.Insert(MakeItem("a", 4));
  ASSERT_NE(map.Find(""), nullptr);
  EXPECT_EQ(map.Begin()->key(), "");
  EXPECT_EQ(map.IndexOfPrefix(""), 4u);
  EXPECT_TRUE(map.Erase(""));
  EXPECT_EQ(map.Find(""), nullptr);
}

TEST(PersistentMap, KeysThatDifferInTrailingZeroBytesAreDifferent) {
  Map map;
  for (int zeros = 0; zeros < 20; ++zeros) {
    map.Insert(MakeItem("k" + std::string(zeros, '\0'), zeros + 1));
  }
  EXPECT_EQ(map.size(), 20u);
  map.CheckForTest();
  for (int zeros = 0; zeros < 20; ++zeros) {
    const Item* item = map.Find("k" + std::string(zeros, '\0'));
    ASSERT_NE(item, nullptr);
    EXPECT_EQ(item->index, static_cast<uint64_t>(zeros + 1));
  }
}

TEST(PersistentMap, ErasingTheNewestLowersTheIndexOfItsPrefix) {
  Map map;
  for (int i = 0; i < 500; ++i) map.Insert(MakeItem("p/" + std::to_string(i), i + 1));
  EXPECT_EQ(map.IndexOfPrefix("p/"), 500u);
  map.Erase("p/499");
  EXPECT_EQ(map.IndexOfPrefix("p/"), 499u);
  EXPECT_EQ(map.IndexOfPrefix("p/12"), 130u);
}

TEST(PersistentMap, ReplacingByAnOlderEntryLowersTheIndex) {
  Map map;
  for (int i = 0; i < 300; ++i) map.Insert(MakeItem(std::to_string(i), 10));
  map.Insert(MakeItem("7", 99));
  EXPECT_EQ(map.IndexOfPrefix(""), 99u);
  map.Insert(MakeItem("7", 5));
  EXPECT_EQ(map.IndexOfPrefix(""), 10u);
  map.CheckForTest();
}

TEST(PersistentMap, ErasePrefixTakesThePrefixAndNothingElse) {
  Map map;
  for (const char* key : {"fo", "foo", "foo/x", "food", "fop", "g"}) map.Insert(MakeItem(key, 1));
  const Map before = map;
  const std::vector<Held<const Item>> erased = map.ErasePrefix("foo");
  ASSERT_EQ(erased.size(), 3u);
  EXPECT_EQ(erased[0]->name, "foo");
  EXPECT_EQ(erased[1]->name, "foo/x");
  EXPECT_EQ(erased[2]->name, "food");
  ExpectSame(map, {{"fo", 1}, {"fop", 1}, {"g", 1}});
  EXPECT_EQ(before.size(), 6u);
  map.ErasePrefix("");
  EXPECT_TRUE(map.empty());
}

TEST(PersistentMap, ErasingAnAbsentKeyCopiesNothing) {
  Map map;
  map.Insert(MakeItem("a", 1));
  const Map before = map;
  EXPECT_FALSE(map.Erase("b"));
  EXPECT_EQ(&map.Begin().entry(), &before.Begin().entry());
}

TEST(PersistentMap, EntriesAreFreedWithTheLastVersionThatHasThem) {
  {
    Map map;
    map.Insert(MakeItem("a", 1));
    Map old = map;
    map.Insert(MakeItem("a", 2));
    EXPECT_EQ(live_items, 2);
    old = Map();
    EXPECT_EQ(live_items, 1);
  }
  EXPECT_EQ(live_items, 0);
}

TEST(HeadOf, OrdersAsTheKeysDo) {
  EXPECT_LT(HeadOf("a", 0), HeadOf("b", 0));
  EXPECT_LT(HeadOf("a", 0), HeadOf("aa", 0));
  EXPECT_LT(HeadOf("\x7f", 0), HeadOf("\x80", 0));
  EXPECT_EQ(HeadOf("abcdefghi", 0), HeadOf("abcdefghz", 0));
  EXPECT_EQ(HeadOf("abc", 3), 0u);
  EXPECT_EQ(HeadOf("abc", 9), 0u);
  EXPECT_LT(HeadOf("xxa", 2), HeadOf("xxb", 2));
}

}  // namespace
}  // namespace consul::state
