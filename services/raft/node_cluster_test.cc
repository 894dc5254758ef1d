// Several servers' consensus at work: real Nodes and threads, disks and a network in memory.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "services/base/lending.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/raft/node_cluster.h"

namespace consul::raft {
namespace {

using Kind = MembershipChange::Kind;

template <typename T>
bool Is(const Message& message) {
  return std::holds_alternative<T>(message.body);
}

TEST_F(NodeClusterTest, ThreeServersElectOneLeaderAndReplicate) {
  Form(3);
  const size_t leader = Leader();
  const auto applied = Propose(leader, "hello");
  ASSERT_TRUE(applied.ok()) << applied.status();
  WaitUntil([&] { return Has(0, "hello") && Has(1, "hello") && Has(2, "hello"); });
  EXPECT_EQ(node(leader).Members().size(), 2u);
  EXPECT_TRUE(node((leader + 1) % 3).Members().empty());
  EXPECT_EQ(node(leader).Stats()["num_peers"], "2");
  EXPECT_EQ(node(leader).Stats()["latest_configuration"],
            "[{Suffrage:Voter ID:a Address:a:8300} {Suffrage:Voter ID:b Address:b:8300} "
            "{Suffrage:Voter ID:c Address:c:8300}]");
  EXPECT_FALSE(node(leader).status().alone);
}

TEST_F(NodeClusterTest, ACommandThatAFollowerPassedOnIsAnsweredFromItsOwnState) {
  Form(3);
  const size_t at = Follower();
  for (int i = 0; i < 50; ++i) {
    const std::string command = base::StrCat("command ", i);
    const auto applied = Propose(at, command);
    ASSERT_TRUE(applied.ok()) << applied.status();
    EXPECT_TRUE(Has(at, command)) << "answered before it was applied here";
    EXPECT_EQ(*static_cast<const std::string*>(applied->result.get()),
              base::StrCat("result of ", applied->index.value));
  }
}

TEST_F(NodeClusterTest, ACommandForATermIsProposedByItsLeaderInThatTermAlone) {
  Form(3);
  const size_t leader = Leader();
  const size_t follower = Follower();
  const Term term = node(leader).status().term;
  EXPECT_TRUE(Propose(leader, "of its term", term).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Propose(follower, "passed on", term).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(Propose(leader, "early", Term{term.value + 1}).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(Propose(leader, "late", Term{term.value - 1}).status()));
  EXPECT_TRUE(Do([&](ChangeCallback done) {
                node(leader).TransferLeadership(IdOf(follower), std::move(done));
              }).ok());
  const size_t next = Leader();
  EXPECT_TRUE(absl::IsFailedPrecondition(Propose(next, "another's", term).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(Propose(leader, "its own, too late", term).status()));
  EXPECT_TRUE(Propose(next, "of any").ok());
  EXPECT_EQ(At(next).machine->commands(), (std::vector<std::string>{"of its term", "of any"}));
}

TEST_F(NodeClusterTest, ManyCommandsOfAllServersAreAppliedOnceAndAlike) {
  Form(3);
  constexpr int kEach = 500;
  Countdown done(3 * kEach);
  std::atomic<int> failed{0};
  for (int i = 0; i < kEach; ++i) {
    for (size_t at = 0; at < 3; ++at) {
      node(at).Propose(base::StrCat(at, " ", i), [&](absl::StatusOr<Applied> applied) {
        if (!applied.ok()) ++failed;
        done.Down();
      });
    }
  }
  done.Wait();
  EXPECT_EQ(failed, 0);
  WaitUntil([&] {
    return At(0).machine->commands().size() == 3 * kEach &&
           At(1).machine->commands().size() == 3 * kEach &&
           At(2).machine->commands().size() == 3 * kEach;
  });
  EXPECT_EQ(At(0).machine->commands(), At(1).machine->commands());
  EXPECT_EQ(At(0).machine->commands(), At(2).machine->commands());
}

TEST_F(NodeClusterTest, AReadBarrierOfAnyServerSeesWhatAnyServerAcknowledged) {
  Form(3);
  for (int i = 0; i < 30; ++i) {
    const std::string command = base::StrCat("command ", i);
    ASSERT_TRUE(Propose(i % 3, command).ok());
    const ReadMode mode = i % 2 == 0 ? ReadMode::kLease : ReadMode::kReadIndex;
    for (size_t at = 0; at < 3; ++at) {
      const absl::Status status = Barrier(at, mode);
      ASSERT_TRUE(status.ok()) << status;
      EXPECT_TRUE(Has(at, command)) << "server " << at << " read what was before";
    }
  }
}

// Asks again as soon as it may go on, on the thread that brings it word.
class Reader final : public base::Lender {
 public:
  explicit Reader(std::function<void()> ask) : ask_(std::move(ask)) {}
  bool RunBorrowed(std::chrono::steady_clock::time_point /*until*/) override {
    if (std::exchange(asked_, true)) return false;
    ask_();
    return true;
  }
  void ReturnBorrowed() override {}

 private:
  const std::function<void()> ask_;
  bool asked_ = false;
};

// What it asks, and what waits already, is one round. Where the thread `raft` was quicker than the
// bringer it may be two.
TEST_F(NodeClusterTest, AReaderThatGoesOnSharesARoundWithThoseThatWait) {
  Form(3);
  const ServerId leader = IdOf(Leader());
  Node& led = node(Leader());
  base::Mutex mutex;
  std::vector<Message> acks;  // on their way
  wire_.LoseIf([&](const Message& message) {
    if (message.to != leader || !Is<HeartbeatReply>(message)) return false;
    base::MutexLock lock(&mutex);
    acks.push_back(message);
    return true;
  });
  const auto deliver = [&] {
    std::vector<Message> arriving;
    WaitUntil([&] {
      base::MutexLock lock(&mutex);
      arriving = std::exchange(acks, {});
      return !arriving.empty();
    });
    for (Message& message : arriving) led.Receive(std::move(message));
  };
  bool shared = false;
  for (int tries = 0; tries < 100 && !shared; ++tries) {
    Countdown all(3);
    const auto answered = [&](const absl::Status& status) {
      EXPECT_TRUE(status.ok()) << status;
      all.Down();
    };
    bool went_on = false;
    Reader reader([&] { led.ReadBarrier(ReadMode::kReadIndex, answered); });
    led.ReadBarrier(ReadMode::kReadIndex, [&](const absl::Status& status) {
      answered(status);
      went_on = base::Borrower::Current() != nullptr;
      if (went_on) base::Borrower::Current()->Add(&reader);
    });
    led.ReadBarrier(ReadMode::kReadIndex, answered);
    deliver();
    if (!went_on) reader.RunBorrowed({});
    deliver();
    shared = went_on && all.is_down();
    while (!all.is_down()) deliver();
  }
  EXPECT_TRUE(shared);
  wire_.LoseIf(nullptr);
}

TEST_F(NodeClusterTest, WithinTheLeaseTheLeaderAnswersInTheCaller) {
  Form(3);
  const size_t leader = Leader();
  WaitUntil([&] { return node(leader).status().lease_holds; });
  WaitUntil([&] {
    bool answered = false;
    node(leader).ReadBarrier(ReadMode::kLease, [&](absl::Status) { answered = true; });
    return answered;
  });
}

// Cut off, it may no longer know what others wrote.
TEST_F(NodeClusterTest, ALeaderThatIsCutOffLosesItsLeaseAndItsWritesOutcomeIsUnknown) {
  Form(3);
  const size_t leader = Leader();
  const ServerId id = IdOf(leader);
  const auto led = std::chrono::steady_clock::now();
  ASSERT_TRUE(Barrier(leader, ReadMode::kReadIndex).ok());  // a majority is heard
  wire_.LoseIf([id](const Message& m) { return m.from == id || m.to == id; });
  Countdown written(1);
  absl::Status answer;
  node(leader).Propose("in flight", [&](absl::StatusOr<Applied> applied) {
    answer = applied.status();
    written.Down();
  });
  written.Wait();
  EXPECT_EQ(answer.code(), absl::StatusCode::kUnknown) << answer;
  WaitUntil([&] { return node(leader).status().role != Role::kLeader; });
  EXPECT_FALSE(node(leader).status().lease_holds);
  // It was in contact while it led.
  EXPECT_LE(node(leader).status().last_contact, std::chrono::steady_clock::now() - led);
  EXPECT_NE(node(leader).Stats()["last_contact"], "never");
  EXPECT_EQ(Barrier(leader, ReadMode::kLease).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Propose(leader, "x").status().code(), absl::StatusCode::kFailedPrecondition);
  wire_.LoseIf(nullptr);
}

// Two leaders have come and gone before a paused one looks: what both said is one output, in which
// another's entry is committed at the index that somebody waits for here.
TEST_F(NodeClusterTest, ALeaderNamesWhomItDoesNotHear) {
  Form(3);
  const size_t leader = Leader();
  const ServerId gone = IdOf((leader + 1) % 3);
  wire_.LoseIf([gone](const Message& m) { return m.from == gone || m.to == gone; });
  const std::string line =
      base::StrCat(IdOf(leader).value, ": raft: failed to contact: server-id=", gone.value,
                   " time=");
  WaitUntil([&] { return HasLineThatBegins(line); });
  EXPECT_EQ(node(leader).status().role, Role::kLeader);
  wire_.LoseIf(nullptr);
}

TEST_F(NodeClusterTest, ALeaderThatWasPausedGivesNobodyAnothersResult) {
  Form(3);
  const size_t paused = Leader();
  const ServerId self = IdOf(paused);
  wire_.LoseIf([](const Message&) { return true; });
  const NodeStatus before = node(paused).status();
  Countdown answered(1);
  absl::StatusOr<Applied> answer = absl::InternalError("never called");
  node(paused).Propose("mine", [&](absl::StatusOr<Applied> applied) {
    answer = std::move(applied);
    answered.Down();
  });
  WaitUntil([&] { return node(paused).status().last_index == before.last_index.Next(); });

  // Its thread stands still while it sends, and has both messages when it goes on.
  bool stands = false;
  bool goes_on = false;
  wire_.Watch([&](const Message& message) {
    base::MutexLock lock(&mutex_);
    if (message.from != self) return;
    stands = true;
    changed_.SignalAll();
    while (!goes_on) changed_.Wait(&mutex_);
  });
  WaitUntil([&] {
    base::MutexLock lock(&mutex_);
    return stands;
  });
  const Term first = before.term.Next();
  const Term second = first.Next();
  const Index place = before.last_index.Next();
  AppendRequest theirs;
  theirs.prev_index = before.last_index;
  theirs.prev_term = before.term;
  theirs.commit = before.last_index;
  theirs.entries = {{first, place, EntryKind::kCommand, MakeBuffer("theirs")}};
  AppendRequest committed;
  committed.prev_index = place;
  committed.prev_term = first;
  committed.commit = place;
  node(paused).Receive({IdOf((paused + 1) % 3), self, first, theirs});
  node(paused).Receive({IdOf((paused + 2) % 3), self, second, committed});
  {
    base::MutexLock lock(&mutex_);
    goes_on = true;
    changed_.SignalAll();
  }
  answered.Wait();
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnknown) << answer.status();
  WaitUntil([&] { return Has(paused, "theirs"); });
  EXPECT_FALSE(Has(paused, "mine"));
  wire_.Watch(nullptr);
}

TEST_F(NodeClusterTest, AfterALeaderDiesNothingAcknowledgedIsLost) {
  Form(3);
  const size_t dead = Leader();
  std::vector<std::string> acknowledged;
  for (int i = 0; i < 20; ++i) {
    const std::string command = base::StrCat("command ", i);
    if (Propose(i % 3, command).ok()) acknowledged.push_back(command);
  }
  EXPECT_EQ(acknowledged.size(), 20u);
  Stop(&At(dead));
  const size_t leader = Leader();
  EXPECT_NE(leader, dead);
  EXPECT_EQ(At(leader).machine->commands(), acknowledged);
  ASSERT_TRUE(Propose(leader, "after").ok());
  acknowledged.push_back("after");
  Start(&At(dead));
  WaitUntil([&] { return At(dead).machine->commands() == acknowledged; });
}

// Heartbeats are counted while the disk is held: so many take longer than any election timeout.
TEST_F(NodeClusterTest, ADiskThatHangsDelaysNoHeartbeat) {
  Form(3);
  for (const bool leaders : {true, false}) {
    const size_t leader = Leader();
    const size_t slow = leaders ? leader : (leader + 1) % 3;
    const Term term = node(leader).status().term;
    const auto held = std::make_shared<Countdown>(1);
    At(slow).fs.SetSyncHook([held] { held->Wait(); });
    // The others are a majority without it: an ack counts when its sender's disk has it.
    const auto applied = Propose(leader, "beside a disk that hangs");
    EXPECT_TRUE(applied.ok()) << applied.status();
    std::atomic<int> heartbeats{0};
    wire_.Watch([&, from = IdOf(slow)](const Message& m) {
      if (m.from == from && (Is<Heartbeat>(m) || Is<HeartbeatReply>(m))) ++heartbeats;
    });
    WaitUntil([&] { return heartbeats >= 60; });
    wire_.Watch(nullptr);
    EXPECT_EQ(node(leader).status().role, Role::kLeader);
    EXPECT_EQ(node(leader).status().term, term) << "somebody campaigned";
    held->Down();
    ASSERT_TRUE(Propose(slow, "after").ok());
    At(slow).fs.SetSyncHook(nullptr);
  }
}

TEST_F(NodeClusterTest, MembersComeAsLearnersBecomeVotersAndGo) {
  Add([](NodeOptions* options) { options->bootstrap = true; });
  EXPECT_EQ(Leader(), 0u);
  WaitUntil([&] { return node(0).status().alone; });
  ASSERT_TRUE(Propose(0, "before").ok());
  for (size_t i = 1; i < 3; ++i) {
    Add();
    ASSERT_TRUE(Change(0, Kind::kAddLearner, IdOf(i)).ok());
    WaitUntil([&] { return Has(i, "before"); });
    ASSERT_TRUE(Change(0, Kind::kAddVoter, IdOf(i)).ok());
  }
  EXPECT_FALSE(node(0).status().alone);
  EXPECT_TRUE(HasLine("a: raft: updating configuration: command=AddNonvoter server-id=b "
                      "server-addr=b:8300 servers=\"[{Suffrage:Voter ID:a Address:a:8300} "
                      "{Suffrage:Nonvoter ID:b Address:b:8300}]\""));
  EXPECT_TRUE(HasLine("a: raft: added peer, starting replication: peer=b"));
  ASSERT_TRUE(Propose(1, "three").ok());
  EXPECT_EQ(Change(0, Kind::kAddVoter, IdOf(1)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Change(1, Kind::kRemove, IdOf(2)).code(), absl::StatusCode::kFailedPrecondition);
  for (size_t i = 1; i < 3; ++i) ASSERT_TRUE(Change(0, Kind::kRemove, IdOf(i)).ok());
  ASSERT_TRUE(Propose(0, "one again").ok());
  WaitUntil([&] { return node(0).status().alone; });
  EXPECT_TRUE(Barrier(0, ReadMode::kReadIndex).ok());
  EXPECT_EQ(Change(0, Kind::kRemove, IdOf(0)).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(NodeClusterTest, ALeaderThatRemovesItselfIsToldAndAnotherLeads) {
  Form(3);
  const size_t leader = Leader();
  EXPECT_TRUE(Change(leader, Kind::kRemove, IdOf(leader)).ok());
  WaitUntil([&] { return node(leader).status().role != Role::kLeader; });
  const size_t heir = Leader();
  EXPECT_NE(heir, leader);
  EXPECT_TRUE(Propose(heir, "on").ok());
}

TEST_F(NodeClusterTest, LeadershipIsHandedOver) {
  Form(3);
  const size_t leader = Leader();
  const size_t target = (leader + 1) % 3;
  const auto transfer = [&](size_t at, const ServerId& to) {
    return Do([&](ChangeCallback done) { node(at).TransferLeadership(to, std::move(done)); });
  };
  EXPECT_EQ(transfer(target, ServerId{}).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(transfer(leader, IdOf(leader)).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(transfer(leader, IdOf(target)).ok());
  WaitUntil([&] { return node(target).status().leader_ready; });
  const size_t now = Leader();
  wire_.LoseIf([](const Message& m) { return Is<TimeoutNow>(m); });
  EXPECT_EQ(transfer(now, ServerId{}).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(node(now).status().leader_ready) << "it leads on";
  EXPECT_TRUE(Propose(now, "on").ok());
}

TEST_F(NodeClusterTest, AServerComesBackWithItsLog) {
  Form(3);
  const size_t down = Follower();
  ASSERT_TRUE(Propose(Leader(), "before").ok());
  WaitUntil([&] { return Has(down, "before"); });
  Stop(&At(down));
  ASSERT_TRUE(Propose(Leader(), "meanwhile").ok());
  Start(&At(down));
  WaitUntil([&] { return Has(down, "meanwhile"); });
  EXPECT_EQ(At(down).machine->commands(), (std::vector<std::string>{"before", "meanwhile"}));
}

TEST_F(NodeClusterTest, ACommandWithoutAnAnswerIsOfUnknownOutcome) {
  Form(3);
  const size_t leader = Leader();
  const size_t at = (leader + 1) % 3;
  std::atomic<int> lost{0};
  wire_.LoseIf([&](const Message& m) { return Is<ProposalsPlaced>(m) && ++lost > 0; });
  Countdown done(1);
  absl::Status answer;
  node(at).Propose("x", [&](absl::StatusOr<Applied> applied) {
    answer = applied.status();
    done.Down();
  });
  WaitUntil([&] { return lost > 0; });
  node(at).StreamBroken(IdOf(leader));
  done.Wait();
  EXPECT_EQ(answer.code(), absl::StatusCode::kUnknown) << answer;
  wire_.LoseIf(nullptr);
}

TEST_F(NodeClusterTest, AQuestionThatWasLostIsAskedAgain) {
  Form(3);
  std::atomic<int> questions{0};
  wire_.LoseIf([&](const Message& m) { return Is<ReadIndexRequest>(m) && ++questions < 3; });
  EXPECT_TRUE(Barrier(Follower(), ReadMode::kReadIndex).ok());
  EXPECT_GE(questions, 3);
  wire_.LoseIf(nullptr);
}

TEST_F(NodeClusterTest, WithoutALeaderCallersAreToldAtOnce) {
  Add();
  EXPECT_EQ(Propose(0, "x").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Barrier(0, ReadMode::kLease).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Change(0, Kind::kAddVoter, IdOf(1)).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(NodeClusterTest, OnlyAServerWithoutStateIsBootstrapped) {
  Form(1);
  const Configuration one({{IdOf(0), MemberKind::kVoter}});
  EXPECT_EQ(Do([&](ChangeCallback done) { node(0).Bootstrap(one, std::move(done)); }).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Do([&](ChangeCallback done) { node(0).Bootstrap({}, std::move(done)); }).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(NodeClusterTest, ASlowFollowerIsServedFromTheLeadersDisk) {
  const auto small = [](NodeOptions* options) { options->core.tail_bytes_max = 20'000; };
  Form(3, small);
  const size_t down = Follower();
  Stop(&At(down));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Propose(Leader(), std::string(2'000, 'x')).ok());
  Start(&At(down), small);
  WaitUntil([&] { return At(down).machine->commands().size() == 100; });
}

// Messages of others are dropped above a limit while the raft thread is held.
TEST_F(NodeClusterTest, WhatWaitsInTheInboxHasALimit) {
  Add([](NodeOptions* options) {
    options->bootstrap = true;
    options->inbox_bytes_max = 1280;
  });
  Leader();
  Countdown entered(1), leave(1);
  std::atomic<bool> hold{true};
  At(0).fs.SetSyncHook([&] {
    if (!hold.exchange(false)) return;
    entered.Down();
    leave.Wait();
  });
  Countdown written(1);
  node(0).Propose("x", [&](absl::StatusOr<Applied>) { written.Down(); });
  entered.Wait();
  std::atomic<int> replies{0};
  wire_.Watch([&](const Message& m) { replies += Is<ReadIndexReply>(m); });
  for (uint64_t i = 1; i <= 100; ++i) {
    node(0).Receive({IdOf(1), IdOf(0), Term{1}, ReadIndexRequest{ReadId{i}}});
  }
  leave.Down();
  written.Wait();
  WaitUntil([&] { return replies >= 10; });
  ASSERT_TRUE(Propose(0, "y").ok());
  EXPECT_EQ(replies, 10);
  wire_.Watch(nullptr);
  Stop(&At(0));
}

}  // namespace
}  // namespace consul::raft
