// services/raft/node_fixture.h
//
// One node on a disk in memory that can fail, over a state machine that is a list of texts.
//
// Threads: tests.
#ifndef CONSUL_SERVICES_RAFT_NODE_FIXTURE_H_
#define CONSUL_SERVICES_RAFT_NODE_FIXTURE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "services/base/faulty_file_system.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/raft/node.h"
#include "services/raft/state_machine.h"

namespace consul::raft {

using base::FaultyFileSystem;

class FrozenText final : public FrozenState {
 public:
  FrozenText(std::string text, std::function<void()> before)
      : text_(std::move(text)), before_(std::move(before)) {}
  absl::Status Write(const SnapshotSink& sink) const override {
    if (before_) before_();
    return sink(text_);
  }

 private:
  const std::string text_;
  const std::function<void()> before_;
};

// Collects what was applied, as text.
class Recorder final : public StateMachine {
 public:
  void ApplyBatch(std::span<const Entry> entries, std::vector<ApplyResult>* results) override {
    base::MutexLock lock(&mutex_);
    ++batches_;
    for (const Entry& entry : entries) {
      EXPECT_EQ(entry.index, last_.Next()) << "a gap or a repetition";
      last_ = entry.index;
      if (entry.kind == EntryKind::kCommand) {
        commands_.push_back(entry.payload == nullptr ? std::string() : *entry.payload);
      }
      if (results != nullptr) {
        results->push_back(std::make_shared<const std::string>(
            base::StrCat("result of ", entry.index.value)));
      }
    }
  }
  // A line for the index, then one for each command.
  std::unique_ptr<FrozenState> Freeze() override {
    base::MutexLock lock(&mutex_);
    std::string text = base::StrCat(last_.value, "\n");
    for (const std::string& command : commands_) base::StrAppend(&text, command, "\n");
    return std::make_unique<FrozenText>(std::move(text), before_write_);
  }
  absl::Status Restore(Index index, const SnapshotSource& source) override {
    if (before_restore_) before_restore_();
    std::string text;
    for (;;) {
      const auto bytes = source();
      if (!bytes.ok()) return bytes.status();
      if (bytes->empty()) break;
      text += *bytes;
    }
    base::MutexLock lock(&mutex_);
    EXPECT_GT(index, last_) << "restored into a newer state";
    last_ = restored_ = index;
    commands_.clear();
    for (size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
      commands_.push_back(text.substr(at, end - at));
    }
    EXPECT_EQ(commands_.at(0), base::StrCat(index.value));
    commands_.erase(commands_.begin());
    return absl::OkStatus();
  }
  // Runs before a frozen state is written, on the thread that writes it.
  void SetBeforeWrite(std::function<void()> before_write) {
    base::MutexLock lock(&mutex_);
    before_write_ = std::move(before_write);
  }
  // Runs before a state is restored, on the thread that applies. Before there is one.
  void SetBeforeRestore(std::function<void()> before_restore) {
    before_restore_ = std::move(before_restore);
  }
  Index restored() const {
    base::MutexLock lock(&mutex_);
    return restored_;
  }
  std::vector<std::string> commands() const {
    base::MutexLock lock(&mutex_);
    return commands_;
  }
  uint64_t batches() const {
    base::MutexLock lock(&mutex_);
    return batches_;
  }

 private:
  mutable base::Mutex mutex_;
  Index last_;
  Index restored_;
  std::function<void()> before_write_;
  std::function<void()> before_restore_;
  std::vector<std::string> commands_;
  uint64_t batches_ = 0;
};

// Counts down to nothing, then lets go who waits.
class Countdown {
 public:
  explicit Countdown(int count) : count_(count) {}
  void Down() {
    base::MutexLock lock(&mutex_);
    if (--count_ <= 0) wake_.SignalAll();
  }
  void Wait() {
    base::MutexLock lock(&mutex_);
    while (count_ > 0) wake_.Wait(&mutex_);
  }
  bool is_down() {
    base::MutexLock lock(&mutex_);
    return count_ <= 0;
  }

 private:
  base::Mutex mutex_;
  base::CondVar wake_;
  int count_;
};

class NodeTest : public ::testing::Test {
 protected:
  NodeOptions OptionsOf() {
    NodeOptions options;
    options.file_system = &fs_;
    options.directory = "data/raft";
    options.address = "10.1.10.38:8300";
    options.core.self = ServerId{"node-a"};
    options.bootstrap = true;
    options.segment_bytes_min = 16 << 10;
    options.segment_bytes_max = 64 << 10;
    options.log = [this](LogLevel level, std::string_view text) {
      base::MutexLock lock(&mutex_);
      log_.push_back(base::StrCat(level == LogLevel::kWarn    ? "[WARN] "
                                  : level == LogLevel::kError ? "[ERR] "
                                                              : "[INFO] ",
                                  text));
      changed_.SignalAll();
    };
    options.on_role_change = [this](const RoleChange&) {
      base::MutexLock lock(&mutex_);
      changed_.SignalAll();
    };
    return options;
  }

  absl::Status Open() { return Open(OptionsOf()); }
  absl::Status Open(NodeOptions options) {
    node_.reset();
    machine_ = std::make_unique<Recorder>();
    auto node = Node::Open(std::move(options), machine_.get());
    if (!node.ok()) return node.status();
    node_ = std::move(*node);
    node_->Start();
    return absl::OkStatus();
  }

  void OpenReady() {
    const absl::Status status = Open();
    ASSERT_TRUE(status.ok()) << status;
    WaitUntilReady();
  }

  void WaitUntilReady() {
    base::MutexLock lock(&mutex_);
    while (!node_->status().leader_ready) changed_.Wait(&mutex_);
  }

  // Until a log line begins so; those of before count as well.
  void WaitForLine(std::string_view begin) {
    base::MutexLock lock(&mutex_);
    while (!HasLine(begin)) changed_.Wait(&mutex_);
  }
  bool HasLine(std::string_view begin) const REQUIRES_LOCK(mutex_) {
    for (const std::string& line : log_) {
      if (line.starts_with(begin)) return true;
    }
    return false;
  }

  absl::StatusOr<Applied> ProposeAndWait(std::string command) {
    Countdown done(1);
    absl::StatusOr<Applied> answer = absl::UnknownError("never called");
    node_->Propose(std::move(command), [&](absl::StatusOr<Applied> applied) {
      answer = std::move(applied);
      done.Down();
    });
    done.Wait();
    return answer;
  }

  FaultyFileSystem fs_{1};
  base::Mutex mutex_;
  base::CondVar changed_;
  std::vector<std::string> log_;
  std::unique_ptr<Recorder> machine_;
  std::unique_ptr<Node> node_;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_NODE_FIXTURE_H_
