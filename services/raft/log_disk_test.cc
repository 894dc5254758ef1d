#include "services/raft/log_disk.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "services/base/faulty_file_system.h"
#include "services/base/mutex.h"
#include "services/raft/node_fixture.h"

namespace consul::raft {
namespace {

class LogDiskTest : public testing::Test {
 protected:
  void Open(bool threaded) {
    auto log = LogStore::Open({.file_system = &fs_,
                               .directory = "raft",
                               .segment_bytes_min = 16 << 10,
                               .segment_bytes_max = 16 << 10,
                               .prepare_ahead = false,
                               .salt_seed = 1});
    ASSERT_TRUE(log.ok()) << log.status();
    disk_ = std::make_unique<LogDisk>(*std::move(log), 1 << 20, [this](bool) {
      base::MutexLock lock(&mutex_);
      changed_.SignalAll();
    });
    disk_->SetThreaded(threaded);
  }
  ~LogDiskTest() override {
    EXPECT_TRUE(disk_ == nullptr || disk_->Stop().ok());
  }

  // One entry of `bytes`.
  void Write(size_t bytes = 10) {
    Persist persist;
    persist.id = PersistId{++last_.value};
    persist.entries.push_back({Term{1}, Index{last_.value}, EntryKind::kCommand,
                               MakeBuffer(std::string(bytes, 'x'))});
    disk_->Write(std::move(persist));
  }
  // Everything that happens until `holds`.
  template <typename Holds>
  void TakeUntil(Holds holds) {
    base::MutexLock lock(&mutex_);
    for (;;) {
      for (LogDisk::Event& event : disk_->Take()) {
        if (const auto* written = std::get_if<LogDisk::Written>(&event)) written_ = written->id;
        events_.push_back(std::move(event));
      }
      if (holds()) return;
      changed_.WaitFor(&mutex_, std::chrono::milliseconds(1));
    }
  }
  void TakeAll() {
    TakeUntil([this] { return written_ == last_; });
  }
  absl::Status Reserve(uint64_t bytes) {
    std::optional<absl::Status> room;
    TakeUntil([&] {
      room = disk_->Reserve(bytes);
      disk_->EndTurn(/*anybody_waits=*/!room.has_value());
      return room.has_value();
    });
    return *room;
  }

