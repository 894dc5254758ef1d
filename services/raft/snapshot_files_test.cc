// Snapshots on a disk that fails: what was acknowledged is there, nothing else is ever taken.
#include "services/raft/snapshot_files.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "services/base/faulty_file_system.h"
#include "services/base/strings.h"
#include "services/raft/snapshot_format.h"

namespace consul::raft {
namespace {

using base::FaultyFileSystem;
using base::StrCat;
using base::Unsynced;

constexpr char kDirectory[] = "data/raft";
constexpr uint64_t kLeftFree = 0;  // of the disk, to the log

// Text as a state, given out in pieces.
class Text final : public FrozenState {
 public:
  Text(std::string text, size_t piece_bytes) : text_(std::move(text)), piece_bytes_(piece_bytes) {}
  absl::Status Write(const SnapshotSink& sink) const override {
    for (size_t at = 0; at < text_.size(); at += piece_bytes_) {
      absl::Status status = sink(std::string_view(text_).substr(at, piece_bytes_));
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

 private:
  const std::string text_;
  const size_t piece_bytes_;
};

std::string Path(uint64_t index) {
  return StrCat(kDirectory, "/", SnapshotName(Index{index}));
}

SnapshotMeta At(uint64_t index) {
  SnapshotMeta at;
  at.index = Index{index};
  at.term = Term{3};
  at.configuration = {Index{1}, Configuration({{ServerId{"node-a"}, MemberKind::kVoter},
                                               {ServerId{"node-b"}, MemberKind::kLearner}})};
  return at;
}

std::string StateAt(uint64_t index) {
  return StrCat("the state at ", index, std::string(900, '.'));
}

absl::StatusOr<SnapshotMeta> Write(FaultyFileSystem* fs, uint64_t index, std::string state) {
  SnapshotFiles files(fs, kDirectory, index, kLeftFree);
  const std::atomic<bool> cancelled{false};
  return files.Write(At(index), Text(std::move(state), 300), cancelled);
}
absl::StatusOr<SnapshotMeta> Write(FaultyFileSystem* fs, uint64_t index) {
  return Write(fs, index, StateAt(index));
}

struct Loaded {
  SnapshotMeta meta;
  std::string state;
  std::vector<std::string> passed_over;
};

absl::StatusOr<Loaded> Load(FaultyFileSystem* fs, uint64_t log_first) {
  SnapshotFiles files(fs, kDirectory, 1, kLeftFree);
  Loaded loaded;
  const auto meta = files.Load(Index{log_first}, [&](Index, const SnapshotSource& source) {
    std::string state;
    for (;;) {
      const auto bytes = source();
      if (!bytes.ok()) return bytes.status();
      if (bytes->empty()) break;
      state += *bytes;
    }
    loaded.state = std::move(state);
    return absl::OkStatus();
  });
  if (!meta.ok()) return meta.status();
  loaded.meta = *meta;
  loaded.passed_over = files.passed_over();
  return loaded;
}

class SnapshotFilesTest : public ::testing::Test {
 protected:
  SnapshotFilesTest() { EXPECT_TRUE(fs_.CreateDirectories(kDirectory).ok()); }

  FaultyFileSystem fs_{1};
};

TEST_F(SnapshotFilesTest, WhatIsWrittenIsLoaded) {
  const auto written = Write(&fs_, 70);
  ASSERT_TRUE(written.ok()) << written.status();
  const auto loaded = Load(&fs_, 71);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->meta, *written);
  EXPECT_EQ(loaded->meta.index, Index{70});
  EXPECT_EQ(loaded->meta.term, Term{3});
  EXPECT_EQ(loaded->meta.configuration, At(70).configuration);
  EXPECT_EQ(loaded->meta.size_bytes, fs_.Contents(Path(70)).size());
  EXPECT_EQ(loaded->state, StateAt(70));
  EXPECT_TRUE(loaded->passed_over.empty());
}

TEST_F(SnapshotFilesTest, AnEmptyStateAndOneOfManyReadsAreLoaded) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{256 << 10}, size_t{5 << 20}}) {
    std::string state(size, 'x');
    for (size_t i = 0; i < size; i += 1000) state[i] = static_cast<char>(i / 1000);
    ASSERT_TRUE(Write(&fs_, size + 1, state).ok());
    const auto loaded = Load(&fs_, 1);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_EQ(loaded->meta.index, Index{size + 1});
    EXPECT_EQ(loaded->state, state) << size;
  }
}

