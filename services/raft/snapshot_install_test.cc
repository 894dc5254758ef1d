// A follower that is behind the leader's log installs the leader's snapshot.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "services/base/faulty_file_system.h"
#include "services/base/strings.h"
#include "services/raft/node_fixture.h"
#include "services/raft/node_view.h"
#include "services/raft/snapshot_format.h"
#include "services/raft/snapshot_install_fixture.h"

namespace consul::raft {
namespace {

using base::StrCat;
using base::Unsynced;

TEST_F(SnapshotInstallTest, AnEmptyFollowerGetsTheSnapshotAndThenTheEntriesBehindIt) {
  WriteUntilTheLogIsCut();
  Write(3);
  StartFollower();
  UntilTheFollowerHasAll();
  EXPECT_EQ(follower_.CountLines(kInstalled), 1);
  EXPECT_GE(follower_.machine()->restored(), Index{20});
  EXPECT_EQ(follower_.SnapshotFilesThere().size(), 1u);
  EXPECT_EQ(follower_.node()->Stats().at("last_snapshot_index"),
            StrCat(follower_.machine()->restored().value));
  EXPECT_EQ(follower_.node()->configuration().configuration.members().size(), 2u);
  // It goes on, and a restart finds what it had.
  Write(3);
  UntilTheFollowerHasAll();
  const Index restored = follower_.machine()->restored();
  follower_.Stop();
  follower_.ForgetLines();
  Write(1);
  StartFollower();
  EXPECT_EQ(follower_.machine()->restored(), restored);
  UntilTheFollowerHasAll();
  EXPECT_EQ(follower_.CountLines(kInstalled), 0);
}

TEST_F(SnapshotInstallTest, ARunningStateIsReplaced) {
  Write(10);
  StartFollower();
  UntilTheFollowerHasAll();
  EXPECT_EQ(follower_.machine()->restored(), Index{0});
  wire_.SetFilter([](Message*) { return false; });
  WriteUntilTheLogIsCut();
  wire_.SetFilter(nullptr);
  UntilTheFollowerHasAll();
  EXPECT_EQ(follower_.CountLines(kInstalled), 1);
  EXPECT_GE(follower_.node()->status().applied_index, follower_.machine()->restored());
}

TEST_F(SnapshotInstallTest, TheLogsRemainsGiveTheirSpaceBack) {
  RestartLeader(/*snapshots=*/false);
  Write(200);
  StartFollower();
  Until([this] { return follower_.node()->status().last_index >= Index{150}; });
  wire_.SetFilter([](Message*) { return false; });
  RestartLeader();
  WriteUntilTheLogIsCut();
  wire_.SetFilter(nullptr);
  UntilTheFollowerHasAll();
  Until([this] { return follower_.fs()->Contents("data/raft/0000000000000001.log").empty(); });
}

TEST_F(SnapshotInstallTest, ADamagedOneIsRefusedByNameAndASoundOneTakenAfterIt) {
  WriteUntilTheLogIsCut();
  int damaged = 0;
  wire_.SetFilter([&](Message* message) {
    auto* chunk = std::get_if<SnapshotChunk>(&message->body);
    if (chunk == nullptr || chunk->offset != kChunkBytes || damaged > 0) return true;
    std::string bytes = *chunk->bytes;
    bytes[100] = static_cast<char>(bytes[100] ^ 1);
    chunk->bytes = MakeBuffer(std::move(bytes));
    ++damaged;
    return true;
  });
  StartFollower();
  UntilTheFollowerHasAll();
  const std::string line = follower_.LineOf(kRefused);
  EXPECT_NE(line.find(".snapshot.part: the checksum does not match\" retry_in=1s"),
            std::string::npos)
      << line;
  EXPECT_EQ(follower_.CountLines(kRefused), 1);
  EXPECT_EQ(follower_.CountLines(kInstalled), 1);
  EXPECT_EQ(follower_.SnapshotFilesThere().size(), 1u);
}

TEST_F(SnapshotInstallTest, OneThatTheDiskHasNoRoomForIsRefusedUntilThereIs) {
  WriteUntilTheLogIsCut();
  // Of which 64 KiB are the log's.
  follower_.fs()->SetCapacity(follower_.fs()->size_total() + (72 << 10));
  StartFollower();
  Until([this] { return follower_.HasLine(kRefused); });
  const std::string line = follower_.LineOf(kRefused);
  EXPECT_NE(line.find(".snapshot.part: there is no room on the disk for "), std::string::npos)
      << line;
  EXPECT_TRUE(follower_.SnapshotFilesThere().empty());
  EXPECT_TRUE(follower_.machine()->commands().empty());
  EXPECT_FALSE(follower_.fs()->fatal().has_value());
  follower_.fs()->SetCapacity(std::nullopt);
  UntilTheFollowerHasAll();
}

TEST_F(SnapshotInstallTest, AnInterruptedTransferGoesOnWhereItStood) {
  WriteUntilTheLogIsCut();
  constexpr int kLosses = 3;
  int begun_anew = 0;
  int sent = 0;
  wire_.SetFilter([&](Message* message) {
    const auto* chunk = std::get_if<SnapshotChunk>(&message->body);
    if (chunk == nullptr) return true;
    if (chunk->offset == 0 && sent > 0 && sent <= kLosses) ++begun_anew;
    return chunk->offset != 2 * kChunkBytes || ++sent > kLosses;
  });
  StartFollower();
  UntilTheFollowerHasAll();
  wire_.SetFilter(nullptr);
  EXPECT_GT(sent, kLosses);
  EXPECT_EQ(begun_anew, 0);
}

// The log behind what is sent stays meanwhile, or there would be no end to it.
TEST_F(SnapshotInstallTest, TheOneThatIsSentMayBeReplacedMeanwhile) {
  WriteUntilTheLogIsCut();
  std::atomic<uint64_t> sent{0};  // the index of the one that is held up
  std::atomic<bool> hold{true};
  wire_.SetFilter([&](Message* message) {
    const auto* chunk = std::get_if<SnapshotChunk>(&message->body);
    if (chunk == nullptr || chunk->offset != kChunkBytes || !hold) return true;
    sent = chunk->meta.index.value;
    return false;
  });
  StartFollower();
  Until([&] { return sent > 0; });
  const std::string path = StrCat(kDirectory, "/", SnapshotName(Index{sent.load()}));
  while (LeadersSnapshot() < sent + 100 || !leader_.fs()->Contents(path).empty()) Write(10);
  Write(100);
  hold = false;
  UntilTheFollowerHasAll();
  EXPECT_EQ(follower_.machine()->restored(), Index{sent.load()});
  EXPECT_EQ(follower_.CountLines(kInstalled), 1);
  wire_.SetFilter(nullptr);
}

// It answers, and what it was sent it does not write: the same chunk comes again and again.
TEST_F(SnapshotInstallTest, WhoDoesNotComeOnKeepsTheLogForAWhileOnly) {
  leader_.set_sent_kept(std::chrono::milliseconds(200));  // in which it comes several times
  RestartLeader();
  WriteUntilTheLogIsCut();
  std::atomic<int> sent{0};
  wire_.SetFilter([&](Message* message) {
    const auto* chunk = std::get_if<SnapshotChunk>(&message->body);
    if (chunk == nullptr || chunk->offset != kChunkBytes) return true;
    ++sent;
    return false;
  });
  StartFollower();
  Until([&] { return sent > 1; });
  WriteUntilTheLogIsCut();
  wire_.SetFilter(nullptr);
  UntilTheFollowerHasAll();
}

// The log behind it stays much longer than for one that only does not come on; the leader hears of
// it although the word that all of it is there is lost.
TEST_F(SnapshotInstallTest, AnInstallMayTakeLong) {
  // No server is silent for as long, on a slow machine too.
  static constexpr Duration kKept = std::chrono::seconds(1);
  leader_.set_sent_kept(kKept);
  RestartLeader();
  WriteUntilTheLogIsCut();
  SnapshotMeta sent;
  std::atomic<int> said_whole{0};
  wire_.SetFilter([&](Message* message) {
    if (const auto* chunk = std::get_if<SnapshotChunk>(&message->body)) sent = chunk->meta;
    const auto* reply = std::get_if<SnapshotReply>(&message->body);
    if (reply == nullptr || reply->installed || reply->next_offset < sent.size_bytes) return true;
    return ++said_whole > 1;
  });
  StartFollowerThatInstalls();
  const Time begun = BootNow();
  Until([&] { return said_whole > 1; });
  wire_.SetFilter(nullptr);
  while (LeadersSnapshot() < sent.index.value + 100) Write(10);
  Until([&] { return BootNow() >= begun + 2 * kKept; });
  while (LeadersSnapshot() < sent.index.value + 200) Write(10);
  installing_->Down();
  UntilTheFollowerHasAll();
  EXPECT_EQ(follower_.machine()->restored(), sent.index);
  EXPECT_EQ(follower_.CountLines(kInstalled), 1);
}

TEST_F(SnapshotInstallTest, AnInstallThatTakesTooLongKeepsTheLogNoMore) {
  leader_.set_installing_kept(std::chrono::milliseconds(200));
  RestartLeader();
  WriteUntilTheLogIsCut();
  StartFollowerThatInstalls();
  WriteUntilTheLogIsCut();
  installing_->Down();
  UntilTheFollowerHasAll();
}

// Goal: that it is asked on does not begin its time anew. Method: the time ends while a snapshot is
// being written, so that the log cannot go before it was asked again.
TEST_F(SnapshotInstallTest, AnInstallThatTakesTooLongKeepsTheLogNoMoreThoughItIsAsked) {
  static constexpr Duration kKept = std::chrono::seconds(3);
  leader_.set_installing_kept(kKept);
  RestartLeader();
  WriteUntilTheLogIsCut();
  const auto asked = CountAsked();
  const uint64_t sent = StartFollowerThatInstalls();
  Until([&] { return *asked > 0; });
  const Time end = BootNow() + kKept;
  const auto writing = std::make_shared<Countdown>(1);
  const auto written = std::make_shared<Countdown>(1);
  leader_.machine()->SetBeforeWrite([writing, written] {
    writing->Down();
    written->Wait();
  });
  while (!writing->is_down()) Write(10);
  Until([&] { return BootNow() > end; });
  Until([&, before = asked->load()] { return *asked >= before + 2; });
  const Time later = BootNow() + kKept * 3 / 4;
  written->Down();
  while (leader_.CutTo() <= sent) {
    ASSERT_LT(BootNow(), later) << "the log is kept";
    Write(1);
  }
  wire_.SetFilter(nullptr);
  installing_->Down();
  UntilTheFollowerHasAll();
}

TEST_F(SnapshotInstallTest, WhoIsSilentWhileItInstallsKeepsTheLogForAWhileOnly) {
  leader_.set_sent_kept(std::chrono::milliseconds(200));
  RestartLeader();
  WriteUntilTheLogIsCut();
  const auto asked = CountAsked();
  StartFollowerThatInstalls();
  Until([&] { return *asked > 0; });  // so the leader knows that it installs
  wire_.SetFilter([](Message*) { return false; });
  WriteUntilTheLogIsCut();
  wire_.SetFilter(nullptr);
  installing_->Down();
  UntilTheFollowerHasAll();
}

// Goal: a disk that is full takes writes again as soon as log can go. Method: the leader keeps
// hundreds of entries for a follower that installs, and has room for no other segment.
TEST_F(SnapshotInstallTest, ALeaderWithoutRoomKeepsNoLogForWhoInstalls) {
  WriteUntilTheLogIsCut();
  const uint64_t sent = StartFollowerThatInstalls();
  while (LeadersSnapshot() < sent + 400) Write(10);
  EXPECT_LE(leader_.CutTo(), sent);
  // Room for a snapshot, and for little more.
  leader_.fs()->SetCapacity(leader_.fs()->size_total() + (512 << 10));
  Until([&] { return TryWrite().ok() && leader_.CutTo() > sent; });
  leader_.fs()->SetCapacity(std::nullopt);
  installing_->Down();
  UntilTheFollowerHasAll();
  EXPECT_EQ(follower_.CountLines(kInstalled), 2);
}

// Once some of what it wants is gone the rest is of no use.
TEST_F(SnapshotInstallTest, ALogThatTakesMuchDiskIsKeptNoMoreForWhoInstalls) {
  leader_.set_log_bytes_max(0);  // twice the snapshot's size is more
  RestartLeader(/*snapshots=*/false);
  Write(600);
  RestartLeader();
  WriteUntilTheLogIsCut();
  const uint64_t sent = StartFollowerThatInstalls();
  while (LeadersSnapshot() <= sent) Write(10);
  EXPECT_LE(leader_.CutTo(), sent) << "it takes about as much as the snapshot";
  while (leader_.CutTo() <= sent) {
    ASSERT_LT(written_.size(), kWritesMax) << "the log is kept\n" << leader_.Lines();
    Write(10);
  }
  const uint64_t newest = LeadersSnapshot();
  constexpr uint64_t kSegmentEntries = 200;
  Until([&] { return leader_.CutTo() + kSegmentEntries >= newest; });
  installing_->Down();
  UntilTheFollowerHasAll();
  EXPECT_EQ(follower_.CountLines(kInstalled), 2);
}

// What it refused was replaced meanwhile: then the newest comes, and the log begins behind that.
TEST_F(SnapshotInstallTest, WhoRefusesOneIsSentTheNewest) {
  WriteUntilTheLogIsCut();
  // Of which 64 KiB are the log's.
  follower_.fs()->SetCapacity(follower_.fs()->size_total() + (72 << 10));
  StartFollower();
  Until([this] { return follower_.HasLine(kRefused); });
  const std::string first = follower_.LineOf(kRefused);
  WriteUntilTheLogIsCut();
  // A chunk of the first one may be under way yet, and be refused.
  Until([&] {
    if (follower_.LineOf(kRefused) == first) follower_.ForgetLines();
    return follower_.HasLine(kRefused) && follower_.LineOf(kRefused) != first;
  });
  follower_.fs()->SetCapacity(std::nullopt);
  UntilTheFollowerHasAll();
}

TEST_F(SnapshotInstallTest, AReadErrorIsToldAndTriedAgain) {
  WriteUntilTheLogIsCut();
  // One that takes no snapshots, and so keeps the one that it has.
  RestartLeader(/*snapshots=*/false);
  const std::string path = StrCat(kDirectory, "/", SnapshotName(Index{LeadersSnapshot()}));
  leader_.fs()->FlipBit(path, 20, 1);
  StartFollower();
  Until([this] { return leader_.HasLine("[ERR] raft: failed to read snapshot: peer=node-b"); });
  EXPECT_NE(leader_.LineOf("[ERR]").find(StrCat("snapshot ", path, ": the header is damaged")),
            std::string::npos)
      << leader_.LineOf("[ERR]");
  leader_.fs()->FlipBit(path, 20, 1);
  UntilTheFollowerHasAll();
}

TEST_F(SnapshotInstallTest, AStopInTheMiddleEndsAtOnceAndLeavesNothing) {
  WriteUntilTheLogIsCut();
  std::atomic<int> stored{0};
  wire_.SetFilter([&](Message* message) {
    const auto* chunk = std::get_if<SnapshotChunk>(&message->body);
    if (chunk != nullptr && chunk->offset == 2 * kChunkBytes) {
      ++stored;
      return false;
    }
    return true;
  });
  StartFollower();
  Until([&] { return stored > 0; });
  EXPECT_EQ(follower_.SnapshotFilesThere().size(), 1u);
  follower_.Stop();
  EXPECT_TRUE(follower_.SnapshotFilesThere().empty());
  wire_.SetFilter(nullptr);
  StartFollower();
  UntilTheFollowerHasAll();
}

// An own snapshot that stands still is given up for the one that comes.
TEST_F(SnapshotInstallTest, AnOwnSnapshotMakesWay) {
  RestartLeader(/*snapshots=*/false);
  Server other("node-b", &wire_);
  other.WriteFirstEntry();
  ASSERT_TRUE(other.Start().ok());
  Countdown begun(1);
  Countdown released(1);
  other.machine()->SetBeforeWrite([&] {
    begun.Down();
    released.Wait();
  });
  Write(30);
  begun.Wait();
  wire_.SetFilter([](Message*) { return false; });
  RestartLeader();
  WriteUntilTheLogIsCut();
  std::atomic<bool> last_came{false};
  wire_.SetFilter([&](Message* message) {
    const auto* chunk = std::get_if<SnapshotChunk>(&message->body);
    if (chunk != nullptr && chunk->last) last_came = true;
    return true;
  });
  Until([&] { return last_came.load(); });
  EXPECT_EQ(other.CountLines(kInstalled), 0);
  released.Down();
  Until([&] { return other.machine()->commands() == written_; });
  EXPECT_EQ(other.CountLines("[INFO] raft: gave up snapshot, another server's is newer: index="),
            1);
  EXPECT_EQ(other.CountLines(kInstalled), 1);
  wire_.SetFilter(nullptr);
}

// Goal: whatever the follower's process dies between while it installs, it starts again and comes
// to the leader's state. Method: it is stopped at each operation of its disk in turn, and the
// machine comes up in every way it may; the leader lives on.
TEST_F(SnapshotInstallTest, ACrashAtAnyOperationIsMadeGood) {
  Write(10);
  StartFollower();
  UntilTheFollowerHasAll();
  follower_.Stop();
  WriteUntilTheLogIsCut();
  Write(3);
  const auto whole = [this] {
    return follower_.machine()->commands() == written_ &&
           follower_.node()->Stats().at("last_snapshot_index") != "0";
  };
  const auto disk = follower_.fs()->Clone();
  uint64_t operation = 0;
  uint64_t old_found = 0;
  uint64_t new_found = 0;
  for (bool crashed = true; crashed; ++operation) {
    for (const Unsynced unsynced : {Unsynced::kKept, Unsynced::kLost, Unsynced::kTorn}) {
      const std::string where = StrCat("operation ", operation, " ", static_cast<int>(unsynced));
      follower_.set_fs(disk->Clone());
      follower_.fs()->CrashAtOperation(operation);
      if (follower_.Start().ok()) {
        Until([&] { return follower_.fs()->crashed() || whole(); });
      }
      crashed = follower_.fs()->crashed();
      follower_.fs()->Crash();
      follower_.Stop();
      follower_.fs()->Restart(unsynced);
      const absl::Status status = follower_.Start();
      ASSERT_TRUE(status.ok()) << where << ": " << status;
      ++(follower_.machine()->restored() > Index{0} ? new_found : old_found);
      Write(1);
      Until(whole);
      EXPECT_FALSE(follower_.fs()->fatal().has_value()) << where;
      follower_.Stop();
      ASSERT_EQ(follower_.SnapshotFilesThere().size(), 1u) << where;
    }
  }
  EXPECT_GT(operation, 20u);
  EXPECT_GT(old_found, 20u);
  EXPECT_GT(new_found, 3u);
}

}  // namespace
}  // namespace consul::raft
