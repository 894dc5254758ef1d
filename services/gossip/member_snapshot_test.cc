#include "services/gossip/member_snapshot.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "gtest/gtest.h"
#include "services/base/faulty_file_system.h"

namespace consul::gossip {
namespace {

using base::FaultyFileSystem;
using base::Unsynced;

constexpr char kPath[] = "data/serf/local.snapshot";
constexpr char kPathNew[] = "data/serf/local.snapshot.new";

Endpoint At(std::string_view text) { return Endpoint::Parse(text).value(); }

std::string Text(const SnapshotContents& contents) {
  std::string out;
  for (const auto& [name, address] : contents.members) out += name + "@" + address.ToString() + " ";
  const SnapshotClocks& clocks = contents.clocks;
  return out + absl::StrFormat("%d/%d/%d", clocks.member_time.value, clocks.event_time.value,
                               clocks.query_time.value);
}

std::unique_ptr<MemberSnapshot> OpenIn(FaultyFileSystem* files, bool rejoin_after_leave = false,
                                       size_t compact_bytes_min = 128 << 10) {
  MemberSnapshotOptions options;
  options.files = files;
  options.directory = "data/serf";
  options.name = kLanSnapshotName;
  options.rejoin_after_leave = rejoin_after_leave;
  options.compact_bytes_min = compact_bytes_min;
  return std::make_unique<MemberSnapshot>(std::move(options));
}

SnapshotClocks Clocks(uint64_t member, uint64_t event, uint64_t query) {
  return {LamportTime{member}, LamportTime{event}, LamportTime{query}};
}

// An agent with a disk, restarted as the test goes.
class MemberSnapshotTest : public ::testing::Test {
 protected:
  // What the next life finds.
  std::string Restart(bool rejoin_after_leave = false) {
    snapshot_ = OpenIn(&files_, rejoin_after_leave, compact_bytes_min_);
    return Text(snapshot_->TakePrevious());
  }
  std::string Warnings() {
    std::string all;
    for (const std::string& warning : snapshot_->TakeWarnings()) all += warning + "\n";
    return all;
  }