TEST_F(SnapshotFilesTest, WithoutAnyALogFromItsBeginIsEnough) {
  const auto loaded = Load(&fs_, 1);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->meta, SnapshotMeta{});
  const auto cut = Load(&fs_, 2);
  EXPECT_EQ(cut.status().ToString(),
            "DATA_LOSS: log data/raft: begins at entry 2, and no snapshot covers those before it");
}

TEST_F(SnapshotFilesTest, TheNewestIsTheOnlyOneThatStays) {
  const auto first = Write(&fs_, 70);
  const auto second = Write(&fs_, 90);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_NE(first->id, second->id);
  EXPECT_EQ(fs_.Contents(Path(70)), "");
  EXPECT_EQ(Load(&fs_, 91)->state, StateAt(90));
}

TEST_F(SnapshotFilesTest, ASnapshotThatTheLogDoesNotReachIsRefusedByName) {
  ASSERT_TRUE(Write(&fs_, 70).ok());
  EXPECT_EQ(Load(&fs_, 72).status().ToString(),
            "DATA_LOSS: snapshot data/raft/00000000000000000070.snapshot: the log begins at entry "
            "72, and those between are gone; the log begins at entry 72 and cannot do without it. "
            "Refusing to start");
}

TEST_F(SnapshotFilesTest, ADamagedOneIsPassedOverOnlyWhereTheLogMakesItGood) {
  ASSERT_TRUE(Write(&fs_, 70).ok());
  const std::string older = fs_.Contents(Path(70));
  ASSERT_TRUE(Write(&fs_, 90).ok());
  {
    // The process ended before it had removed the older one.
    auto file = fs_.Create(Path(70));
    ASSERT_TRUE(file.ok() && (*file)->WriteAt(0, older).ok() && (*file)->SyncData().ok());
  }
  fs_.FlipBit(Path(90), 200, 3);

  const auto from_older = Load(&fs_, 71);
  ASSERT_TRUE(from_older.ok()) << from_older.status();
  EXPECT_EQ(from_older->state, StateAt(70));
  ASSERT_EQ(from_older->passed_over.size(), 1u);
  EXPECT_EQ(from_older->passed_over[0],
            "snapshot data/raft/00000000000000000090.snapshot: the checksum does not match");

  const auto refused = Load(&fs_, 72);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(base::ToStd(refused.status().message())
                  .starts_with("snapshot data/raft/00000000000000000090.snapshot: "))
      << refused.status();

  fs_.FlipBit(Path(70), 200, 3);
  const auto from_log = Load(&fs_, 1);
  ASSERT_TRUE(from_log.ok()) << from_log.status();
  EXPECT_EQ(from_log->meta, SnapshotMeta{});
  EXPECT_EQ(from_log->passed_over.size(), 2u);

  // What is written next is the only truth, though its index is the lower one.
  ASSERT_TRUE(Write(&fs_, 80).ok());
  EXPECT_EQ(Load(&fs_, 81)->state, StateAt(80));
  EXPECT_EQ(fs_.Contents(Path(90)), "");
}

