// One server's consensus at work, over a disk in memory that can fail.
#include "services/raft/node.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "services/base/faulty_file_system.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/raft/node_fixture.h"

namespace consul::raft {
namespace {

using base::Unsynced;

TEST_F(NodeTest, ABootstrappedNodeLeadsAtOnce) {
  OpenReady();
  const NodeStatus status = node_->status();
  EXPECT_EQ(status.role, Role::kLeader);
  EXPECT_TRUE(status.leader_known);
  EXPECT_EQ(status.last_contact, Duration{0});
  EXPECT_EQ(node_->leader().id, ServerId{"node-a"});
  EXPECT_EQ(node_->leader().address, "10.1.10.38:8300");
  EXPECT_TRUE(node_->configuration().configuration.IsSoleVoter(ServerId{"node-a"}));
}

TEST_F(NodeTest, TheLogReadsLikeTheReferences) {
  OpenReady();
  node_->Stop();
  const std::vector<std::string> expected = {
      "[INFO] raft: initial configuration: index=0 servers=\"[]\"",
      "[INFO] raft: Node at 10.1.10.38:8300 [Follower] entering Follower state",
      "[WARN] raft: Heartbeat timeout reached, starting election",
      "[INFO] raft: Node at 10.1.10.38:8300 [Candidate] entering Candidate state",
      "[INFO] raft: Election won. Tally: 1",
      "[INFO] raft: Node at 10.1.10.38:8300 [Leader] entering Leader state",
  };
  std::vector<std::string> lines;
  for (const std::string& line : log_) {
    if (line.find("Configuration") == std::string::npos) lines.push_back(line);
  }
  EXPECT_EQ(lines, expected);
}

TEST_F(NodeTest, WithoutBootstrapItWaits) {
  NodeOptions options = OptionsOf();
  options.bootstrap = false;
  ASSERT_TRUE(Open(std::move(options)).ok());
  EXPECT_EQ(ProposeAndWait("x").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(node_->status().leader_known);
  EXPECT_TRUE(node_->leader().id.empty());
}

TEST_F(NodeTest, TheLogOfAnotherServerIsRefused) {
  OpenReady();
  node_->Stop();
  NodeOptions options = OptionsOf();
  options.core.self = ServerId{"node-b"};
  const absl::Status status = Open(std::move(options));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(),
            "log data/raft: is that of node id node-a, and this is node id node-b");
  EXPECT_TRUE(Open().ok()) << "its owner may use it";
}

TEST_F(NodeTest, ACommandIsAppliedAndItsResultComesBack) {
  OpenReady();
  const auto applied = ProposeAndWait("hello");
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_EQ(machine_->commands(), std::vector<std::string>{"hello"});
  EXPECT_EQ(*static_cast<const std::string*>(applied->result.get()),
            base::StrCat("result of ", applied->index.value));
  EXPECT_EQ(node_->status().applied_index, applied->index);
}

TEST_F(NodeTest, AnAnsweredCommandIsDurable) {
  OpenReady();
  ASSERT_TRUE(ProposeAndWait("one").ok());
  ASSERT_TRUE(ProposeAndWait("two").ok());
  fs_.Crash();
  node_.reset();
  fs_.Restart(Unsynced::kLost);
  OpenReady();
  EXPECT_EQ(machine_->commands(), (std::vector<std::string>{"one", "two"}));
}

TEST_F(NodeTest, ASecondStartKeepsTheConfigurationAndGoesUpOneTerm) {
  OpenReady();
  const Term first = node_->status().term;
  node_->Stop();
  OpenReady();
  EXPECT_GT(node_->status().term, first);
  EXPECT_EQ(node_->configuration().index, Index{1});
}

TEST_F(NodeTest, ProposalsFromManyThreadsAreAllApplied) {
  OpenReady();
  constexpr int kThreads = 8, kEach = 200;
  Countdown done(kThreads * kEach);
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        node_->Propose(base::StrCat(t, ".", i), [&](absl::StatusOr<Applied> applied) {
          if (!applied.ok()) ++failed;
          done.Down();
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  done.Wait();
  EXPECT_EQ(failed.load(), 0);
  EXPECT_EQ(machine_->commands().size(), size_t{kThreads * kEach});
}

// Goal: all who wait while the disk is busy share one sync. Method: the disk is held in a sync
// until a hundred proposals wait.
TEST_F(NodeTest, ProposalsThatWaitShareOneSync) {
  OpenReady();
  ASSERT_TRUE(ProposeAndWait("warm").ok());
  Countdown entered(1), leave(1);
  std::atomic<bool> hold{true};
  fs_.SetSyncHook([&] {
    if (!hold.exchange(false)) return;
    entered.Down();
    leave.Wait();
  });
  Countdown done(101);
  const auto count = [&](absl::StatusOr<Applied> applied) {
    EXPECT_TRUE(applied.ok());
    done.Down();
  };
  node_->Propose("first", count);
  entered.Wait();
  const uint64_t syncs = fs_.syncs();
  for (int i = 0; i < 100; ++i) node_->Propose("x", count);
  leave.Down();
  done.Wait();
  EXPECT_EQ(fs_.syncs(), syncs + 2);
  fs_.SetSyncHook(nullptr);
}

TEST_F(NodeTest, NothingIsAnsweredBeforeItIsDurable) {
  OpenReady();
  ASSERT_TRUE(ProposeAndWait("warm").ok());
  Countdown entered(1), leave(1);
  std::atomic<bool> hold{true}, answered{false};
  fs_.SetSyncHook([&] {
    if (!hold.exchange(false)) return;
    entered.Down();
    leave.Wait();
  });
  Countdown done(1);
  node_->Propose("x", [&](absl::StatusOr<Applied>) {
    answered = true;
    done.Down();
  });
  entered.Wait();
  EXPECT_FALSE(answered.load());
  EXPECT_EQ(machine_->commands(), std::vector<std::string>{"warm"});
  leave.Down();
  done.Wait();
  fs_.SetSyncHook(nullptr);
}

TEST_F(NodeTest, ACallbackMayPropose) {
  OpenReady();
  Countdown done(1);
  std::function<void(int)> go = [&](int left) {
    node_->Propose(base::StrCat(left), [&, left](absl::StatusOr<Applied> applied) {
      ASSERT_TRUE(applied.ok());
      if (left == 0) return done.Down();
      go(left - 1);
    });
  };
  go(20);
  done.Wait();
  EXPECT_EQ(machine_->commands().size(), 21u);
}

TEST_F(NodeTest, AReadBarrierOfASoleVoterAnswersInTheCaller) {
  OpenReady();
  absl::Status answer = absl::UnknownError("never called");
  node_->ReadBarrier(ReadMode::kReadIndex, [&](absl::Status status) { answer = status; });
  EXPECT_TRUE(answer.ok());
}

TEST_F(NodeTest, AReadBarrierWithoutALeaderIsRefused) {
  NodeOptions options = OptionsOf();
  options.bootstrap = false;
  ASSERT_TRUE(Open(std::move(options)).ok());
  absl::Status answer;
  node_->ReadBarrier(ReadMode::kReadIndex, [&](absl::Status status) { answer = status; });
  EXPECT_EQ(answer.code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(NodeTest, ALargeCommandIsRefusedWithItsLimit) {
  OpenReady();
  const auto answer = ProposeAndWait(std::string(2 << 20, 'x'));
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(answer.status().ToString().find("1048544"), std::string::npos) << answer.status();
}

TEST_F(NodeTest, TheLargestCommandPasses) {
  OpenReady();
  ASSERT_TRUE(ProposeAndWait(std::string((1 << 20) - Entry::kOverheadBytes, 'x')).ok());
  node_->Stop();
  OpenReady();
  EXPECT_EQ(machine_->commands()[0].size(), (1u << 20) - Entry::kOverheadBytes);
}

TEST_F(NodeTest, AFullQueueIsRefusedWithItsLimit) {
  NodeOptions options = OptionsOf();
  options.pending_bytes_max = 1000;
  ASSERT_TRUE(Open(std::move(options)).ok());
  WaitUntilReady();
  Countdown entered(1), leave(1);
  std::atomic<bool> hold{true};
  fs_.SetSyncHook([&] {
    if (!hold.exchange(false)) return;
    entered.Down();
    leave.Wait();
  });
  Countdown done(1);
  node_->Propose(std::string(900, 'x'), [&](absl::StatusOr<Applied> applied) {
    EXPECT_TRUE(applied.ok());
    done.Down();
  });
  entered.Wait();
  const auto refused = ProposeAndWait(std::string(100, 'x'));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(refused.status().ToString().find("1000 bytes"), std::string::npos);
  leave.Down();
  done.Wait();
  node_->Stop();
  fs_.SetSyncHook(nullptr);
}

TEST_F(NodeTest, TheQueueEmptiesAgain) {
  NodeOptions options = OptionsOf();
  options.pending_bytes_max = 1000;
  ASSERT_TRUE(Open(std::move(options)).ok());
  WaitUntilReady();
  for (int i = 0; i < 20; ++i) {
    // The bytes are let go just after the answer: a refusal in between is allowed once.
    while (ProposeAndWait(std::string(900, 'x')).status().code() ==
           absl::StatusCode::kResourceExhausted) {
      std::this_thread::yield();
    }
  }
  EXPECT_EQ(machine_->commands().size(), 20u);
}

TEST_F(NodeTest, AFullDiskRefusesAndGoesOn) {
  OpenReady();
  fs_.SetCapacity(fs_.size_total());
  const auto full = ProposeAndWait(std::string(20'000, 'x'));
  EXPECT_EQ(full.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(full.status().ToString().find("No space left"), std::string::npos) << full.status();
  EXPECT_EQ(node_->status().role, Role::kLeader);
  ASSERT_TRUE(ProposeAndWait("small").ok()) << "what still fits is taken";
  fs_.SetCapacity(std::nullopt);
  EXPECT_TRUE(ProposeAndWait(std::string(20'000, 'x')).ok());
  node_->Stop();
  OpenReady();
  EXPECT_EQ(machine_->commands().size(), 2u);
}

TEST_F(NodeTest, AFailedSyncEndsIt) {
  OpenReady();
  ASSERT_TRUE(ProposeAndWait("kept").ok());
  fs_.FailSync(0);
  EXPECT_EQ(ProposeAndWait("lost").status().code(), absl::StatusCode::kUnknown);
  EXPECT_TRUE(fs_.fatal().has_value());
  EXPECT_FALSE(ProposeAndWait("later").ok());
  EXPECT_EQ(machine_->commands(), std::vector<std::string>{"kept"});
}

TEST_F(NodeTest, StopAnswersEverybody) {
  OpenReady();
  Countdown done(100);
  std::atomic<int> answered{0};
  for (int i = 0; i < 100; ++i) {
    node_->Propose("x", [&](absl::StatusOr<Applied> applied) {
      EXPECT_TRUE(applied.ok() || applied.status().code() == absl::StatusCode::kCancelled ||
                  applied.status().code() == absl::StatusCode::kFailedPrecondition);
      ++answered;
    });
  }
  node_->Stop();
  EXPECT_EQ(answered.load(), 100);
  node_->Stop();
  EXPECT_EQ(ProposeAndWait("late").status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(NodeTest, ASecondNodeOnOneDirectoryIsRefused) {
  OpenReady();
  Recorder machine;
  const auto second = Node::Open(OptionsOf(), &machine);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(NodeTest, StatsHaveTheReferencesKeys) {
  OpenReady();
  ASSERT_TRUE(ProposeAndWait("x").ok());
  auto stats = node_->Stats();
  EXPECT_EQ(stats.size(), 18u);
  EXPECT_EQ(stats["state"], "Leader");
  EXPECT_EQ(stats["num_peers"], "0");
  EXPECT_EQ(stats["last_contact"], "0");
  EXPECT_EQ(stats["applied_index"], stats["last_log_index"]);
  EXPECT_EQ(stats["latest_configuration"],
            "[{Suffrage:Voter ID:node-a Address:10.1.10.38:8300}]");
}

TEST_F(NodeTest, ALongLogIsAppliedInLargeBatches) {
  OpenReady();
  Countdown done(20'000);
  for (int i = 0; i < 20'000; ++i) {
    node_->Propose(std::string(200, 'x'), [&](absl::StatusOr<Applied>) { done.Down(); });
  }
  done.Wait();
  node_->Stop();
  OpenReady();
  EXPECT_EQ(machine_->commands().size(), 20'000u);
  EXPECT_LT(machine_->batches(), 20u);
}

// Entries of which fewer than a thousand exceed what Core hands out unasked.
TEST_F(NodeTest, ALogOfLargeEntriesIsAppliedWhole) {
  OpenReady();
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(ProposeAndWait(std::string(700'000, 'x')).ok());
  node_->Stop();
  OpenReady();
  EXPECT_EQ(machine_->commands().size(), 40u);
}

// Goal: what was answered survives, whatever the operation that the machine stopped in. Method: the
// machine is stopped at each of the first operations of a run, restarted in every way, and asked.
TEST_F(NodeTest, EveryAnsweredCommandSurvivesACrashAtEveryOperation) {
  for (uint64_t operation = 0; operation < 60; ++operation) {
    for (const Unsynced fate : {Unsynced::kKept, Unsynced::kLost, Unsynced::kTorn}) {
      FaultyFileSystem fs(operation);
      std::vector<std::string> answered;
      {
        Recorder machine;
        NodeOptions options = OptionsOf();
        options.file_system = &fs;
        options.log = nullptr;
        fs.CrashAtOperation(operation);
        auto node = Node::Open(std::move(options), &machine);
        if (node.ok()) (*node)->Start();
        while (node.ok() && !fs.crashed() && !(*node)->status().leader_ready) {
          std::this_thread::yield();
        }
        for (int i = 0; node.ok() && !fs.crashed(); ++i) {
          Countdown done(1);
          const std::string command = base::StrCat("command ", i);
          (*node)->Propose(command, [&](absl::StatusOr<Applied> applied) {
            if (applied.ok()) answered.push_back(command);
            done.Down();
          });
          done.Wait();
        }
      }
      fs.Restart(fate);
      Recorder machine;
      NodeOptions options = OptionsOf();
      options.file_system = &fs;
      options.log = nullptr;
      auto node = Node::Open(std::move(options), &machine);
      ASSERT_TRUE(node.ok()) << operation << ": " << node.status();
      (*node)->Start();
      while (!(*node)->status().leader_ready) std::this_thread::yield();
      const std::vector<std::string> commands = machine.commands();
      ASSERT_GE(commands.size(), answered.size()) << operation;
      ASSERT_LE(commands.size(), answered.size() + 1) << operation;
      for (size_t i = 0; i < answered.size(); ++i) ASSERT_EQ(commands[i], answered[i]);
    }
  }
}

}  // namespace
}  // namespace consul::raft
