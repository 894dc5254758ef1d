// A leader that has shortened its log and a follower behind it, each over a disk in memory that can
// fail, joined by a network in memory that the test listens to.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "services/base/faulty_file_system.h"
#include "services/base/strings.h"
#include "services/raft/log_store.h"
#include "services/raft/node.h"
#include "services/raft/node_fixture.h"
#include "services/raft/snapshot_format.h"
#include "services/raft/test_wire.h"

namespace consul::raft {
namespace {

using base::StrCat;
using base::Unsynced;

constexpr char kDirectory[] = "data/raft";
constexpr uint64_t kChunkBytes = 4 << 10;
constexpr int kWaitsMax = 20'000;  // of a millisecond and more
constexpr size_t kWritesMax = 20'000;
constexpr char kInstalled[] = "[INFO] raft: Installed remote snapshot: index=";
constexpr char kRefused[] = "[ERR] raft: failed to install snapshot: index=";

// A server: its disk, which outlives its process, and its process.
class Server {
 public:
  Server(std::string id, Wire* wire)
      : id_{std::move(id)}, wire_(wire),
        fs_(std::make_unique<FaultyFileSystem>(1)) {}
  ~Server() { Stop(); }

  // The log of a cluster of the voter node-a and the learner node-b.
  void WriteFirstEntry() {
    auto log = LogStore::Open({.file_system = fs_.get(),
                               .directory = kDirectory,
                               .segment_bytes_min = 16 << 10,
                               .segment_bytes_max = 64 << 10});
    ASSERT_TRUE(log.ok()) << log.status();
    Persist first;
    first.id = PersistId{1};
    const Configuration members({{ServerId{"node-a"}, MemberKind::kVoter},
                                 {ServerId{"node-b"}, MemberKind::kLearner}});
    first.entries.push_back({Term{1}, Index{1}, EntryKind::kConfiguration,
                             MakeBuffer(members.Encode())});
    first.hard_state = HardState{Term{1}, {}};
    const Persist group[] = {first};
    ASSERT_TRUE((*log)->Append(group).ok());
  }

  absl::Status Start() {
    NodeOptions options;
    options.file_system = fs_.get();
    options.directory = kDirectory;
    options.address = "10.1.10.38:8300";
    options.core.self = id_;
    options.core.heartbeat_interval = std::chrono::milliseconds(4);
    options.core.election_timeout_min = std::chrono::milliseconds(20);
    options.core.election_timeout_max = std::chrono::milliseconds(30);
    options.core.snapshot_chunk_bytes_max = kChunkBytes;
    options.transport = wire_;
    options.segment_bytes_min = 16 << 10;
    options.segment_bytes_max = 64 << 10;
    options.snapshots = {.entries_min = snapshots_ ? uint64_t{20} : uint64_t{1} << 40,
                         .bytes_min = uint64_t{1} << 40,
                         .interval = Duration{0},
                         .trailing_entries = 5,
                         .trailing_bytes_max = uint64_t{1} << 40,
                         .refused_pause = std::chrono::milliseconds(10),
                         .sent_kept = sent_kept_};
    options.log = [this](LogLevel level, std::string_view text) {
      base::MutexLock lock(&mutex_);
      log_.push_back(StrCat(level == LogLevel::kError ? "[ERR] " : "[INFO] ", text));
      changed_.SignalAll();
    };
    machine_ = std::make_unique<Recorder>();
    auto node = Node::Open(options, machine_.get());
    if (!node.ok()) return node.status();
    node_ = *std::move(node);
    wire_->Plug(id_, node_.get());
    node_->Start();
    return absl::OkStatus();
  }

  void Stop() {
    wire_->Unplug(id_);
    if (node_ != nullptr) node_->Stop();
    node_.reset();
  }

  // From the next start on.
  void set_snapshots(bool taken) { snapshots_ = taken; }
  void set_sent_kept(Duration duration) { sent_kept_ = duration; }

  bool HasLine(std::string_view begin) { return CountLines(begin) > 0; }
  int CountLines(std::string_view begin) {
    base::MutexLock lock(&mutex_);
    return static_cast<int>(std::ranges::count_if(
        log_, [&](const std::string& line) { return line.starts_with(begin); }));
  }
  std::string LineOf(std::string_view begin) {
    base::MutexLock lock(&mutex_);
    for (const std::string& line : log_) {
      if (line.starts_with(begin)) return line;
    }
    return "";
  }
  std::string Lines() {
    base::MutexLock lock(&mutex_);
    std::string lines;
    for (const std::string& line : log_) base::StrAppend(&lines, line, "\n");
    return lines;
  }
  // The last entry that went when the log was cut.
  uint64_t CutTo() {
    base::MutexLock lock(&mutex_);
    for (auto line = log_.rbegin(); line != log_.rend(); ++line) {
      if (!line->starts_with("[INFO] raft: compacting logs: ")) continue;
      return std::stoull(line->substr(line->find(" to=") + 4));
    }
    return 0;
  }
  void ForgetLines() {
    base::MutexLock lock(&mutex_);
    log_.clear();
  }

