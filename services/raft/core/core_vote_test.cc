// The thesis's and this project's obligations about votes and elections, each as a test of its own
// name.
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "services/raft/core/core_fixture.h"

namespace consul::raft {
namespace {

using CoreVoteTest = CoreTest;

TEST_F(CoreVoteTest, AVoterVotesOnceInATerm) {
  StartThree();
  WaitOutVotes();
  Give("a", "c", 5, VoteRequest{Index{1}, Term{1}});
  EXPECT_EQ(Sent("c").back(), "c>a t5 VoteReply granted");
  Give("b", "c", 5, VoteRequest{Index{1}, Term{1}});
  EXPECT_EQ(Sent("c").back(), "c>b t5 VoteReply refused");
  Give("a", "c", 5, VoteRequest{Index{1}, Term{1}});
  EXPECT_EQ(Sent("c").back(), "c>a t5 VoteReply granted") << "its reply may have been lost";
}

TEST_F(CoreVoteTest, AVoteIsRememberedAcrossARestart) {
  StartThree();
  WaitOutVotes();
  Give("a", "c", 5, VoteRequest{Index{1}, Term{1}});
  cluster().Crash("c");
  cluster().Restart("c");
  WaitOutVotes();
  Give("b", "c", 5, VoteRequest{Index{1}, Term{1}});
  EXPECT_EQ(Sent("c").back(), "c>b t5 VoteReply refused");
}

TEST_F(CoreVoteTest, AVoteLeavesOnlyWhenItIsDurable) {
  StartThree();
  WaitOutVotes();
  cluster().at("c").hold_writes = true;
  Give("a", "c", 5, VoteRequest{Index{1}, Term{1}});
  EXPECT_TRUE(Sent("c").empty());
  cluster().ReleaseWrites("c");
  EXPECT_EQ(Sent("c").back(), "c>a t5 VoteReply granted");
}

TEST_F(CoreVoteTest, ATermLeavesOnlyWhenItIsDurable) {
  StartThree();
  cluster().Elect("a");
  cluster().at("c").hold_writes = true;
  Give("b", "c", 9, Heartbeat{Index{0}, Round{1}});
  EXPECT_TRUE(Sent("c").empty()) << "an ack in term 9 promises that term 9 is known";
  cluster().ReleaseWrites("c");
  EXPECT_EQ(Sent("c").back(), "c>b t9 HeartbeatReply round=1 unmatched");
}

TEST_F(CoreVoteTest, ACandidateAsksForVotesOnlyWhenItsOwnIsDurable) {
  StartThree();
  cluster().at("a").hold_writes = true;
  cluster().Expire("a");
  cluster().Settle();
  EXPECT_EQ(core("a").role(), Role::kCandidate);
  EXPECT_TRUE(Sent("a").empty());
  cluster().ReleaseWrites("a");
  EXPECT_EQ(Sent("a").size(), 2u);
}

TEST_F(CoreVoteTest, ALogWithALaterLastTermWinsOverALongerOne) {
  StartThree();
  cluster().Elect("a");
  cluster().Propose("a", "x");
  cluster().Propose("a", "y");
  cluster().Settle();
  WaitOutVotes();
  Give("b", "c", 9, VoteRequest{Index{2}, Term{7}, false, /*transfer=*/true});
  EXPECT_EQ(Sent("c").back(), "c>b t9 VoteReply granted");
}

TEST_F(CoreVoteTest, AShorterLogOfTheSameTermGetsNoVote) {
  StartThree();
  cluster().Elect("a");
  cluster().Propose("a", "x");
  cluster().Settle();
  Give("b", "c", 9, VoteRequest{Index{2}, Term{2}, false, /*transfer=*/true});
  EXPECT_EQ(Sent("c").back(), "c>b t9 VoteReply refused");
  Give("b", "c", 10, VoteRequest{Index{9}, Term{1}, false, /*transfer=*/true});
  EXPECT_EQ(Sent("c").back(), "c>b t10 VoteReply refused") << "longer, but of an earlier term";
}

TEST_F(CoreVoteTest, NoVoteWithinTheMinimumElectionTimeoutOfALeadersWord) {
  StartThree();
  cluster().Elect("a");
  Forget();
  Give("b", "c", 9, VoteRequest{Index{9}, Term{8}});
  EXPECT_TRUE(Sent("c").empty());
  EXPECT_EQ(core("c").term(), Term{2}) << "it does not even adopt the term";
  Give("b", "a", 9, VoteRequest{Index{9}, Term{8}});
  EXPECT_EQ(core("a").role(), Role::kLeader) << "a leader hears itself";
}

TEST_F(CoreVoteTest, NoVoteWithinTheMinimumElectionTimeoutOfARestart) {
  StartThree();
  cluster().Elect("a");
  cluster().Crash("c");
  cluster().Advance(Ms(250));
  cluster().Restart("c");
  cluster().Advance(Ms(299));
  Forget();
  Give("b", "c", 9, VoteRequest{Index{9}, Term{8}});
  EXPECT_TRUE(Sent("c").empty());
  cluster().Advance(Ms(1));
  Forget();
  Give("b", "c", 9, VoteRequest{Index{9}, Term{8}});
  EXPECT_EQ(Sent("c").back(), "c>b t9 VoteReply granted");
}

TEST_F(CoreVoteTest, TimeoutNowIsExemptFromTheWait) {
  StartThree();
  cluster().Elect("a");
  Give("b", "c", 9, VoteRequest{Index{9}, Term{8}, false, /*transfer=*/true});
  EXPECT_EQ(Sent("c").back(), "c>b t9 VoteReply granted");
}

TEST_F(CoreVoteTest, ABrokenStreamEndsTheWaitForAPreVoteOnly) {
  StartThree();
  cluster().Elect("a");
  core("c").StreamBroken(cluster().now(), Id("a"));
  cluster().Pump(cluster().at("c"));
  Forget();
  Give("b", "c", 3, VoteRequest{Index{2}, Term{2}, /*pre_vote=*/true});
  EXPECT_EQ(Sent("c").back(), "c>b t3 PreVoteReply granted wait=300ms");
  Forget();
  Give("b", "c", 3, VoteRequest{Index{2}, Term{2}});
  EXPECT_TRUE(Sent("c").empty()) << "the leader may live, and hold a lease that c granted";
}

TEST_F(CoreVoteTest, TheBrokenStreamOfAnotherThanTheLeaderMeansNothing) {
  StartThree();
  cluster().Elect("a");
  core("c").StreamBroken(cluster().now(), Id("b"));
  cluster().Pump(cluster().at("c"));
  EXPECT_EQ(core("c").role(), Role::kFollower);
}

TEST_F(CoreVoteTest, AKilledLeaderIsReplacedWithinHalfASecond) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    TestCluster cluster({{"a", "b", "c"}}, seed);
    cluster.Elect("a");
    cluster.Run(Ms(100), Ms(1));
    cluster.Crash("a");
    for (const char* name : {"b", "c"}) {
      cluster.core(name).StreamBroken(cluster.now(), Id("a"));
      cluster.Pump(cluster.at(name));
    }
    const Time killed = cluster.now();
    while (cluster.leader().empty() && cluster.now() < killed + Ms(3000)) cluster.Run(Ms(1), Ms(1));
    EXPECT_LE((cluster.now() - killed) / Ms(1), 450) << "seed " << seed;
    EXPECT_EQ(cluster.Broken(), "");
  }
}

