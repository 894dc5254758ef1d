// Publishing, per-thread copies, parking without a gap, and who frees what.
#include "services/state/version_source.h"

#include <map>
#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace consul::state {
namespace {

constexpr MapId kMap{1};

// A version of a map from keys to the index at which they last changed.
class FakeVersion : public Versioned {
 public:
  FakeVersion(uint64_t index, std::map<std::string, uint64_t, std::less<>> keys,
              std::atomic<int>* live)
      : index_(index), keys_(std::move(keys)), live_(live), maker_(std::this_thread::get_id()) {
    ++*live_;
  }
  ~FakeVersion() override {
    // Counts of entries are not atomic: only the writer may free.
    EXPECT_EQ(maker_, std::this_thread::get_id());
    --*live_;
  }
  uint64_t index() const override { return index_; }
  uint64_t IndexOf(const Slot& slot) const override {
    if (slot.kind == Slot::Kind::kKey) {
      const auto found = keys_.find(slot.bytes);
      return found == keys_.end() ? 0 : found->second;
    }
    uint64_t highest = 0;
    for (const auto& [key, index] : keys_) {
      if (key.starts_with(slot.bytes)) highest = std::max(highest, index);
    }
    return highest;
  }
  using Versioned::IndexOf;

 private:
  const uint64_t index_;
  const std::map<std::string, uint64_t, std::less<>> keys_;
  std::atomic<int>* const live_;
  const std::thread::id maker_;
};

struct FlagWaiter : Waiter {
  void Fire() override { fired.fetch_add(1); }
  std::atomic<int> fired{0};
};

class VersionSourceTest : public testing::Test {
 protected:
  std::unique_ptr<const Versioned> Make(uint64_t index) {
    return std::make_unique<FakeVersion>(index, keys_, &live_);
  }
  // Writes keys at `index` and publishes; returns how many waiters that fired.
  size_t Write(uint64_t index, const std::vector<std::string>& keys) {
    SlotList touched;
    for (const std::string& key : keys) {
      keys_[key] = index;
      touched.AddKey(kMap, key);
    }
    const auto fired = source_.Publish(Make(index), touched);
    for (const auto& waiter : fired) waiter->Fire();
    return fired.size();
  }
  static WatchSet Key(std::string_view key) {
    WatchSet set;
    set.AddKey(kMap, key);
    return set;
  }
  std::map<std::string, uint64_t, std::less<>> keys_;
  std::atomic<int> live_{0};
  VersionSource source_{Make(0)};
};

TEST_F(VersionSourceTest, ACacheSeesEachPublishAtItsNextGet) {
  VersionCache cache(&source_);
  EXPECT_EQ(cache.Get()->index(), 0u);
  Write(5, {"a"});
  EXPECT_EQ(cache.Get()->index(), 5u);
  EXPECT_EQ(cache.Get().get(), cache.Get().get());
}

TEST_F(VersionSourceTest, AVersionLivesAsLongAsSomeoneHoldsIt) {
  VersionCache cache(&source_);
  cache.Get();
  Write(1, {"a"});
  EXPECT_EQ(source_.FreeRetired(), 0u);
  cache.Get();
  EXPECT_EQ(live_, 2);
  EXPECT_EQ(source_.FreeRetired(), 1u);
  EXPECT_EQ(live_, 1);
}

TEST_F(VersionSourceTest, ADroppedCacheHoldsNothing) {
  VersionCache cache(&source_);
  cache.Get();
  cache.Drop();
  Write(1, {"a"});
  EXPECT_EQ(source_.FreeRetired(), 1u);
  EXPECT_EQ(cache.Get()->index(), 1u);
}

TEST_F(VersionSourceTest, TheLastReferenceDroppedOnAnotherThreadIsFreedByTheWriter) {
  std::shared_ptr<const Versioned> held = source_.Load();
  Write(1, {"a"});
  std::thread([&held] { held.reset(); }).join();
  EXPECT_EQ(live_, 2);
  EXPECT_EQ(source_.FreeRetired(), 1u);
  EXPECT_EQ(live_, 1);
}

TEST_F(VersionSourceTest, ParkWaitsWhileTheIndexIsNotAboveTheGiven) {
  Write(3, {"a"});
  auto waiter = std::make_shared<FlagWaiter>();
  EXPECT_TRUE(source_.Park(waiter, Key("a"), 3));
  EXPECT_EQ(Write(4, {"b"}), 0u);
  EXPECT_EQ(Write(5, {"a"}), 1u);
  EXPECT_EQ(waiter->fired, 1);
}

TEST_F(VersionSourceTest, ParkRefusesWhatHasAlreadyChanged) {
  Write(3, {"a"});
  auto waiter = std::make_shared<FlagWaiter>();
  EXPECT_FALSE(source_.Park(waiter, Key("a"), 2));
  EXPECT_EQ(source_.registry().waiter_count(), 0u);
  EXPECT_EQ(Write(4, {"a"}), 0u);
  EXPECT_EQ(waiter->fired, 0);
}

TEST_F(VersionSourceTest, AnAbsentKeyHasIndexOneAndWakesWhenItAppears) {
  Write(7, {"other"});
  EXPECT_EQ(source_.Load()->IndexOf(Key("missing")), 1u);
  auto waiter = std::make_shared<FlagWaiter>();
  EXPECT_TRUE(source_.Park(waiter, Key("missing"), 1));
  EXPECT_EQ(Write(8, {"other"}), 0u);
  EXPECT_EQ(Write(9, {"missing"}), 1u);
}

// Goal: no write is ever missed between reading and waiting. Readers read, park and are fired while
// the writer publishes as fast as it can; each must in the end have seen the last index. A missed
// wake-up leaves a reader waiting, and the test at its time limit.
TEST_F(VersionSourceTest, NoWakeUpIsLostBetweenReadingAndParking) {
  constexpr uint64_t kLast = 20000;
  constexpr int kReaders = 3;
  struct LoopWaiter : Waiter {
    void Fire() override {
      fired.store(true, std::memory_order_release);
      fired.notify_one();
    }
    std::atomic<bool> fired{false};
  };
  std::vector<std::thread> readers;
  for (int r = 0; r < kReaders; ++r) {
    readers.emplace_back([this, r] {
      VersionCache cache(&source_);
      const WatchSet set = Key(r % 2 == 0 ? "even" : "odd");
      const uint64_t goal = r % 2 == 0 ? kLast : kLast - 1;
      uint64_t seen = 0;
      while (seen < goal) {
        const uint64_t index = cache.Get()->IndexOf(set);
        if (index > seen) {
          EXPECT_TRUE(index == 1 || index % 2 == goal % 2) << index;
          seen = index;
          continue;
        }
        auto waiter = std::make_shared<LoopWaiter>();
        if (!source_.Park(waiter, set, seen)) continue;
        waiter->fired.wait(false, std::memory_order_acquire);
      }
      cache.Drop();
    });
  }
  for (uint64_t index = 2; index <= kLast; ++index) {
    Write(index, {index % 2 == 0 ? "even" : "odd"});
    source_.FreeRetired();
  }
  for (std::thread& reader : readers) reader.join();
  source_.FreeRetired();
  EXPECT_EQ(live_, 1);
  EXPECT_EQ(source_.registry().waiter_count(), 0u);
}

// Goal: cancelling races with firing without a crash, and every waiter is either cancelled or
// fired, never both and never neither.
TEST_F(VersionSourceTest, CancelAndFireExcludeEachOther) {
  constexpr int kRounds = 3000;
  std::vector<std::shared_ptr<FlagWaiter>> waiters;
  for (int i = 0; i < kRounds; ++i) waiters.push_back(std::make_shared<FlagWaiter>());
  for (const auto& waiter : waiters) source_.registry().Register(waiter, Key("k"));
  std::atomic<int> cancelled{0};
  std::thread canceller([&] {
    for (const auto& waiter : waiters) {
      if (source_.registry().Cancel(waiter.get())) cancelled.fetch_add(1);
    }
  });
  Write(2, {"k"});
  canceller.join();
  int fired = 0;
  for (const auto& waiter : waiters) fired += waiter->fired;
  EXPECT_EQ(fired + cancelled, kRounds);
}

}  // namespace
}  // namespace consul::state
