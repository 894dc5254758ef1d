// Snapshots that another server sends, on a disk that fails: what is sound becomes the newest, and
// nothing else changes anything.
#include "services/raft/staged_snapshot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
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
constexpr uint64_t kOld = 70;  // of the snapshot that is there
constexpr uint64_t kNew = 90;  // of the one that comes

class Text final : public FrozenState {
 public:
  explicit Text(std::string text) : text_(std::move(text)) {}
  absl::Status Write(const SnapshotSink& sink) const override { return sink(text_); }

 private:
  const std::string text_;
};

std::string Path(uint64_t index) { return StrCat(kDirectory, "/", SnapshotName(Index{index})); }
std::string StagedPath() { return StrCat(Path(kNew), ".part"); }
std::string StateAt(uint64_t index) {
  return StrCat("the state at ", index, std::string(900, '.'));
}

SnapshotMeta WriteOwn(FaultyFileSystem* fs, uint64_t index, std::string state) {
  SnapshotFiles files(fs, kDirectory, index, 0);
  SnapshotMeta at;
  at.index = Index{index};
  at.term = Term{3};
  at.configuration = {Index{1}, Configuration({{ServerId{"node-a"}, MemberKind::kVoter}})};
  const std::atomic<bool> cancelled{false};
  const auto meta = files.Write(at, Text(std::move(state)), cancelled);
  EXPECT_TRUE(meta.ok()) << meta.status();
  return meta.value_or(SnapshotMeta{});
}

// Of what is loaded by a start; empty where nothing is.
std::string Loaded(FaultyFileSystem* fs) {
  SnapshotFiles files(fs, kDirectory, 1, 0);
  std::string state;
  const auto meta = files.Load(Index{1}, [&](Index, const SnapshotSource& source) {
    for (;;) {
      const auto bytes = source();
      if (!bytes.ok()) return bytes.status();
      if (bytes->empty()) return absl::OkStatus();
      state += *bytes;
    }
  });
  EXPECT_TRUE(meta.ok()) << meta.status();
  EXPECT_TRUE(files.passed_over().empty());
  return state;
}

class StagedSnapshotTest : public ::testing::Test {
 protected:
  StagedSnapshotTest() {
    EXPECT_TRUE(fs_.CreateDirectories(kDirectory).ok());
    WriteOwn(&fs_, kOld, StateAt(kOld));
    Send(StateAt(kNew));
  }

  // What the other server has.
  void Send(std::string state) {
    FaultyFileSystem other(2);
    EXPECT_TRUE(other.CreateDirectories(kDirectory).ok());
    meta_ = WriteOwn(&other, kNew, std::move(state));
    sent_ = other.Contents(Path(kNew));
  }

  // Everything, in chunks. Stops at the first error.
  absl::Status Receive(FaultyFileSystem* fs, std::string_view bytes, size_t chunk_bytes,
                       std::string* state = nullptr) {
    SnapshotFiles files(fs, kDirectory, 1, 0);
    auto staged = StagedSnapshot::Begin(&files, meta_);
    if (!staged.ok()) return staged.status();
    for (size_t at = 0; at < bytes.size(); at += chunk_bytes) {
      absl::Status status = (*staged)->Append(at, bytes.substr(at, chunk_bytes),
                                              at + chunk_bytes >= bytes.size());
      if (!status.ok()) return status;
    }
    for (;;) {
      const auto piece = (*staged)->Next();
      if (!piece.ok()) return piece.status();
      if (piece->empty()) break;
      if (state != nullptr) *state += *piece;
    }
    return (*staged)->Keep();
  }

  FaultyFileSystem fs_{1};
  SnapshotMeta meta_;
  std::string sent_;
};

TEST_F(StagedSnapshotTest, ChunksOfEverySizeMakeTheSameFile) {
  for (size_t chunk_bytes = 1; chunk_bytes <= sent_.size() + 1; ++chunk_bytes) {
    const auto fs = fs_.Clone();
    std::string state;
    const absl::Status status = Receive(fs.get(), sent_, chunk_bytes, &state);
    ASSERT_TRUE(status.ok()) << chunk_bytes << ": " << status;
    EXPECT_EQ(state, StateAt(kNew));
    EXPECT_EQ(fs->Contents(Path(kNew)), sent_) << chunk_bytes;
    EXPECT_EQ(fs->size_total(), sent_.size()) << "the older one has gone, and the staged one";
    fs->Crash();
    fs->Restart(Unsynced::kLost);
    ASSERT_EQ(Loaded(fs.get()), StateAt(kNew)) << chunk_bytes;
  }
}