  std::vector<std::string> SnapshotFilesThere() {
    std::vector<std::string> found;
    const auto names = fs_->List(kDirectory);
    EXPECT_TRUE(names.ok());
    for (const std::string& name : *names) {
      if (name.find("snapshot") != std::string::npos) found.push_back(name);
    }
    return found;
  }

  FaultyFileSystem* fs() { return fs_.get(); }
  void set_fs(std::unique_ptr<FaultyFileSystem> fs) { fs_ = std::move(fs); }
  Node* node() { return node_.get(); }
  Recorder* machine() { return machine_.get(); }

 private:
  const ServerId id_;
  Wire* const wire_;
  bool snapshots_ = true;
  Duration sent_kept_ = SnapshotOptions{}.sent_kept;
  std::unique_ptr<FaultyFileSystem> fs_;
  base::Mutex mutex_;
  base::CondVar changed_;
  std::vector<std::string> log_;
  std::unique_ptr<Recorder> machine_;
  std::unique_ptr<Node> node_;
};

class SnapshotInstallTest : public ::testing::Test {
 protected:
  SnapshotInstallTest() {
    leader_.WriteFirstEntry();
    follower_.WriteFirstEntry();
    follower_.set_snapshots(false);
    const absl::Status status = leader_.Start();
    EXPECT_TRUE(status.ok()) << status;
    Until([this] { return leader_.node()->status().leader_ready; });
  }

  // What never comes is told by what the servers said meanwhile.
  void Until(const std::function<bool()>& fact) {
    base::MutexLock lock(&mutex_);
    for (int waits = 0; !fact(); ++waits) {
      if (waits > kWaitsMax) {
        std::fprintf(stderr, "leader:\n%s\nfollower:\n%s\n", leader_.Lines().c_str(),
                     follower_.Lines().c_str());
        std::abort();
      }
      never_.WaitFor(&mutex_, std::chrono::milliseconds(1));
    }
  }

  // Commands that each begin with their number.
  void Write(int count) {
    for (int i = 0; i < count; ++i) {
      written_.push_back(StrCat(written_.size(), std::string(500, '.')));
      Countdown done(1);
      leader_.node()->Propose(written_.back(), [&](absl::StatusOr<Applied> applied) {
        EXPECT_TRUE(applied.ok()) << applied.status();
        done.Down();
      });
      done.Wait();
    }
  }

  // So many that the leader's log begins behind what it has now.
  void WriteUntilTheLogIsCut() {
    const uint64_t behind = leader_.node()->status().last_index.value;
    while (leader_.CutTo() < behind) {
      ASSERT_LT(written_.size(), kWritesMax) << "the log is kept\n" << leader_.Lines();
      Write(10);
    }
  }

  void RestartLeader(bool snapshots = true) {
    leader_.Stop();
    leader_.set_snapshots(snapshots);
    const absl::Status status = leader_.Start();
    ASSERT_TRUE(status.ok()) << status;
    Until([this] { return leader_.node()->status().leader_ready; });
  }

  void StartFollower() {
    const absl::Status status = follower_.Start();
    ASSERT_TRUE(status.ok()) << status;
  }

  void UntilTheFollowerHasAll() {
    Until([this] { return follower_.machine()->commands() == written_; });
  }

  uint64_t LeadersSnapshot() {
    return std::stoull(leader_.node()->Stats().at("last_snapshot_index"));
  }

  Wire wire_;
  Server leader_{"node-a", &wire_};
  Server follower_{"node-b", &wire_};
  std::vector<std::string> written_;

 private:
  base::Mutex mutex_;
  base::CondVar never_;
};

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

// What it refused was replaced meanwhile: then the newest comes, and the log begins behind that.
TEST_F(SnapshotInstallTest, WhoRefusesOneIsSentTheNewest) {
  WriteUntilTheLogIsCut();
  // Of which 64 KiB are the log's.
  follower_.fs()->SetCapacity(follower_.fs()->size_total() + (72 << 10));
  StartFollower();
  Until([this] { return follower_.HasLine(kRefused); });
  const std::string first = follower_.LineOf(kRefused);
  WriteUntilTheLogIsCut();
  follower_.ForgetLines();
  Until([this] { return follower_.HasLine(kRefused); });
  EXPECT_NE(follower_.LineOf(kRefused), first);
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
        Write(1);  // the leader takes it for one that has all: a write shows that it has not
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
