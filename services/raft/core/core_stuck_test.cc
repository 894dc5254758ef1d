// Servers that answer and write nothing, for their disks are full: what a leader still sends them,
// whom it trusts to go on without it, and when it waits for them no more.
#include <algorithm>
#include <string>
#include <variant>

#include "gtest/gtest.h"
#include "services/raft/core/core.h"
#include "services/raft/core/core_fixture.h"

namespace consul::raft {
namespace {

class CoreStuckTest : public CoreTest {
 protected:
  // `full` answers all but commands, which it drops.
  void DeliverToAFullOne(const std::string& full) {
    while (!cluster().wire().empty()) {
      const Message& message = cluster().wire().front();
      const auto* request = std::get_if<AppendRequest>(&message.body);
      const bool drops = message.to == Id(full) && request != nullptr &&
                         std::ranges::any_of(request->entries, [](const Entry& entry) {
                           return entry.kind == EntryKind::kCommand;
                         });
      if (drops) {
        dropped_ += request->entries.size();
        cluster().Lose(0);
      } else {
        cluster().Deliver(0);
      }
    }
  }
  void RunWithAFullOne(const std::string& full, Duration duration) {
    for (Duration ran{0}; ran < duration; ran += Ms(5)) {
      cluster().Advance(Ms(5));
      DeliverToAFullOne(full);
    }
  }
  // Commands that it lacks then.
  void ProposeWithAFullOne(const std::string& full) {
    for (int i = 0; i < 200; ++i) {
      cluster().Propose("a", std::string(100, 'x'));
      DeliverToAFullOne(full);
    }
  }