TEST_F(CoreVoteTest, ALeaderCutOffIsReplacedWithinTwoSecondsAndAHalf) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    TestCluster cluster({{"a", "b", "c", "d", "e"}}, seed);
    cluster.Elect("a");
    cluster.CutOff("a");
    const Time cut = cluster.now();
    while (cluster.leader() == "a" && cluster.now() < cut + Ms(5000)) cluster.Run(Ms(1), Ms(1));
    EXPECT_LE((cluster.now() - cut) / Ms(1), 1500) << "seed " << seed;
    EXPECT_EQ(cluster.Broken(), "");
  }
}

TEST_F(CoreVoteTest, TheMultiplierScalesTheElectionTimeout) {
  Options options = TestCluster::TellsAtOnce();
  options.raft_multiplier = 5;
  Start({{"a", "b", "c"}}, options);
  for (const char* name : {"a", "b", "c"}) {
    EXPECT_GE(core(name).NextDeadline(), cluster().now() + Ms(1500));
    EXPECT_LT(core(name).NextDeadline(), cluster().now() + Ms(3000));
  }
}

TEST_F(CoreVoteTest, ARejoiningServerDisturbsNobody) {
  StartThree();
  cluster().Elect("a");
  cluster().CutOff("c");
  cluster().Run(Ms(5000));
  cluster().Heal();
  cluster().Run(Ms(2000));
  EXPECT_EQ(cluster().leader(), "a");
  EXPECT_EQ(core("a").term(), Term{2});
}

TEST_F(CoreVoteTest, AServerThatKnowsNoConfigurationNeverCampaigns) {
  Start({{"a"}, {}, {"x"}});
  EXPECT_EQ(core("x").NextDeadline(), Time::max());
  cluster().Advance(Ms(10'000));
  EXPECT_EQ(core("x").role(), Role::kFollower);
}

TEST_F(CoreVoteTest, BootstrapIsRefusedWhereThereIsState) {
  Start({{"a"}});
  EXPECT_FALSE(core("a").Bootstrap(cluster().now(), Configuration({{Id("z")}})));
  EXPECT_EQ(ToText(core("a").configuration().configuration), "a");
}

// Goal: who slept while its votes came leads a term that is over, and lacks what was committed in a
// later one, though that is older than its term: nothing is wrong. Method: a has an entry of term 3
// that nobody has, b one of term 2; both could be elected, and b comes second.
TEST_F(CoreVoteTest, ALeaderOfATermThatIsOverLacksWhatWasCommittedSince) {
  StartThree();
  cluster().Elect("b");
  cluster().Run(Ms(60));
  cluster().CutOff("b");
  cluster().Propose("b", "x");
  const Index x = core("b").last_index();
  WaitOutVotes();
  cluster().Expire("a");
  while (core("a").role() != Role::kLeader) cluster().Deliver(0);
  cluster().CutOff("a");
  cluster().Settle();
  EXPECT_EQ(core("a").last_term(), core("a").term());
  EXPECT_GT(core("a").last_term(), core("b").last_term());
  for (int i = 0; i < 20; ++i) cluster().Run(Ms(50));  // it gives up the lead
  cluster().Heal();
  WaitOutVotes();
  cluster().Expire("a");
  while (core("a").role() != Role::kCandidate) cluster().Deliver(0);
  const uint64_t term = core("a").term().value;
  while (core("c").term().value < term) cluster().Deliver(0);
  EXPECT_EQ(core("c").hard_state().voted_for, Id("a"));
  cluster().CutOff("a");
  cluster().Expire("b");  // and a sleeps
  cluster().Settle();
  ASSERT_EQ(core("b").role(), Role::kLeader);
  ASSERT_GT(core("b").term().value, term);
  EXPECT_GT(core("b").commit_index(), x);
  ASSERT_EQ(core("a").role(), Role::kCandidate);
  Give("c", "a", term, VoteReply{.pre_vote = false, .granted = true});
  EXPECT_EQ(core("a").role(), Role::kLeader);
}

}  // namespace
}  // namespace consul::raft
