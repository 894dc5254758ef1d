// A node that takes snapshots and shortens its log, over a disk in memory that can fail.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "services/base/faulty_file_system.h"
#include "services/base/metrics.h"
#include "services/base/strings.h"
#include "services/raft/log_store.h"
#include "services/raft/node.h"
#include "services/raft/node_fixture.h"
#include "services/raft/snapshot_format.h"

namespace consul::raft {
namespace {

using base::StrCat;
using base::Unsynced;

constexpr uint64_t kTrailing = 5;
constexpr char kComplete[] = "[INFO] raft: snapshot complete";

class NodeSnapshotTest : public NodeTest {
 protected:
  NodeOptions Often() {
    NodeOptions options = OptionsOf();
    options.snapshots = {.entries_min = 20,
                         .bytes_min = uint64_t{1} << 40,
                         .interval = Duration{0},
                         .trailing_entries = kTrailing,
                         .trailing_bytes_max = uint64_t{1} << 40};
    return options;
  }

  void OpenOften() {
    const absl::Status status = Open(Often());
    ASSERT_TRUE(status.ok()) << status;
    WaitUntilReady();
  }

  // Commands that each begin with their number.
  void Write(int count, size_t bytes) {
    for (int i = 0; i < count; ++i) {
      written_.push_back(StrCat(written_.size(), std::string(bytes, '.')));
      ASSERT_TRUE(ProposeAndWait(written_.back()).ok()) << written_.size();
    }
  }

  uint64_t SnapshotIndex() const {
    return std::stoull(node_->Stats().at("last_snapshot_index"));
  }