  size_t dropped_ = 0;  // entries
};

TEST_F(CoreStuckTest, OthersCanCommitWhileAMajorityOfThemIsHeardAndTakesWhatItIsSent) {
  StartThree();
  EXPECT_FALSE(core("a").OthersCanCommit()) << "it does not lead";
  cluster().Elect("a");
  cluster().Run(Ms(60));
  EXPECT_TRUE(core("a").OthersCanCommit());
  // Heard, but it writes nothing more. While nothing is sent there is no telling.
  cluster().at("c").hold_writes = true;
  cluster().Run(Ms(700));
  EXPECT_TRUE(core("a").OthersCanCommit());
  cluster().Propose("a", "x");
  cluster().Run(Ms(590));
  EXPECT_TRUE(core("a").OthersCanCommit()) << "its disk may be slow";
  cluster().Run(Ms(30));
  EXPECT_FALSE(core("a").OthersCanCommit());
  cluster().ReleaseWrites("c");
  cluster().Run(Ms(30));
  EXPECT_TRUE(core("a").OthersCanCommit());
  cluster().Crash("b");
  cluster().Run(Ms(650));
  EXPECT_EQ(core("a").role(), Role::kLeader);
  EXPECT_FALSE(core("a").OthersCanCommit());
}

TEST_F(CoreStuckTest, WhoTakesNoEntriesIsSentFewUntilItDoes) {
  Options options = TestCluster::TellsAtOnce();
  options.tail_bytes_max = 1000;
  Start({{"a", "b", "c"}}, options);
  cluster().Elect("a");
  cluster().Run(Ms(60));
  ProposeWithAFullOne("c");
  RunWithAFullOne("c", Ms(5000));
  EXPECT_FALSE(core("a").OthersCanCommit()) << "it accepts empty requests, and writes nothing";
  dropped_ = 0;
  RunWithAFullOne("c", Ms(5000));
  EXPECT_GE(dropped_, 4u);
  EXPECT_LE(dropped_, 6u);
  cluster().Run(Ms(1300));
  EXPECT_EQ(core("c").last_index(), core("a").last_index()) << "one that is taken brings the rest";
  EXPECT_TRUE(core("a").OthersCanCommit());
}

// Nor is the leader woken again and again to see whether it is time to send it what it lacks.
TEST_F(CoreStuckTest, WhoIsSentNothingIsNoReasonToWake) {
  // It has acknowledged nothing for long, or its window is full.
  for (const Duration silence : {Ms(5000), Ms(10)}) {
    Options options;
    options.spare_delay = Ms(2);
    options.in_flight_requests_max = silence > Ms(1000) ? 8 : 1;
    Start({{"a", "b", "c"}}, options);
    cluster().Elect("a");
    cluster().Run(Ms(60));
    cluster().Crash("c");
    cluster().Propose("a", "x");
    cluster().Run(silence);
    cluster().Propose("a", "x");
    cluster().Run(Ms(10));
    ASSERT_EQ(core("a").commit_index(), core("a").last_index());
    Give("b", "a", core("a").term().value, HeartbeatReply{});
    EXPECT_GT(core("a").NextDeadline(), cluster().now() + Ms(2));
  }
}

// All that it has sent it were probes.
TEST_F(CoreStuckTest, WhoTakesNoEntriesIsSentFewByALaterLeaderAsWell) {
  StartThree();
  cluster().Elect("a");
  cluster().Run(Ms(60));
  ProposeWithAFullOne("c");
  cluster().Crash("a");
  RunWithAFullOne("c", Ms(8000));
  ASSERT_EQ(cluster().leader(), "b");
  dropped_ = 0;
  RunWithAFullOne("c", Ms(5000));
  EXPECT_GE(dropped_, 4u);
  EXPECT_LE(dropped_, 6u);
  cluster().Run(Ms(1300));
  EXPECT_EQ(core("c").last_index(), core("b").last_index());
}

// It may take now what it did not before.
TEST_F(CoreStuckTest, WhoWasAwayForLongIsSentAtOnceWhatItLacks) {
  StartThree();
  cluster().Elect("a");
  cluster().Run(Ms(60));
  cluster().CutOff("c");
  for (int i = 0; i < 100; ++i) {
    cluster().Propose("a", "x");
    cluster().Run(Ms(100));
  }
  cluster().Heal();
  cluster().Run(Ms(250));
  EXPECT_EQ(core("c").last_index(), core("a").last_index());
}

// It is not where it was for long, but comes on.
TEST_F(CoreStuckTest, WhoLostItsDiskIsSentWhatItHadAsFastAsItWrites) {
  Options options = TestCluster::TellsAtOnce();
  options.append_bytes_max = 1000;  // one entry at a time
  options.in_flight_requests_max = 1;
  Start({{"a", "b", "c"}}, options);
  cluster().Elect("a");
  cluster().Run(Ms(60));
  const DurableState before = cluster().at("c").disk;
  for (int i = 0; i < 200; ++i) {
    cluster().Propose("a", std::string(900, 'x'));
    cluster().Settle();
  }
  cluster().Crash("c");
  cluster().at("c").disk = before;
  cluster().at("c").hold_writes = true;
  cluster().Restart("c");
  cluster().Propose("a", "y");  // which shows what it lacks
  for (int i = 0; i < 210; ++i) {
    cluster().Run(Ms(50));
    if (!cluster().at("c").writes.empty()) cluster().FinishWrite(cluster().at("c"));
  }
  cluster().Settle();
  EXPECT_EQ(core("c").last_index(), core("a").last_index());
}

TEST_F(CoreStuckTest, OthersCanCommitWhatTheyWereNotSentYet) {
  StartThree();
  cluster().Elect("a");
  cluster().Run(Ms(700));
  core("a").Propose(cluster().now(), {{EntryKind::kCommand, MakeBuffer("x")}});
  EXPECT_TRUE(core("a").OthersCanCommit());
}

// It owes nothing while that is loaded.
TEST_F(CoreStuckTest, WhoLacksWhatOnlyTheDiskHasIsNotTrustedToCommit) {
  Options options = TestCluster::TellsAtOnce();
  options.tail_bytes_max = 100;
  options.in_flight_requests_max = 1;
  Start({{"a", "b", "c"}}, options);
  cluster().Elect("a");
  cluster().Run(Ms(60));
  cluster().at("c").hold_writes = true;
  for (int i = 0; i < 10; ++i) {
    cluster().Propose("a", std::string(100, 'x'));
    cluster().Settle();
  }
  cluster().ReleaseWrites("c");
  for (const Message& ack : cluster().wire()) core("a").Receive(cluster().now(), ack);
  Forget();
  EXPECT_EQ(core("a").TakeOutput().loads.size(), 1u);  // which take their time
  EXPECT_FALSE(core("a").OthersCanCommit()) << "however lately it spoke";
  cluster().Run(Ms(700));
  EXPECT_FALSE(core("a").OthersCanCommit());
}

TEST_F(CoreStuckTest, TheOthersOfTwoAreNoMajority) {
  Start({{"a", "b"}});
  cluster().Elect("a");
  cluster().Run(Ms(60));
  EXPECT_FALSE(core("a").OthersCanCommit());
}

TEST_F(CoreStuckTest, WhereNoMajorityWritesProposalsAreRefusedUntilOneDoes) {
  StartThree();
  cluster().Elect("a");
  cluster().Run(Ms(60));
  const Duration max = core("a").options().commit_wait_max;
  cluster().at("b").hold_writes = cluster().at("c").hold_writes = true;
  cluster().Run(2 * max);
  EXPECT_FALSE(core("a").commit_stalled()) << "nothing waits";
  EXPECT_EQ(cluster().Propose("a", "x").status, ProposeStatus::kAccepted);
  cluster().Run(max - Ms(60));
  EXPECT_EQ(cluster().Propose("a", "y").status, ProposeStatus::kAccepted) << "a slow disk is none";
  cluster().Run(Ms(60));
  EXPECT_EQ(core("a").role(), Role::kLeader) << "they are heard";
  EXPECT_TRUE(core("a").commit_stalled());
  EXPECT_EQ(cluster().Propose("a", "z").status, ProposeStatus::kNoMajority);
  // Fewer voters may be what is missing.
  EXPECT_EQ(cluster().Change("a", MembershipChange::Kind::kRemove, "c").status,
            MembershipStatus::kAccepted);
  cluster().ReleaseWrites("b");
  cluster().Settle();
  EXPECT_FALSE(core("a").commit_stalled());
  EXPECT_EQ(cluster().Propose("a", "z").status, ProposeStatus::kAccepted);
}

TEST_F(CoreStuckTest, AVoterThatComesNearerToWhatIsAwaitedIsWaitedFor) {
  StartThree();
  cluster().Elect("a");
  cluster().Run(Ms(60));
  const Duration max = core("a").options().commit_wait_max;
  cluster().at("b").hold_writes = true;
  for (int i = 0; i < 2; ++i) {
    cluster().Propose("a", "x");
    cluster().Settle();
  }
  cluster().at("c").hold_writes = true;
  cluster().Propose("a", "y");
  cluster().Run(max - Ms(60));
  cluster().FinishWrite(cluster().at("b"));
  cluster().Run(Ms(120));
  EXPECT_FALSE(core("a").commit_stalled()) << "one before it was written";
  cluster().Run(max);
  EXPECT_TRUE(core("a").commit_stalled());
}

// What it acknowledges again after it lost its disk is no nearer.
TEST_F(CoreStuckTest, AVoterThatLosesItsDiskAgainAndAgainIsNotWaitedFor) {
  Options options = TestCluster::TellsAtOnce();
  options.append_bytes_max = 100;  // one entry
  options.in_flight_requests_max = 1;
  Start({{"a", "b", "c"}}, options);
  cluster().Elect("a");
  cluster().Run(Ms(60));
  const DurableState before = cluster().at("c").disk;
  for (int i = 0; i < 10; ++i) {
    cluster().Propose("a", std::string(50, 'x'));
    cluster().Settle();
  }
  const Index had = core("c").last_index();
  cluster().Crash("b");
  cluster().at("c").hold_writes = true;
  cluster().Propose("a", std::string(50, 'y'));
  const Duration max = core("a").options().commit_wait_max;
  for (int i = 0; i < 10; ++i) {
    cluster().Crash("c");
    cluster().at("c").disk = before;
    cluster().Restart("c");
    cluster().Run(max / 10);
    while (cluster().at("c").disk.log_last() < had) {
      ASSERT_FALSE(cluster().at("c").writes.empty());
      cluster().FinishWrite(cluster().at("c"));
      cluster().Settle();
    }
  }
  cluster().Run(Ms(60));
  EXPECT_EQ(core("a").role(), Role::kLeader);
  EXPECT_TRUE(core("a").commit_stalled());
}

// Nothing before that one is committed by counting.
TEST_F(CoreStuckTest, AVoterThatComesNearerToTheFirstEntryOfTheTermIsWaitedFor) {
  Options options = TestCluster::TellsAtOnce();
  options.append_bytes_max = 100;  // one entry
  options.in_flight_requests_max = 1;
  Start({{"a", "b", "c"}}, options);
  cluster().Elect("a");
  cluster().Run(Ms(60));
  cluster().CutOff("b");
  for (int i = 0; i < 30; ++i) {
    cluster().Propose("a", std::string(50, 'x'));
    cluster().Settle();
  }
  for (const char* name : {"a", "c"}) cluster().Crash(name);
  cluster().Heal();
  cluster().Restart("a");
  const Index first = core("a").last_index().Next();
  cluster().Expire("a");
  while (core("a").role() != Role::kLeader) cluster().Deliver(0);
  ASSERT_EQ(core("a").commit_index(), Index{0}) << "it knows of no more";
  EXPECT_EQ(core("a").awaited_index(), first);
  cluster().at("b").hold_writes = true;
  const Duration max = core("a").options().commit_wait_max;
  for (int i = 0; i < 20; ++i) {
    cluster().Run(max / 10);
    ASSERT_FALSE(cluster().at("b").writes.empty());
    cluster().FinishWrite(cluster().at("b"));
    EXPECT_FALSE(core("a").commit_stalled()) << "after " << i << " entries";
  }
  cluster().Run(max + Ms(60));
  EXPECT_TRUE(core("a").commit_stalled());
}

// It would have to see the first entry of the leader's term.
TEST_F(CoreStuckTest, WhereNoMajorityWritesTheFirstEntryReadsAreGivenUp) {
  StartThree();
  cluster().Expire("a");
  while (core("a").role() != Role::kLeader) cluster().Deliver(0);
  cluster().at("b").hold_writes = cluster().at("c").hold_writes = true;
  EXPECT_EQ(cluster().Read("a", 1, ReadMode::kReadIndex), ReadRequestStatus::kWaiting);
  cluster().Run(core("a").options().commit_wait_max + Ms(60));
  EXPECT_EQ(core("a").role(), Role::kLeader);
  ASSERT_EQ(cluster().at("a").reads.size(), 1u);
  EXPECT_EQ(cluster().at("a").reads[0].status, ReadStatus::kNotLeader);
}

}  // namespace
}  // namespace consul::raft