TEST_F(SnapshotFilesTest, EveryFlippedBitAndEveryCutIsNamed) {
  ASSERT_TRUE(Write(&fs_, 70, "a short state").ok());
  const std::string name = "snapshot data/raft/00000000000000000070.snapshot: ";
  const size_t size = fs_.Contents(Path(70)).size();
  for (size_t bit = 0; bit < 8 * size; ++bit) {
    const auto damaged = fs_.Clone();
    damaged->FlipBit(Path(70), bit / 8, static_cast<int>(bit % 8));
    const auto loaded = Load(damaged.get(), 71);
    ASSERT_EQ(loaded.status().code(), absl::StatusCode::kDataLoss) << "bit " << bit;
    EXPECT_TRUE(base::ToStd(loaded.status().message()).starts_with(name)) << loaded.status();
  }
  for (size_t cut = 0; cut < size; ++cut) {
    const auto damaged = fs_.Clone();
    ASSERT_TRUE((*damaged->Open(Path(70)))->Truncate(cut).ok());
    EXPECT_EQ(Load(damaged.get(), 71).status().code(), absl::StatusCode::kDataLoss) << cut;
  }
  auto file = fs_.Open(Path(70));
  ASSERT_TRUE(file.ok() && (*file)->WriteAt(size, "x").ok());
  EXPECT_EQ(Load(&fs_, 71).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(SnapshotFilesTest, AFileUnderAnothersNameIsRefused) {
  ASSERT_TRUE(Write(&fs_, 70).ok());
  ASSERT_TRUE(fs_.Rename(Path(70), Path(71)).ok());
  const auto loaded = Load(&fs_, 71);
  EXPECT_NE(base::ToStd(loaded.status().message()).find("state at index 70, not that of its name"),
            std::string::npos)
      << loaded.status();
}

// Goal: at every moment one of the two snapshots is there, and the newer one if it was
// acknowledged. Method: the second Write is stopped at every operation and at every byte, and the
// machine comes up in every way it may.
TEST_F(SnapshotFilesTest, OneOfTwoSurvivesEveryCrash) {
  ASSERT_TRUE(Write(&fs_, 70).ok());
  const auto run = [this](const std::function<void(FaultyFileSystem*)>& fault, Unsynced unsynced,
                          const std::string& what) {
    const auto fs = fs_.Clone();
    fault(fs.get());
    const bool acknowledged = Write(fs.get(), 90).ok();
    const bool crashed = fs->crashed();
    EXPECT_NE(acknowledged, crashed) << what;
    fs->Crash();
    fs->Restart(unsynced);
    const auto loaded = Load(fs.get(), 71);
    EXPECT_TRUE(loaded.ok()) << what << ": " << loaded.status();
    if (!loaded.ok()) return crashed;
    EXPECT_TRUE(loaded->passed_over.empty()) << what;
    const uint64_t index = loaded->meta.index.value;
    EXPECT_TRUE(index == 90 || (index == 70 && !acknowledged)) << what << ": " << index;
    EXPECT_EQ(loaded->state, StateAt(index)) << what;
    EXPECT_EQ(fs->Contents(Path(90) + ".new"), "") << what;
    return crashed;
  };
  for (const Unsynced unsynced : {Unsynced::kKept, Unsynced::kLost, Unsynced::kTorn}) {
    uint64_t operation = 0;
    while (run([&](FaultyFileSystem* fs) { fs->CrashAtOperation(operation); }, unsynced,
               StrCat("operation ", operation))) {
      ++operation;
    }
    EXPECT_GE(operation, 9u);  // create, 4 pieces, end, header, sync, rename, directory, remove
    uint64_t bytes = 0;
    while (run([&](FaultyFileSystem* fs) { fs->CrashAfterBytes(bytes); }, unsynced,
               StrCat("byte ", bytes))) {
      ++bytes;
    }
    EXPECT_GT(bytes, 900u);
  }
}

TEST_F(SnapshotFilesTest, AFullDiskLeavesEverythingAsItWas) {
  ASSERT_TRUE(Write(&fs_, 70).ok());
  const uint64_t before = fs_.size_total();
  for (const uint64_t room : {0, 1, 64, 500, 1000}) {
    fs_.SetCapacity(before + room);
    const auto written = Write(&fs_, 90);
    ASSERT_EQ(written.status().code(), absl::StatusCode::kResourceExhausted) << written.status();
    EXPECT_EQ(fs_.size_total(), before);
    EXPECT_EQ(Load(&fs_, 71)->state, StateAt(70));
  }
  fs_.SetCapacity(std::nullopt);
  ASSERT_TRUE(Write(&fs_, 90).ok());
}

// Two pieces, and what is told of them meanwhile.
class Watched final : public FrozenState {
 public:
  explicit Watched(const SnapshotFiles* files) : files_(files) {}
  absl::Status Write(const SnapshotSink& sink) const override {
    for (const size_t bytes : {300, 500}) {
      if (absl::Status status = sink(std::string(bytes, 'x')); !status.ok()) return status;
      told_.push_back(files_->written_bytes());
    }
    return absl::OkStatus();
  }
  const std::vector<uint64_t>& told() const { return told_; }

 private:
  const SnapshotFiles* const files_;
  mutable std::vector<uint64_t> told_;
};

TEST_F(SnapshotFilesTest, WhatIsWrittenAlreadyNeedsNoRoomAnyMore) {
  const std::atomic<bool> cancelled{false};
  SnapshotFiles files(&fs_, kDirectory, 1);
  const Watched state(&files);
  ASSERT_TRUE(files.Write(At(70), state, cancelled).ok());
  EXPECT_EQ(state.told(), (std::vector<uint64_t>{300, 800}));
  EXPECT_EQ(files.written_bytes(), 0u);
}

TEST_F(SnapshotFilesTest, TheLogsRoomIsLeftToIt) {
  const std::atomic<bool> cancelled{false};
  SnapshotFiles files(&fs_, kDirectory, 1, /*left_free_bytes=*/5000);
  fs_.SetCapacity(5900);
  uint64_t least = 5900;
  fs_.SetSyncHook([&] { least = std::min(least, 5900 - fs_.size_total()); });
  const auto written = files.Write(At(70), Text(std::string(900, 'x'), 300), cancelled);
  EXPECT_EQ(written.status().ToString(),
            "RESOURCE_EXHAUSTED: snapshot data/raft/00000000000000000070.snapshot: there is no "
            "room on the disk for 300 bytes: 5218 are free, of which 5000 are left to the log");
  EXPECT_EQ(fs_.size_total(), 0u);
  EXPECT_TRUE(files.Write(At(70), Text(std::string(600, 'x'), 300), cancelled).ok());
  EXPECT_GE(least, 5000u);
}

TEST_F(SnapshotFilesTest, AFailedSyncIsToldAndNothingCounts) {
  ASSERT_TRUE(Write(&fs_, 70).ok());
  fs_.FailSync(0);
  const auto written = Write(&fs_, 90);
  EXPECT_EQ(written.status().code(), absl::StatusCode::kInternal) << written.status();
  fs_.Crash();
  fs_.Restart(Unsynced::kLost);
  EXPECT_EQ(Load(&fs_, 71)->state, StateAt(70));
}

TEST_F(SnapshotFilesTest, ALargeOneIsSyncedInPieces) {
  const uint64_t before = fs_.syncs();
  const std::atomic<bool> cancelled{false};
  SnapshotFiles files(&fs_, kDirectory, 1, kLeftFree);
  ASSERT_TRUE(files.Write(At(70), Text(std::string(9 << 20, 'x'), 128 << 10), cancelled).ok());
  EXPECT_EQ(fs_.syncs(), before + 3);
}

TEST_F(SnapshotFilesTest, ACancelledOneLeavesNothing) {
  const std::atomic<bool> cancelled{true};
  SnapshotFiles files(&fs_, kDirectory, 1, kLeftFree);
  const auto written = files.Write(At(70), Text("state", 1), cancelled);
  EXPECT_EQ(written.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(fs_.size_total(), 0u);
}

TEST_F(SnapshotFilesTest, WhatTheStateMachineDoesNotTakeIsItsWordToSay) {
  ASSERT_TRUE(Write(&fs_, 70).ok());
  SnapshotFiles files(&fs_, kDirectory, 1, kLeftFree);
  const auto loaded = files.Load(Index{1}, [](Index, const SnapshotSource&) {
    return absl::FailedPreconditionError("format 9 is not known");
  });
  EXPECT_EQ(loaded.status().ToString(),
            "FAILED_PRECONDITION: snapshot data/raft/00000000000000000070.snapshot: format 9 is "
            "not known");
}

TEST(SnapshotFormatTest, HeadersThatNoServerWritesAreRefused) {
  SnapshotHeader sound{.index = Index{7},
                       .term = Term{2},
                       .configuration = At(7).configuration,
                       .salt = 5,
                       .body_bytes = 10,
                       .body_crc = 9};
  ASSERT_TRUE(DecodeSnapshotHeader(EncodeSnapshotHeader(sound)).ok());
  EXPECT_EQ(sound.Meta().id, "2-7-0000000000000005");
  const auto refused = [](SnapshotHeader header) {
    return DecodeSnapshotHeader(EncodeSnapshotHeader(header)).status().code() ==
           absl::StatusCode::kDataLoss;
  };
  SnapshotHeader header = sound;
  header.term = Term{0};
  EXPECT_TRUE(refused(header));
  header = sound;
  header.configuration.index = Index{8};
  EXPECT_TRUE(refused(header));
  header = sound;
  header.configuration.index = Index{0};
  EXPECT_TRUE(refused(header));
  header = sound;
  header.configuration.configuration = Configuration();
  EXPECT_TRUE(refused(header));
}

TEST(SnapshotFormatTest, NamesAreIndexes) {
  EXPECT_EQ(SnapshotName(Index{42}), "00000000000000000042.snapshot");
  EXPECT_EQ(SnapshotIndex("00000000000000000042.snapshot"), Index{42});
  EXPECT_EQ(SnapshotIndex("18446744073709551615.snapshot"), Index{UINT64_MAX});
  for (const char* name : {"18446744073709551616.snapshot", "99999999999999999999.snapshot",
                           "42.snapshot", "0000000000000000004x.snapshot",
                           "00000000000000000042.snapshot.new", "0000000000000001.log", ""}) {
    EXPECT_EQ(SnapshotIndex(name), std::nullopt) << name;
  }
}

}  // namespace
}  // namespace consul::raft