  base::FaultyFileSystem fs_{1};
  base::Mutex mutex_;
  base::CondVar changed_;
  PersistId last_;
  PersistId written_;
  std::vector<LogDisk::Event> events_;
  std::unique_ptr<LogDisk> disk_;
};

TEST_F(LogDiskTest, WithoutAThreadTheCallerWrites) {
  Open(false);
  Write();
  const auto events = disk_->Take();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(std::get<LogDisk::Written>(events[0]).id, last_);
}

TEST_F(LogDiskTest, WhatWaitsForTheDiskSharesOneSync) {
  Open(true);
  const auto entered = std::make_shared<Countdown>(1), leave = std::make_shared<Countdown>(1);
  fs_.SetSyncHook([entered, leave] {
    entered->Down();
    leave->Wait();
  });
  Write();
  entered->Wait();
  const uint64_t before = fs_.syncs();
  for (int i = 0; i < 50; ++i) Write();
  EXPECT_TRUE(disk_->Take().empty()) << "nothing is durable yet, and nobody waited";
  leave->Down();
  TakeAll();
  EXPECT_EQ(fs_.syncs(), before + 2) << "the one that was held, and one for the fifty";
}

TEST_F(LogDiskTest, ItChangesHandsOnlyWhenNothingIsUnderWay) {
  Open(true);
  const auto leave = std::make_shared<Countdown>(1);
  fs_.SetSyncHook([leave] { leave->Wait(); });
  Write();
  disk_->SetThreaded(false);
  EXPECT_TRUE(disk_->threaded());
  leave->Down();
  TakeAll();
  disk_->SetThreaded(false);
  EXPECT_FALSE(disk_->threaded());
  Write();
  TakeAll();
  disk_->SetThreaded(true);
  Write();
  TakeAll();
}

TEST_F(LogDiskTest, RoomIsMadeBeyondAllThatWasHandedOver) {
  for (const bool threaded : {false, true}) {
    Open(threaded);
    for (int i = 0; i < 40; ++i) {
      ASSERT_TRUE(Reserve(3'000).ok());
      fs_.SetCapacity(fs_.size_total());  // what was promised needs nothing more
      Write(2'900);
      TakeAll();
      fs_.SetCapacity(std::nullopt);
    }
    for (const LogDisk::Event& event : events_) {
      EXPECT_FALSE(std::holds_alternative<LogDisk::Full>(event));
    }
    EXPECT_TRUE(disk_->Stop().ok());
    disk_.reset();
  }
}

TEST_F(LogDiskTest, AFullDiskKeepsWhatItWasGivenAndGoesOn) {
  for (const bool threaded : {false, true}) {
    Open(threaded);
    fs_.SetCapacity(fs_.size_total());
    events_.clear();
    Write(15'000);
    Write(15'000);
    TakeUntil([this] { return disk_->full(); });
    EXPECT_LT(written_, last_);
    EXPECT_EQ(Reserve(10).code(), absl::StatusCode::kResourceExhausted);
    fs_.SetCapacity(std::nullopt);
    disk_->RetryWrite();
    TakeAll();
    EXPECT_FALSE(disk_->full());
    EXPECT_TRUE(Reserve(10).ok());
    EXPECT_TRUE(disk_->Stop().ok());
    disk_.reset();
  }
}

// A vote before entries that are too much.
TEST_F(LogDiskTest, OfAGroupThatFindsNoRoomTheFirstIsTriedAlone) {
  Open(true);
  fs_.SetCapacity(fs_.size_total());
  const auto entered = std::make_shared<Countdown>(1), leave = std::make_shared<Countdown>(1);
  fs_.SetSyncHook([entered, leave] {
    entered->Down();
    leave->Wait();
  });
  Write();
  entered->Wait();
  Write();
  Write();
  const PersistId small = last_;
  Write(15'000);
  Write();
  leave->Down();
  TakeUntil([this] { return disk_->full(); });
  EXPECT_EQ(written_, small);
  fs_.SetCapacity(std::nullopt);
  disk_->RetryWrite();
  TakeAll();
}

TEST_F(LogDiskTest, RoomIsThereOrNotWithoutMoreSpace) {
  Open(true);
  EXPECT_TRUE(disk_->HasRoom(10'000));
  EXPECT_FALSE(disk_->HasRoom(20'000));
  Write(10'000);
  EXPECT_FALSE(disk_->HasRoom(10'000)) << "beside what is under way";
  TakeAll();
  EXPECT_FALSE(disk_->HasRoom(10'000));
}

TEST_F(LogDiskTest, WhereThereIsNoRoomForMuchThereMayBeForLittle) {
  Open(true);
  Write(15'000);
  TakeAll();
  fs_.SetCapacity(fs_.size_total() + (10 << 10));
  EXPECT_EQ(disk_->Reserve(12'000), std::nullopt);
  TakeUntil([this] { return !disk_->reserving(); });
  // Who wanted so much asks no more.
  EXPECT_TRUE(Reserve(2'000).ok());
  EXPECT_EQ(Reserve(12'000).code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(LogDiskTest, AnAnswerThatIsForgottenIsLookedForAnew) {
  Open(true);
  fs_.SetCapacity(fs_.size_total());
  EXPECT_EQ(disk_->Reserve(20'000), std::nullopt);
  TakeUntil([this] { return !disk_->reserving(); });
  disk_->EndTurn(/*anybody_waits=*/false);
  fs_.SetCapacity(std::nullopt);
  EXPECT_TRUE(Reserve(20'000).ok());
}

TEST_F(LogDiskTest, ThatThereIsNoRoomIsForAllWhoAskInOneTurn) {
  Open(true);
  fs_.SetCapacity(fs_.size_total());
  EXPECT_EQ(disk_->Reserve(20'000), std::nullopt);
  EXPECT_EQ(disk_->Reserve(25'000), std::nullopt);
  TakeUntil([this] { return !disk_->reserving(); });
  disk_->EndTurn(/*anybody_waits=*/true);  // it came when this one was over
  EXPECT_EQ(disk_->Reserve(19'000), std::nullopt) << "for less it is looked for anew";
  const std::optional<absl::Status> first = disk_->Reserve(20'000);
  const std::optional<absl::Status> second = disk_->Reserve(25'000);
  ASSERT_TRUE(first.has_value() && second.has_value());
  EXPECT_EQ(first->code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(*second, *first);
  disk_->EndTurn(/*anybody_waits=*/true);
  EXPECT_EQ(disk_->Reserve(25'000), std::nullopt);
}

TEST_F(LogDiskTest, EntriesAreLoadedAndSegmentsGo) {
  Open(true);
  // Each in a group of its own: one group is one segment's.
  for (int i = 0; i < 20; ++i) {
    Write(3'000);
    TakeAll();
  }
  disk_->Load({ServerId{"peer"}, Index{5}, Index{7}, 1 << 20});
  events_.clear();
  TakeUntil([this] { return !events_.empty(); });
  const auto& loaded = std::get<LogDisk::Loaded>(events_[0]);
  ASSERT_TRUE(loaded.entries.ok());
  EXPECT_EQ(loaded.entries->size(), 3u);
  EXPECT_EQ(loaded.request.peer, ServerId{"peer"});
  // One at a time; the first ones may hold no entry.
  while (disk_->first() == Index{1}) {
    events_.clear();
    disk_->DropSegment(Index{18}, Index{18}, 1 << 30);
    TakeUntil([this] { return !events_.empty(); });
    ASSERT_TRUE(std::get<LogDisk::Dropped>(events_[0]).dropped);
  }
  EXPECT_LE(disk_->first(), Index{18});
}

TEST_F(LogDiskTest, AFailedSyncIsToldAndNothingMoreIsPromised) {
  Open(true);
  fs_.FailSync(0);
  Write();
  TakeUntil([this] { return !events_.empty(); });
  EXPECT_TRUE(std::holds_alternative<LogDisk::Failed>(events_[0]));
  EXPECT_FALSE(disk_->Stop().ok());
  disk_.reset();
}

}  // namespace
}  // namespace consul::raft