TEST_F(StagedSnapshotTest, WhatIsSentIsReadWhileANewerOneTakesItsPlace) {
  WriteOwn(&fs_, kNew, StateAt(kNew));
  SnapshotFiles files(&fs_, kDirectory, 1, 0);
  const SnapshotMeta meta = WriteOwn(&fs_, kNew + 1, StateAt(kNew + 1));
  auto reader = files.Open(meta);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const std::string whole = fs_.Contents(Path(kNew + 1));
  WriteOwn(&fs_, kNew + 9, StateAt(kNew + 9));
  EXPECT_EQ(fs_.Contents(Path(kNew + 1)), "");
  for (const uint64_t bytes_max : {uint64_t{1}, uint64_t{64}, whole.size() - 1, whole.size(),
                                   whole.size() + 1}) {
    std::string read;
    while (read.size() < whole.size()) {
      const auto bytes = (*reader)->ReadAt(read.size(), bytes_max);
      ASSERT_TRUE(bytes.ok()) << bytes.status();
      ASSERT_EQ(bytes->size(), std::min<uint64_t>(bytes_max, whole.size() - read.size()));
      read += *bytes;
    }
    EXPECT_EQ(read, whole) << bytes_max;
  }
  EXPECT_EQ((*reader)->ReadAt(whole.size() + 5, 10).value(), "");
  // Who asks for it only now is told that it is gone.
  EXPECT_EQ(files.Open(meta).status().code(), absl::StatusCode::kNotFound);
  // As is who asks for another file of the same index.
  WriteOwn(&fs_, kNew + 1, "another state");
  EXPECT_EQ(files.Open(meta).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(StagedSnapshotTest, AnAnnouncementThatMakesNoSenseIsRefused) {
  SnapshotFiles files(&fs_, kDirectory, 1, 0);
  for (const uint64_t size : {0, 1, 71}) {
    meta_.size_bytes = size;
    EXPECT_EQ(StagedSnapshot::Begin(&files, meta_).status().ToString(),
              StrCat("DATA_LOSS: snapshot ", StagedPath(), ": no snapshot has ", size, " bytes"));
  }
}

TEST_F(StagedSnapshotTest, OneThatIsLargerThanTheRoomIsRefusedByName) {
  const uint64_t before = fs_.size_total();
  fs_.SetCapacity(before + 5000);
  SnapshotFiles files(&fs_, kDirectory, 1, /*left_free_bytes=*/4500);
  EXPECT_EQ(StagedSnapshot::Begin(&files, meta_).status().ToString(),
            StrCat("RESOURCE_EXHAUSTED: snapshot ", StagedPath(),
                   ": there is no room on the disk for ", sent_.size(),
                   " bytes: 5000 are free, of which 4500 are left to the log"));
  meta_.size_bytes = UINT64_MAX;
  EXPECT_EQ(StagedSnapshot::Begin(&files, meta_).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(fs_.size_total(), before);
}

TEST_F(StagedSnapshotTest, ADiskThatFillsUpMeanwhileLeavesEverythingAsItWas) {
  const uint64_t before = fs_.size_total();
  SnapshotFiles files(&fs_, kDirectory, 1, /*left_free_bytes=*/100);
  fs_.SetCapacity(before + sent_.size() + 100);
  {
    auto staged = StagedSnapshot::Begin(&files, meta_);
    ASSERT_TRUE(staged.ok()) << staged.status();
    ASSERT_TRUE((*staged)->Append(0, sent_.substr(0, 300), false).ok());
    fs_.SetCapacity(before + 300 + 199);
    const absl::Status status = (*staged)->Append(300, sent_.substr(300, 100), false);
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_TRUE(base::ToStd(status.message()).starts_with(StrCat("snapshot ", StagedPath())));
    // It takes nothing more, though there is room again.
    fs_.SetCapacity(before + 5000);
    EXPECT_EQ((*staged)->Append(300, sent_.substr(300, 100), false).code(),
              absl::StatusCode::kDataLoss);
  }
  EXPECT_EQ(fs_.size_total(), before);
  EXPECT_EQ(Loaded(&fs_), StateAt(kOld));
}

TEST_F(StagedSnapshotTest, ChunksThatDoNotFollowAreRefused) {
  const auto refused = [this](uint64_t offset, std::string_view bytes, bool last) {
    SnapshotFiles files(&fs_, kDirectory, 1, 0);
    auto staged = StagedSnapshot::Begin(&files, meta_);
    EXPECT_TRUE(staged.ok() && (*staged)->Append(0, sent_.substr(0, 100), false).ok());
    return (*staged)->Append(offset, bytes, last).code() == absl::StatusCode::kDataLoss;
  };
  const std::string rest = sent_.substr(100);
  EXPECT_FALSE(refused(100, rest, true));
  EXPECT_TRUE(refused(100, rest, false)) << "whole, and not the last";
  EXPECT_TRUE(refused(100, rest.substr(1), true)) << "the last, and not whole";
  EXPECT_TRUE(refused(100, rest + "x", true)) << "more than announced";
  EXPECT_TRUE(refused(100, rest + "x", false));
  EXPECT_TRUE(refused(99, rest, false));
  EXPECT_TRUE(refused(101, rest, false));
  EXPECT_TRUE(refused(0, rest, false));
  EXPECT_TRUE(refused(UINT64_MAX, rest, true)) << "the end would come around";
  EXPECT_TRUE(refused(100, "", false)) << "it would never end";
  EXPECT_EQ(Loaded(&fs_), StateAt(kOld));
}

TEST_F(StagedSnapshotTest, EveryFlippedBitIsRefusedAndNothingHasChanged) {
  Send("a short state");
  for (size_t bit = 0; bit < 8 * sent_.size(); ++bit) {
    std::string damaged = sent_;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    const absl::Status status = Receive(&fs_, damaged, 50);
    ASSERT_EQ(status.code(), absl::StatusCode::kDataLoss) << "bit " << bit << ": " << status;
    EXPECT_TRUE(base::ToStd(status.message()).starts_with(StrCat("snapshot ", StagedPath(), ": ")))
        << status;
    ASSERT_EQ(fs_.Contents(StagedPath()), "") << "bit " << bit;
  }
  EXPECT_EQ(Loaded(&fs_), StateAt(kOld));
  // The sound one is taken all the same.
  EXPECT_TRUE(Receive(&fs_, sent_, 50).ok());
  EXPECT_EQ(Loaded(&fs_), "a short state");
}

TEST_F(StagedSnapshotTest, ASoundFileThatWasNotAnnouncedIsRefused) {
  meta_.term = Term{4};
  EXPECT_EQ(Receive(&fs_, sent_, 500).ToString(),
            StrCat("DATA_LOSS: snapshot ", StagedPath(),
                   ": its header is not the one that was announced"));
  EXPECT_EQ(Loaded(&fs_), StateAt(kOld));
}

TEST_F(StagedSnapshotTest, ALargeOneIsSyncedInPieces) {
  Send(std::string(9 << 20, 'x'));
  const uint64_t before = fs_.syncs();
  ASSERT_TRUE(Receive(&fs_, sent_, 512 << 10).ok());
  EXPECT_EQ(fs_.syncs(), before + 3);
}

TEST_F(StagedSnapshotTest, OneBegunAnewReplacesWhatWasThere) {
  SnapshotFiles files(&fs_, kDirectory, 1, 0);
  {
    auto file = fs_.Create(StagedPath());
    ASSERT_TRUE(file.ok() && (*file)->WriteAt(0, std::string(5000, 'x')).ok());
  }
  ASSERT_TRUE(Receive(&fs_, sent_, 500).ok());
  EXPECT_EQ(fs_.Contents(Path(kNew)), sent_);
}

// Goal: at every moment one of the two snapshots is there, and the new one if its keeping was told.
// Method: the receiving is stopped at every operation and at every byte, and the machine comes up
// in every way it may.
TEST_F(StagedSnapshotTest, OneOfTwoSurvivesEveryCrash) {
  const auto run = [this](const std::function<void(FaultyFileSystem*)>& fault, Unsynced unsynced,
                          const std::string& what) {
    const auto fs = fs_.Clone();
    fault(fs.get());
    const bool kept = Receive(fs.get(), sent_, 300).ok();
    const bool crashed = fs->crashed();
    EXPECT_NE(kept, crashed) << what;
    fs->Crash();
    fs->Restart(unsynced);
    const std::string state = Loaded(fs.get());
    EXPECT_TRUE(state == StateAt(kNew) || (state == StateAt(kOld) && !kept)) << what;
    EXPECT_EQ(fs->Contents(StagedPath()), "") << what;
    return crashed;
  };
  for (const Unsynced unsynced : {Unsynced::kKept, Unsynced::kLost, Unsynced::kTorn}) {
    uint64_t operation = 0;
    while (run([&](FaultyFileSystem* fs) { fs->CrashAtOperation(operation); }, unsynced,
               StrCat("operation ", operation))) {
      ++operation;
    }
    EXPECT_GE(operation, 9u);  // remove, create, 4 chunks, sync, rename, directory, remove
    uint64_t bytes = 0;
    while (run([&](FaultyFileSystem* fs) { fs->CrashAfterBytes(bytes); }, unsynced,
               StrCat("byte ", bytes))) {
      ++bytes;
    }
    EXPECT_GT(bytes, 900u);
  }
}

TEST_F(StagedSnapshotTest, AFailedSyncIsTheDisksFaultAndNotTheSnapshots) {
  fs_.FailSync(0);
  EXPECT_EQ(Receive(&fs_, sent_, 500).code(), absl::StatusCode::kInternal);
  fs_.Crash();
  fs_.Restart(Unsynced::kLost);
  EXPECT_EQ(Loaded(&fs_), StateAt(kOld));
}

}  // namespace
}  // namespace consul::raft
