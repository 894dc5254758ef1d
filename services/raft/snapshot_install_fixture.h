// services/raft/snapshot_install_fixture.h
//
// A leader that shortens its log and a follower behind it, each over a disk in memory that can
// fail, joined by a network in memory that the test listens to.
//
// Threads: tests.
#ifndef CONSUL_SERVICES_RAFT_SNAPSHOT_INSTALL_FIXTURE_H_
#define CONSUL_SERVICES_RAFT_SNAPSHOT_INSTALL_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "services/base/faulty_file_system.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/raft/log_store.h"
#include "services/raft/node.h"
#include "services/raft/node_fixture.h"
#include "services/raft/test_wire.h"

namespace consul::raft {

inline constexpr char kDirectory[] = "data/raft";
inline constexpr uint64_t kChunkBytes = 4 << 10;
inline constexpr int kWaitsMax = 20'000;  // of a millisecond and more
inline constexpr size_t kWritesMax = 20'000;
inline constexpr char kInstalled[] = "[INFO] raft: Installed remote snapshot: index=";
inline constexpr char kRefused[] = "[ERR] raft: failed to install snapshot: index=";

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
                         .trailing_bytes_max = log_bytes_max_,
                         .refused_pause = std::chrono::milliseconds(10),
                         .sent_kept = sent_kept_,
                         .installing_kept = installing_kept_,
                         .sent_log_bytes_max = log_bytes_max_};
    options.log = [this](LogLevel level, std::string_view text) {
      base::MutexLock lock(&mutex_);
      log_.push_back(base::StrCat(level == LogLevel::kError ? "[ERR] " : "[INFO] ", text));
      changed_.SignalAll();
    };
    machine_ = std::make_unique<Recorder>();
    machine_->SetBeforeRestore(before_restore_);
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
  void set_installing_kept(Duration duration) { installing_kept_ = duration; }
  // Of the log from before the newest snapshot, for other servers.
  void set_log_bytes_max(uint64_t bytes) { log_bytes_max_ = bytes; }
  void set_before_restore(std::function<void()> hook) { before_restore_ = std::move(hook); }

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
  Duration installing_kept_ = SnapshotOptions{}.installing_kept;
  uint64_t log_bytes_max_ = uint64_t{1} << 40;
  std::function<void()> before_restore_;
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

  // A command that begins with its number; it is written only if the answer is so.
  absl::Status TryWrite() {
    const std::string command = base::StrCat(written_.size(), std::string(500, '.'));
    absl::Status status;
    Countdown done(1);
    leader_.node()->Propose(command, [&](absl::StatusOr<Applied> applied) {
      status = applied.status();
      done.Down();
    });
    done.Wait();
    if (status.ok()) written_.push_back(command);
    return status;
  }
  void Write(int count) {
    for (int i = 0; i < count; ++i) {
      const absl::Status status = TryWrite();
      EXPECT_TRUE(status.ok()) << status;
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

  // One that has got the whole snapshot and installs it until it is let go. Returns its index.
  uint64_t StartFollowerThatInstalls() {
    const auto begun = std::make_shared<Countdown>(1);
    follower_.set_before_restore([begun, hold = installing_] {
      begun->Down();
      hold->Wait();
    });
    StartFollower();
    begun->Wait();
    follower_.set_before_restore(nullptr);
    const std::string name = follower_.SnapshotFilesThere().at(0);
    return std::stoull(name);
  }

  // How often a follower is asked whether it still installs, from now on.
  std::shared_ptr<std::atomic<int>> CountAsked() {
    const auto asked = std::make_shared<std::atomic<int>>(0);
    wire_.SetFilter([asked](Message* message) {
      const auto* chunk = std::get_if<SnapshotChunk>(&message->body);
      if (chunk != nullptr && chunk->offset == chunk->meta.size_bytes) ++*asked;
      return true;
    });
    return asked;
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
  const std::shared_ptr<Countdown> installing_ = std::make_shared<Countdown>(1);

 private:
  base::Mutex mutex_;
  base::CondVar never_;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_SNAPSHOT_INSTALL_FIXTURE_H_
