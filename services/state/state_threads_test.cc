// The state machine, publishing and readers together, as a server runs them: one writer, readers on
// threads of their own. Also built with the thread and address sanitizers.
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "services/state/fsm.h"
#include "services/state/version_source.h"

namespace consul::state {
namespace {

using internal::raft::v1::Command;

std::string PutBytes(const std::string& key, const std::string& value) {
  Command command;
  command.mutable_kv_put()->set_key(key);
  command.mutable_kv_put()->set_value(value);
  return command.SerializeAsString();
}

class BlockingWaiter : public Waiter {
 public:
  void Fire() override {
    fired_.store(true, std::memory_order_release);
    fired_.notify_one();
  }
  void Wait() { fired_.wait(false, std::memory_order_acquire); }

 private:
  std::atomic<bool> fired_{false};
};

class StateThreadsTest : public testing::Test {
 protected:
  void Apply(const std::vector<std::string>& commands) {
    std::vector<FsmEntry> entries;
    for (const std::string& command : commands) entries.push_back({++index_, true, command});
    Fsm::Batch batch;
    ASSERT_TRUE(fsm_.ApplyBatch(entries, &batch).ok());
    for (const auto& waiter : source_.Publish(std::move(batch.version), batch.touched)) {
      waiter->Fire();
    }
    source_.FreeRetired();
  }
  static const Version& Of(const std::shared_ptr<const Versioned>& held) {
    return static_cast<const Version&>(*held);
  }
  Fsm fsm_;
  VersionSource source_{fsm_.MakeVersion()};
  uint64_t index_ = 0;
};

// Goal: a reader sees a batch whole or not at all, and its version does not change under it.
// Method: every batch writes one value to eight keys far apart and churns others; readers compare.
TEST_F(StateThreadsTest, EveryVersionIsWholeAndStaysAsItIs) {
  std::atomic<bool> stop{false};
  std::atomic<int> reads{0};
  std::vector<std::thread> readers;
  for (int r = 0; r < 3; ++r) {
    readers.emplace_back([&, r] {
      VersionCache cache(&source_);
      while (!stop.load()) {
        std::shared_ptr<const Versioned> held = cache.Get();
        if (r == 0) cache.Drop();
        for (int again = 0; again < 3; ++again) {
          std::string value;
          size_t count = 0;
          Of(held).kv().ForEach("same/", nullptr, [&](const kv::v1::KeyValue& entry) {
            if (count++ == 0) value = entry.value();
            EXPECT_EQ(entry.value(), value);
            return true;
          });
          EXPECT_TRUE(count == 0 || count == 8);
        }
        reads.fetch_add(1);
      }
    });
  }
  for (int round = 0; round < 400 || reads.load() < 100; ++round) {
    std::vector<std::string> commands;
    for (int i = 0; i < 8; ++i) {
      commands.push_back(PutBytes("same/" + std::to_string(i), std::to_string(round)));
      commands.push_back(PutBytes("churn/" + std::to_string((round * 8 + i) % 997), "x"));
    }
    Command tree;
    tree.mutable_kv_delete_tree()->set_prefix("churn/" + std::to_string(round % 10));
    commands.push_back(tree.SerializeAsString());
    Apply(commands);
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  source_.FreeRetired();
}

// Goal: a watcher misses no write and is woken by no other. Method: each reader follows its own key
// by blocking reads while the writer writes all keys in turn, waiting now and then for all readers,
// so that the last value of each stretch must be seen.
TEST_F(StateThreadsTest, AWatcherMissesNothing) {
  constexpr int kReaders = 4;
  constexpr int kStretches = 60;
  constexpr int kWrites = 25;
  std::vector<std::atomic<int>> seen(kReaders);
  std::vector<std::thread> readers;
  for (int r = 0; r < kReaders; ++r) {
    readers.emplace_back([&, r] {
      const std::string key = "key/" + std::to_string(r);
      VersionCache cache(&source_);
      uint64_t index = 1;
      while (seen[r].load() < kStretches * kWrites) {
        WatchSet watch;
        const std::shared_ptr<const Versioned> held = cache.Get();
        const kv::v1::KeyValue* entry = Of(held).kv().Find(key, &watch);
        const uint64_t now = held->IndexOf(watch);
        if (now > index && entry != nullptr) {
          EXPECT_EQ(entry->modify_index(), now);
          index = now;
          const int value = std::stoi(entry->value());
          EXPECT_GT(value, seen[r].load());
          seen[r].store(value);
          seen[r].notify_one();
          continue;
        }
        auto waiter = std::make_shared<BlockingWaiter>();
        if (source_.Park(waiter, watch, index)) waiter->Wait();
      }
    });
  }
  for (int stretch = 1; stretch <= kStretches; ++stretch) {
    for (int write = 1; write <= kWrites; ++write) {
      const std::string value = std::to_string((stretch - 1) * kWrites + write);
      for (int r = 0; r < kReaders; ++r) Apply({PutBytes("key/" + std::to_string(r), value)});
    }
    for (int r = 0; r < kReaders; ++r) {
      for (int now = seen[r].load(); now < stretch * kWrites; now = seen[r].load()) {
        seen[r].wait(now);
      }
    }
  }
  for (std::thread& reader : readers) reader.join();
  source_.FreeRetired();
  EXPECT_EQ(source_.registry().waiter_count(), 0u);
}

}  // namespace
}  // namespace consul::state