  FaultyFileSystem files_{1};
  size_t compact_bytes_min_ = 128 << 10;
  std::unique_ptr<MemberSnapshot> snapshot_ = OpenIn(&files_);
};

TEST_F(MemberSnapshotTest, ARestartFindsMembersAndClocks) {
  EXPECT_EQ(Text(snapshot_->TakePrevious()), "0/0/0");
  snapshot_->Alive("a", At("10.0.0.1:8301"));
  snapshot_->Alive("b", At("10.0.0.2:8301"));
  snapshot_->Alive("c", At("[2001:db8::3]:8301"));
  snapshot_->SetClocks(Clocks(4, 5, 6));
  snapshot_->NotAlive("b");
  snapshot_->Alive("a", At("10.0.0.9:8301"));
  snapshot_->Flush();
  EXPECT_EQ(Restart(), "a@10.0.0.9:8301 c@[2001:db8::3]:8301 4/5/6");
  EXPECT_EQ(Text(snapshot_->TakePrevious()), "0/0/0") << "once";
  EXPECT_EQ(Restart(), "a@10.0.0.9:8301 c@[2001:db8::3]:8301 4/5/6") << "a life that met nobody";
  EXPECT_EQ(Warnings(), "");
  EXPECT_EQ(files_.List("data/serf").value(), std::vector<std::string>{"local.snapshot"});
}

TEST_F(MemberSnapshotTest, WhatWasNotFlushedIsLost) {
  snapshot_->Alive("a", At("10.0.0.1:8301"));
  EXPECT_EQ(Restart(), "0/0/0");
}

TEST_F(MemberSnapshotTest, WhatChangesNothingIsNotRecorded) {
  snapshot_->Alive("a", At("10.0.0.1:8301"));
  snapshot_->SetClocks(Clocks(4, 5, 6));
  snapshot_->Flush();
  const uint64_t written = files_.bytes_written();
  snapshot_->Alive("a", At("10.0.0.1:8301"));
  snapshot_->NotAlive("never seen");
  snapshot_->SetClocks(Clocks(3, 5, 6));
  snapshot_->Flush();
  EXPECT_EQ(files_.bytes_written(), written);
}

TEST_F(MemberSnapshotTest, FlushesAreOneWriteAndNoSync) {
  const uint64_t operations = files_.operations();
  for (int i = 0; i < 100; ++i) snapshot_->Alive(std::to_string(i), At("10.0.0.1:8301"));
  snapshot_->Flush();
  EXPECT_EQ(files_.operations(), operations + 1);
}

TEST_F(MemberSnapshotTest, MembersThatALifeDidNotMeetAreForgottenAfterIt) {
  snapshot_->Alive("a", At("10.0.0.1:8301"));
  snapshot_->Alive("b", At("10.0.0.2:8301"));
  snapshot_->Flush();
  EXPECT_EQ(Restart(), "a@10.0.0.1:8301 b@10.0.0.2:8301 0/0/0");
  snapshot_->Alive("b", At("10.0.0.2:8301"));
  snapshot_->Flush();
  EXPECT_EQ(Restart(), "b@10.0.0.2:8301 0/0/0");
}

TEST_F(MemberSnapshotTest, ALeaveForgetsTheMembersUnlessToldOtherwise) {
  for (const bool rejoin : {false, true}) {
    Restart(rejoin);
    snapshot_->Alive("a", At("10.0.0.1:8301"));
    snapshot_->SetClocks(Clocks(4, 5, 6));
    snapshot_->Leave();
    snapshot_->Alive("b", At("10.0.0.2:8301"));
    snapshot_->NotAlive("a");
    snapshot_->SetClocks(Clocks(9, 9, 9));
    snapshot_->Flush();
    snapshot_->Leave();
    files_.Restart(Unsynced::kLost);
    EXPECT_EQ(Restart(rejoin), rejoin ? "a@10.0.0.1:8301 4/5/6" : "4/5/6")
        << "synced, and nothing after it";
    EXPECT_EQ(Warnings(), "");
  }
}

// The intent to leave has a time of its own, and the next life's intent to join must be later.
TEST_F(MemberSnapshotTest, ClocksAreRecordedAfterALeave) {
  snapshot_->Alive("a", At("10.0.0.1:8301"));
  snapshot_->Leave();
  snapshot_->SetClocks(Clocks(9, 5, 6));
  snapshot_->Flush();
  const uint64_t operations = files_.operations();
  snapshot_->Flush();
  EXPECT_EQ(files_.operations(), operations);
  EXPECT_EQ(Restart(), "9/5/6");
}

TEST_F(MemberSnapshotTest, ALeaveThatCannotBeRecordedRemovesTheFile) {
  snapshot_->Alive("a", At("10.0.0.1:8301"));
  snapshot_->Flush();
  files_.FailSync(0);
  snapshot_->Leave();
  EXPECT_EQ(Warnings(),
            "member snapshot data/serf/local.snapshot: the leave is not recorded, so the file is "
            "removed: fdatasync data/serf/local.snapshot.new: Input/output error\n");
  snapshot_->SetClocks(Clocks(9, 9, 9));
  snapshot_->Flush();
  EXPECT_EQ(Warnings(), "");
  EXPECT_EQ(Restart(), "0/0/0");
}

TEST_F(MemberSnapshotTest, ALeaveOnADeadDiskSaysWhatWillHappen) {
  files_.Crash();
  snapshot_->Alive("a", At("10.0.0.1:8301"));
  snapshot_->Leave();
  EXPECT_EQ(Warnings(),
            "member snapshot data/serf/local.snapshot: the leave is not recorded, so the next "
            "start will rejoin: the machine has stopped\n");
}

TEST_F(MemberSnapshotTest, ALeaveAfterAnErrorTriesOnceMore) {
  files_.SetCapacity(files_.size_total());
  snapshot_->Alive("a", At("10.0.0.1:8301"));
  snapshot_->SetClocks(Clocks(4, 5, 6));
  snapshot_->Flush();
  EXPECT_NE(Warnings().find("No space left"), std::string::npos);
  files_.SetCapacity(std::nullopt);
  snapshot_->Leave();
  EXPECT_EQ(Warnings(), "");
  EXPECT_EQ(Restart(), "4/5/6");
}

TEST_F(MemberSnapshotTest, TheFileIsWrittenAnewWhenItHasGrown) {
  compact_bytes_min_ = 1000;
  Restart();
  uint64_t largest = 0;
  for (uint16_t i = 1; i < 2000; ++i) {
    Endpoint address = At("10.0.0.1:1");
    address.port = i;
    snapshot_->Alive("a", address);
    snapshot_->SetClocks(Clocks(i, i, i));
    snapshot_->Flush();
    largest = std::max<uint64_t>(largest, files_.Contents(kPath).size());
  }
  EXPECT_LE(largest, 1000u);
  EXPECT_EQ(Restart(), "a@10.0.0.1:1999 1999/1999/1999");
}

TEST_F(MemberSnapshotTest, AFileWithManyMembersMayGrowToTwiceItsSize) {
  compact_bytes_min_ = 1000;
  Restart();
  for (int i = 0; i < 1000; ++i) {
    snapshot_->Alive(absl::StrFormat("%04d", i), At("10.0.0.1:8301"));
    snapshot_->Flush();
  }
  // Each member's record has 29 bytes; the sizes at which it was written anew double.
  EXPECT_LE(files_.syncs(), 10u);
  EXPECT_EQ(ParseMemberSnapshot(files_.Contents(kPath), false).members.size(), 1000u);
}

TEST_F(MemberSnapshotTest, MuchAtOnceIsNotHeldBack) {
  const size_t before = files_.Contents(kPath).size();
  const std::string name(200, 'n');
  for (size_t i = 0; i < 2 * MemberSnapshot::kPendingBytesMax / 225; ++i) {
    snapshot_->Alive(name + std::to_string(i), At("10.0.0.1:8301"));
  }
  EXPECT_GT(files_.Contents(kPath).size(), before + MemberSnapshot::kPendingBytesMax);
}

TEST_F(MemberSnapshotTest, SoManyMembersAreRememberedAndNoMore) {
  for (size_t i = 0; i < kSnapshotMembersMax; ++i) {
    snapshot_->Alive(absl::StrFormat("%06d", i), At("10.0.0.1:8301"));
  }
  snapshot_->Alive("one more", At("10.0.0.1:8301"));
  snapshot_->Flush();
  Restart();
  snapshot_->Alive("met", At("10.0.0.1:8301"));
  snapshot_->Flush();
  snapshot_->NotAlive("met");
  snapshot_->Flush();
  const auto found = ParseMemberSnapshot(files_.Contents(kPath), false);
  EXPECT_EQ(found.members.count("one more"), 0u);
  EXPECT_LT(files_.Contents(kPath).size(), MemberSnapshot::kFileBytesMax);
}

TEST_F(MemberSnapshotTest, DamageIsNamedAndTheRestIgnored) {
  snapshot_->Alive("a", At("10.0.0.1:8301"));
  snapshot_->Alive("b", At("10.0.0.2:8301"));
  for (int i = 0; i < 20; ++i) snapshot_->Alive("c" + std::to_string(i), At("10.0.0.3:8301"));
  snapshot_->Flush();
  // Header 16, start 7, clocks 31, a 26: b begins at 80.
  files_.FlipBit(kPath, 80 + 10, 3);
  EXPECT_EQ(Restart(), "a@10.0.0.1:8301 0/0/0");
  EXPECT_EQ(Warnings(),
            "member snapshot data/serf/local.snapshot: damaged at byte 80: the record's checksum "
            "is wrong; the rest of it is ignored\n");
  EXPECT_EQ(Restart(), "a@10.0.0.1:8301 0/0/0");
  EXPECT_EQ(Warnings(), "") << "it is written anew at each start";
}

TEST_F(MemberSnapshotTest, AFileThatIsTooLargeIsIgnored) {
  auto file = files_.Open(kPath).value();
  ASSERT_TRUE(file->Truncate(MemberSnapshot::kFileBytesMax + 1).ok());
  EXPECT_EQ(Restart(), "0/0/0");
  EXPECT_EQ(Warnings(),
            "member snapshot data/serf/local.snapshot: it is ignored: 41943041 bytes, 41943040 at "
            "most\n");
}

TEST_F(MemberSnapshotTest, AFullDiskIsToldOnceAndTriedAgain) {
  files_.SetCapacity(files_.size_total() + 10);
  snapshot_->Alive("a", At("10.0.0.1:8301"));
  snapshot_->Flush();
  EXPECT_EQ(Warnings(),
            "member snapshot data/serf/local.snapshot: members are not recorded: write "
            "data/serf/local.snapshot.new: No space left on device\n");
  snapshot_->Alive("b", At("10.0.0.2:8301"));
  for (int i = 0; i < 2 * MemberSnapshot::kRetryFlushes; ++i) snapshot_->Flush();
  EXPECT_EQ(Warnings(), "");
  files_.SetCapacity(std::nullopt);
  snapshot_->SetClocks(Clocks(1, 2, 3));
  for (int i = 0; i < MemberSnapshot::kRetryFlushes; ++i) snapshot_->Flush();
  EXPECT_EQ(Warnings(),
            "member snapshot data/serf/local.snapshot: members are recorded again\n");
  EXPECT_EQ(files_.Contents(kPathNew), "");
  EXPECT_EQ(Restart(), "a@10.0.0.1:8301 b@10.0.0.2:8301 1/2/3") << "nothing is missing";
}

TEST_F(MemberSnapshotTest, AStartOnADeadDiskIsNoReasonToStop) {
  files_.Crash();
  EXPECT_EQ(Restart(), "0/0/0");
  EXPECT_EQ(Warnings(),
            "member snapshot data/serf/local.snapshot: the machine has stopped\n"
            "member snapshot data/serf/local.snapshot: members are not recorded: the machine has "
            "stopped\n");
}

// What was so after each step of a life, and which of it a file that was synced holds.
struct Life {
  std::vector<std::string> moments;
  size_t synced = 0;  // index of a moment
};

// A life whose file is written anew now and then, by an agent that was told of "a".
Life Live(MemberSnapshot* snapshot, FaultyFileSystem* files) {
  Life life;
  SnapshotContents now;
  now.members["a"] = At("10.0.0.1:8301");
  life.moments.push_back(Text(now));
  now.members.clear();
  uint64_t syncs = files->syncs();
  for (uint64_t i = 1; i <= 40; ++i) {
    const std::string name = i % 7 == 0 ? "b" : "c" + std::to_string(i % 5);
    if (i % 3 == 0) {
      snapshot->NotAlive(name);
      now.members.erase(name);
    } else {
      snapshot->Alive(name, At("10.0.0.2:8301"));
      now.members[name] = At("10.0.0.2:8301");
    }
    life.moments.push_back(Text(now));
    snapshot->SetClocks(Clocks(i, 0, 0));
    now.clocks = Clocks(i, 0, 0);
    life.moments.push_back(Text(now));
    if (i % 2 == 0) snapshot->Flush();
    if (files->syncs() > syncs && !files->crashed()) {
      life.synced = life.moments.size() - 1;
      syncs = files->syncs();
    }
  }
  return life;
}

// Goal: after a crash anywhere a start finds what was so at some moment of the life before, and not
// before the last file that was synced. Method: a life is stopped at each of its operations, and
// the machine comes up with what was not synced kept, lost or in part.
TEST(MemberSnapshotCrashTest, AStartFindsAMomentOfTheLifeBefore) {
  bool crashed = true;
  size_t synced_max = 0;
  for (uint64_t operation = 0; crashed; ++operation) {
    for (const Unsynced unsynced : {Unsynced::kKept, Unsynced::kLost, Unsynced::kTorn}) {
      for (uint64_t seed = 0; seed < 5; ++seed) {
        FaultyFileSystem files(seed);
        auto snapshot = OpenIn(&files, false, 600);
        snapshot->Alive("a", At("10.0.0.1:8301"));
        snapshot->Flush();
        snapshot = OpenIn(&files, false, 600);
        ASSERT_EQ(Text(snapshot->TakePrevious()), "a@10.0.0.1:8301 0/0/0");
        files.CrashAtOperation(operation);
        const Life life = Live(snapshot.get(), &files);
        crashed = files.crashed();
        synced_max = std::max(synced_max, life.synced);
        files.Restart(unsynced);
        snapshot = OpenIn(&files, false, 600);
        const std::string found = Text(snapshot->TakePrevious());
        ASSERT_NE(std::find(life.moments.begin() + static_cast<ptrdiff_t>(life.synced),
                            life.moments.end(), found),
                  life.moments.end())
            << found << " after a stop at operation " << operation;
        for (const std::string& warning : snapshot->TakeWarnings()) {
          ASSERT_EQ(unsynced, Unsynced::kTorn) << warning;
        }
        snapshot->Alive("d", At("10.0.0.4:8301"));
        snapshot->Flush();
        ASSERT_EQ(OpenIn(&files)->TakePrevious().members.count("d"), 1u)
            << "what the crash left is in nobody's way";
      }
    }
  }
  EXPECT_GT(synced_max, 20u) << "the file was written anew in the midst of the life";
}

}  // namespace
}  // namespace consul::gossip