  // And for no segment: a snapshot leaves the log four.
  void LeaveRoomForSnapshots() {
    fs_.SetCapacity(fs_.size_total() + 4 * OptionsOf().segment_bytes_min + 10'000);
  }
  // What finds room in the segment, then what finds none.
  void WriteAndAsk(size_t bytes) {
    Write(1, bytes);
    const absl::Status status = ProposeAndWait(std::string(100'000, 'x')).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  }

  size_t Begun() {
    base::MutexLock lock(&mutex_);
    return std::ranges::count_if(log_, [](const std::string& line) {
      return line.starts_with("[INFO] raft: starting snapshot ");
    });
  }

  void Reopen() {
    node_->Stop();
    log_.clear();
    OpenOften();
  }

  std::vector<std::string> SnapshotFilesThere() {
    std::vector<std::string> found;
    const auto names = fs_.List("data/raft");
    EXPECT_TRUE(names.ok());
    for (const std::string& name : *names) {
      if (name.find("snapshot") != std::string::npos) found.push_back(name);
    }
    return found;
  }

  std::vector<std::string> written_;
};

TEST_F(NodeSnapshotTest, ASnapshotShortensTheLogAndARestartReplaysOnlyWhatIsBehindIt) {
  OpenOften();
  Write(300, 500);
  WaitForLine(kComplete);
  WaitForLine("[INFO] raft: compacting logs: from=1 to=");
  Write(3, 500);
  Reopen();
  EXPECT_EQ(machine_->commands(), written_);
  EXPECT_GE(machine_->restored(), Index{20});
  EXPECT_GE(SnapshotIndex(), 20u);
  while (SnapshotFilesThere().size() != 1u) std::this_thread::yield();  // one may be on its way
  EXPECT_EQ(fs_.Contents("data/raft/0000000000000001.log"), "");
  // And on it goes.
  Write(300, 500);
  Reopen();
  EXPECT_EQ(machine_->commands(), written_);
}

TEST_F(NodeSnapshotTest, WhatIsBehindTheSnapshotIsShownBeforeAnythingIsApplied) {
  OpenOften();
  Write(300, 500);
  WaitForLine(kComplete);
  std::vector<Index> shown;
  size_t wanted = SIZE_MAX;
  NodeOptions options = Often();
  options.recovered_entry = [&](const Entry& entry) {
    shown.push_back(entry.index);
    return shown.size() < wanted;
  };
  ASSERT_TRUE(Open(options).ok());
  const Index restored = machine_->restored();
  ASSERT_GE(restored, Index{20});
  ASSERT_GT(shown.size(), 1u) << "all of it";
  for (size_t i = 0; i < shown.size(); ++i) EXPECT_EQ(shown[i], restored + (i + 1));
  WaitUntilReady();
  EXPECT_GT(node_->status().last_index, shown.back()) << "before it led";
  shown.clear();
  wanted = 1;
  ASSERT_TRUE(Open(options).ok());
  EXPECT_EQ(shown.size(), 1u) << "no more than was wanted";
}

// They would be kept for followers that are a little behind.
TEST_F(NodeSnapshotTest, WhatASnapshotTakesIsMeasured) {
  base::Metrics metrics;
  NodeOptions options = Often();
  options.metrics = &metrics;
  ASSERT_TRUE(Open(std::move(options)).ok());
  WaitUntilReady();
  Write(300, 500);
  WaitForLine(kComplete);
  WaitForLine("[INFO] raft: compacting logs: from=1 to=");
  node_->Stop();
  const std::string shown = metrics.Exposition({});
  for (const char* const name : {"raft_fsm_snapshot", "raft_snapshot_persist",
                                 "raft_snapshot_takeSnapshot", "raft_compactLogs"}) {
    EXPECT_NE(shown.find(StrCat("consul_", name, "_count")), std::string::npos) << name;
    EXPECT_EQ(shown.find(StrCat("consul_", name, "_count 0")), std::string::npos) << name;
  }
  node_.reset();  // it outlives no metrics
}

TEST_F(NodeSnapshotTest, OnAFullDiskTheEntriesBeforeTheSnapshotGo) {
  NodeOptions options = Often();
  options.snapshots.trailing_entries = 10'000;
  options.snapshots.entries_min = 200;
  ASSERT_TRUE(Open(options).ok());
  WaitUntilReady();
  Write(250, 500);
  WaitForLine(kComplete);
  Write(1, 500);
  const auto first_is_there = [this] {
    return !fs_.Contents("data/raft/0000000000000001.log").empty();
  };
  EXPECT_TRUE(first_is_there());
  // Room for a snapshot, and for little more.
  fs_.SetCapacity(fs_.size_total() + (512 << 10));
  // What is left of the last segment, and one that is ready perhaps, are used first. Some may be
  // refused while the snapshot is written that makes room.
  for (int i = 0; first_is_there() && i < 100'000; ++i) {
    ProposeAndWait(std::string(500, 'x')).IgnoreError();
  }
  EXPECT_FALSE(first_is_there());
  // When nothing more goes, it refuses.
  absl::Status status;
  while (status.ok()) status = ProposeAndWait(std::string(500, 'x')).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_EQ(ProposeAndWait(std::string(20'000, 'x')).status().code(),
            absl::StatusCode::kUnavailable);
}

// It was the one under way that would have made the room.
TEST_F(NodeSnapshotTest, AfterASnapshotThatFoundNoRoomTheNextOneKeepsWhatIsKeptForFollowers) {
  NodeOptions options = Often();
  options.snapshots.trailing_entries = 10'000;
  options.snapshots.interval = std::chrono::milliseconds(1);
  ASSERT_TRUE(Open(options).ok());
  WaitUntilReady();
  Write(30, 500);
  WaitForLine(kComplete);
  Countdown begun(1);
  Countdown released(1);
  machine_->SetBeforeWrite([&] {
    begun.Down();
    released.Wait();
  });
  Write(100, 500);
  begun.Wait();
  fs_.SetCapacity(fs_.size_total());
  absl::Status status;
  while (status.ok()) status = ProposeAndWait(std::string(500, 'x')).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  machine_->SetBeforeWrite(nullptr);
  released.Down();
  WaitForLine("[ERR] raft: failed to take snapshot: ");
  fs_.SetCapacity(std::nullopt);
  const uint64_t index = SnapshotIndex();
  while (SnapshotIndex() == index) Write(1, 500);
  Write(50, 10);  // each in a turn, and a turn lets go of a segment
  EXPECT_FALSE(fs_.Contents("data/raft/0000000000000001.log").empty());
}

TEST_F(NodeSnapshotTest, WithNothingBehindItARestartStandsWhereItStood) {
  OpenOften();
  Write(30, 500);
  WaitForLine(kComplete);
  node_->Stop();
  const Index restored = [this] {
    machine_ = std::make_unique<Recorder>();
    node_.reset();
    auto node = Node::Open(Often(), machine_.get());
    EXPECT_TRUE(node.ok()) << node.status();
    node_ = *std::move(node);
    return node_->status().applied_index;  // before it has started
  }();
  EXPECT_GE(restored, Index{20});
  EXPECT_EQ(restored, machine_->restored());
  EXPECT_TRUE(node_->configuration().configuration.IsSoleVoter(ServerId{"node-a"}));
  node_->Start();
  WaitUntilReady();
  EXPECT_EQ(machine_->commands(), written_);
}

TEST_F(NodeSnapshotTest, FollowersFindTheEntriesBeforeIt) {
  OpenOften();
  Write(300, 500);
  WaitForLine("[INFO] raft: compacting logs");
  const uint64_t index = SnapshotIndex();
  node_->Stop();
  node_.reset();
  auto log = LogStore::Open({.file_system = &fs_,
                             .directory = "data/raft",
                             .segment_bytes_min = 16 << 10,
                             .segment_bytes_max = 64 << 10});
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_GT((*log)->first(), Index{1});
  EXPECT_LE((*log)->first(), Index{index + 1 - kTrailing});
}

TEST_F(NodeSnapshotTest, WhatIsKeptForFollowersTakesNoMoreDiskThanItMay) {
  NodeOptions options = Often();
  options.snapshots.trailing_entries = uint64_t{1} << 40;
  options.snapshots.trailing_bytes_max = 150 << 10;
  ASSERT_TRUE(Open(options).ok());
  WaitUntilReady();
  Write(300, 1000);
  WaitForLine("[INFO] raft: compacting logs");
  node_->Stop();
  EXPECT_EQ(fs_.Contents("data/raft/0000000000000001.log"), "");
}

TEST_F(NodeSnapshotTest, NoneIsDueBelowTheThreshold) {
  OpenOften();
  Write(10, 500);
  node_->Stop();
  EXPECT_TRUE(SnapshotFilesThere().empty());
  EXPECT_EQ(node_->Stats().at("last_snapshot_index"), "0");
}

TEST_F(NodeSnapshotTest, BytesMakeOneDueBeforeEntriesDo) {
  NodeOptions options = Often();
  options.snapshots.entries_min = uint64_t{1} << 40;
  options.snapshots.bytes_min = 5000;
  ASSERT_TRUE(Open(options).ok());
  WaitUntilReady();
  Write(3, 2000);
  WaitForLine(kComplete);
}

TEST_F(NodeSnapshotTest, NoneIsDueBeforeTheLogIsAsLargeAsTheLastOne) {
  OpenOften();
  Write(20, 4000);
  WaitForLine(kComplete);
  Write(1, 1);  // the thread has seen what came before
  const uint64_t index = SnapshotIndex();
  ASSERT_GT(index, 0u);
  Write(100, 10);  // the threshold five times over, but small
  EXPECT_EQ(SnapshotIndex(), index);
  Write(25, 4000);
  while (SnapshotIndex() == index) Write(1, 4000);
  EXPECT_GT(SnapshotIndex(), index + 100);
}

TEST_F(NodeSnapshotTest, NoneIsDueBeforeTheInterval) {
  NodeOptions options = Often();
  options.snapshots.interval = std::chrono::hours(1);
  ASSERT_TRUE(Open(options).ok());
  WaitUntilReady();
  Write(100, 500);
  node_->Stop();
  EXPECT_TRUE(SnapshotFilesThere().empty());
}

TEST_F(NodeSnapshotTest, WritesGoOnWhileOneIsWritten) {
  OpenOften();
  Countdown begun(1);
  Countdown released(1);
  machine_->SetBeforeWrite([&] {
    begun.Down();
    released.Wait();
  });
  Write(30, 500);
  begun.Wait();
  Write(100, 500);  // each is answered, though the snapshot stands still
  EXPECT_EQ(SnapshotIndex(), 0u);
  machine_->SetBeforeWrite(nullptr);
  released.Down();
  WaitForLine(kComplete);
  Reopen();
  EXPECT_EQ(machine_->commands(), written_);
}

// Goal: the snapshot makes room for later; what has room now does not wait for it. Method: commands
// that wait together, each a group of its own. Nothing but the log's mark, which is synced when a
// second has gone by without a write, wakes who sleeps between two of them: the test ends too late.
TEST_F(NodeSnapshotTest, WhatHasRoomGoesOnWhileOneIsWrittenForTheRoom) {
  constexpr int kCount = 1000;
  NodeOptions options = OptionsOf();
  options.snapshots.room_wait_max = std::chrono::hours(1);
  options.group_bytes_max = 1;
  options.segment_bytes_min = options.segment_bytes_max = 1 << 20;
  ASSERT_TRUE(Open(options).ok());
  WaitUntilReady();
  Countdown begun(1), released(1);
  machine_->SetBeforeWrite([&] {
    begun.Down();
    released.Wait();
  });
  fs_.SetCapacity(fs_.size_total());
  Write(6, 100'000);  // half of the segment, and there is no room for another
  begun.Wait();
  const auto entered = std::make_shared<Countdown>(1), held = std::make_shared<Countdown>(1);
  fs_.SetSyncHook([entered, held] {
    entered->Down();
    held->Wait();
  });
  Countdown done(kCount);
  for (int i = 0; i < kCount; ++i) {
    node_->Propose("x", [&](absl::StatusOr<Applied> applied) {
      EXPECT_TRUE(applied.ok()) << applied.status();
      done.Down();
    });
    entered->Wait();
  }
  held->Down();
  done.Wait();
  fs_.SetSyncHook(nullptr);
  fs_.SetCapacity(std::nullopt);
  machine_->SetBeforeWrite(nullptr);
  released.Down();
  WaitForLine(kComplete);
}

// Goal: on a disk that others fill, a small state is not written again after every few commands,
// which would free next to nothing. Method: after each that finds room one asks that finds none.
TEST_F(NodeSnapshotTest, NoneIsTakenForTheRoomOfALogThatHasHardlyGrown) {
  NodeOptions options = OptionsOf();
  options.snapshots.room_bytes_min = 4000;
  options.snapshots.room_pause = std::chrono::hours(1);
  ASSERT_TRUE(Open(options).ok());
  WaitUntilReady();
  LeaveRoomForSnapshots();
  WriteAndAsk(10);
  EXPECT_EQ(Begun(), 1u) << "there was none before";
  for (int i = 0; i < 10; ++i) WriteAndAsk(200);
  EXPECT_EQ(Begun(), 1u);
  WriteAndAsk(2000);
  EXPECT_EQ(Begun(), 2u);
}

TEST_F(NodeSnapshotTest, OneIsTakenForLittleRoomWhenThereWasNoneForAWhile) {
  NodeOptions options = OptionsOf();
  options.snapshots.room_bytes_min = uint64_t{1} << 40;
  options.snapshots.room_pause = Duration{0};
  ASSERT_TRUE(Open(options).ok());
  WaitUntilReady();
  LeaveRoomForSnapshots();
  WriteAndAsk(10);
  EXPECT_EQ(Begun(), 1u);
  WriteAndAsk(200);
  EXPECT_EQ(Begun(), 2u);
}

TEST_F(NodeSnapshotTest, AFullDiskPutsItOffAndWritesGoOn) {
  NodeOptions options = Often();
  options.segment_bytes_min = options.segment_bytes_max = 1 << 20;
  options.snapshots.interval = std::chrono::milliseconds(1);
  ASSERT_TRUE(Open(options).ok());
  WaitUntilReady();
  Write(2, 500);
  fs_.SetCapacity(fs_.size_total() + 100);
  Write(100, 500);
  WaitForLine(
      "[ERR] raft: failed to take snapshot: error=\"snapshot data/raft/000000000000000000");
  Write(10, 500);
  EXPECT_EQ(SnapshotIndex(), 0u);
  EXPECT_FALSE(fs_.fatal().has_value());
  fs_.SetCapacity(std::nullopt);
  WaitForLine(kComplete);
  Reopen();
  EXPECT_EQ(machine_->commands(), written_);
}

TEST_F(NodeSnapshotTest, ADamagedOneIsNamedAndTheStartRefused) {
  OpenOften();
  Write(300, 500);
  WaitForLine("[INFO] raft: compacting logs");
  node_->Stop();
  ASSERT_EQ(SnapshotFilesThere().size(), 1u);
  const std::string path = StrCat("data/raft/", SnapshotFilesThere()[0]);
  fs_.FlipBit(path, 500, 1);
  const absl::Status status = Open(Often());
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(base::ToStd(status.message())
                  .starts_with(StrCat("snapshot ", path, ": the checksum does not match")))
      << status;
}

TEST_F(NodeSnapshotTest, ADamagedOneThatTheLogMakesGoodIsAWarning) {
  NodeOptions options = Often();
  options.snapshots.trailing_entries = uint64_t{1} << 40;
  ASSERT_TRUE(Open(options).ok());
  WaitUntilReady();
  Write(30, 500);
  WaitForLine(kComplete);
  node_->Stop();
  fs_.FlipBit(StrCat("data/raft/", SnapshotFilesThere()[0]), 500, 1);
  ASSERT_TRUE(Open(options).ok());
  WaitUntilReady();
  WaitForLine("[WARN] raft: passed over a damaged snapshot, which the log makes good: snapshot ");
  EXPECT_EQ(machine_->commands(), written_);
}

TEST_F(NodeSnapshotTest, ASnapshotWithoutItsLogIsRefused) {
  OpenOften();
  Write(30, 500);
  WaitForLine(kComplete);
  node_->Stop();
  node_.reset();
  const auto names = fs_.List("data/raft");
  ASSERT_TRUE(names.ok());
  for (const std::string& name : *names) {
    if (!name.ends_with(".log")) continue;
    ASSERT_TRUE(fs_.Remove(StrCat("data/raft/", name)).ok());
  }
  const absl::Status status = Open(Often());
  EXPECT_EQ(status.ToString(),
            "DATA_LOSS: log data/raft: is of term 0 and its snapshot of term 2: the log's files "
            "are missing or not those of the snapshot");
}

TEST_F(NodeSnapshotTest, AFailedSyncOfOneEndsTheProcess) {
  OpenOften();
  Countdown begun(1);
  Countdown released(1);
  machine_->SetBeforeWrite([&] {
    begun.Down();
    released.Wait();
  });
  Write(30, 500);
  begun.Wait();
  fs_.FailSync(0);  // nothing else is synced before the log is quiet for a second
  released.Down();
  WaitForLine("[ERR] raft: fatal: ");
  node_->Stop();
  EXPECT_TRUE(fs_.fatal().has_value());
}

// Goal: whatever is cut short, a snapshot included, every acknowledged write is there afterwards
// and the rest whole, in order, or absent. Method: a life with many snapshots and drops is stopped
// at each operation of the disk in turn, and the machine comes up in every way it may.
TEST_F(NodeSnapshotTest, EveryAcknowledgedWriteSurvivesACrashAtAnyOperation) {
  constexpr int kWrites = 60;
  uint64_t operation = 0;
  uint64_t snapshots = 0;
  for (bool crashed = true; crashed; operation += 1) {
    const auto unsynced = static_cast<Unsynced>(operation % 3);
    node_.reset();
    fs_.SetCapacity(std::nullopt);
    const auto names = fs_.List("data/raft");
    if (names.ok()) {
      for (const std::string& name : *names) fs_.Remove(StrCat("data/raft/", name)).IgnoreError();
      ASSERT_TRUE(fs_.SyncDirectory("data/raft").ok());
    }
    fs_.CrashAtOperation(operation);
    size_t acknowledged = 0;
    if (Open(Often()).ok()) {
      while (!node_->status().leader_ready && !fs_.crashed()) {
        base::MutexLock lock(&mutex_);
        changed_.WaitFor(&mutex_, std::chrono::milliseconds(1));
      }
      for (int i = 0; i < kWrites; ++i) {
        if (!ProposeAndWait(StrCat(i, std::string(600, '.'))).ok()) break;
        ++acknowledged;
      }
      node_->Stop();
    }
    crashed = fs_.crashed();
    node_.reset();
    fs_.Crash();
    fs_.Restart(unsynced);
    const absl::Status status = Open(Often());
    ASSERT_TRUE(status.ok()) << "operation " << operation << ": " << status;
    WaitUntilReady();
    const std::vector<std::string> commands = machine_->commands();
    EXPECT_GE(commands.size(), acknowledged) << "operation " << operation;
    EXPECT_LE(commands.size(), acknowledged + 1) << "operation " << operation;
    for (size_t i = 0; i < commands.size(); ++i) {
      ASSERT_EQ(commands[i], StrCat(i, std::string(600, '.'))) << "operation " << operation;
    }
    if (machine_->restored() > Index{0}) ++snapshots;
  }
  EXPECT_GT(operation, 200u);
  EXPECT_GT(snapshots, 50u);
}

}  // namespace
}  // namespace consul::raft
