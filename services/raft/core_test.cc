// The obligations of Raft's thesis and of this project, each as a test of its own name. The
// invariants look after every step; a test adds what it is about.
#include "services/raft/core.h"

#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "services/raft/test_cluster.h"
#include "services/raft/text.h"

namespace consul::raft {
namespace {

using Kind = MembershipChange::Kind;

class CoreTest : public testing::Test {
 protected:
  void Start(TestCluster::Members members, const Options& options = {}) {
    cluster_ = std::make_unique<TestCluster>(members, 1, options);
  }
  void StartThree() { Start({{"a", "b", "c"}}); }
  void TearDown() override {
    if (cluster_ == nullptr) return;
    EXPECT_EQ(cluster_->Broken(), "");
  }

  TestCluster& cluster() { return *cluster_; }
  Core& core(const std::string& name) { return cluster_->core(name); }
  // Gives `to` a message as if `from` had sent it.
  void Give(const std::string& from, const std::string& to, uint64_t term, Body body) {
    core(to).Receive(cluster_->now(), Message{Id(from), Id(to), Term{term}, std::move(body)});
    cluster_->Pump(cluster_->at(to));
  }
  // The texts of all messages on the wire from `from`.
  std::vector<std::string> Sent(const std::string& from) {
    std::vector<std::string> texts;
    for (const Message& message : cluster_->wire()) {
      if (message.from == Id(from)) texts.push_back(ToText(message));
    }
    return texts;
  }
  void Forget() { cluster_->wire().clear(); }
  // Makes everybody's memory of a leader old enough to vote, without electing anybody.
  void WaitOutVotes() {
    cluster_->Advance(Ms(0));
    for (int i = 0; i < 3; ++i) {
      cluster_->Advance(Ms(100));
      Forget();
    }
  }

  std::unique_ptr<TestCluster> cluster_;
};

// ---- Votes.

TEST_F(CoreTest, AVoterVotesOnceInATerm) {
  StartThree();
  WaitOutVotes();
  Give("a", "c", 5, VoteRequest{Index{1}, Term{1}});
  EXPECT_EQ(Sent("c").back(), "c>a t5 VoteReply granted");
  Give("b", "c", 5, VoteRequest{Index{1}, Term{1}});
  EXPECT_EQ(Sent("c").back(), "c>b t5 VoteReply refused");
  Give("a", "c", 5, VoteRequest{Index{1}, Term{1}});
  EXPECT_EQ(Sent("c").back(), "c>a t5 VoteReply granted") << "its reply may have been lost";
}

TEST_F(CoreTest, AVoteIsRememberedAcrossARestart) {
  StartThree();
  WaitOutVotes();
  Give("a", "c", 5, VoteRequest{Index{1}, Term{1}});
  cluster().Crash("c");
  cluster().Restart("c");
  WaitOutVotes();
  Give("b", "c", 5, VoteRequest{Index{1}, Term{1}});
  EXPECT_EQ(Sent("c").back(), "c>b t5 VoteReply refused");
}

TEST_F(CoreTest, AVoteLeavesOnlyWhenItIsDurable) {
  StartThree();
  WaitOutVotes();
  cluster().at("c").hold_writes = true;
  Give("a", "c", 5, VoteRequest{Index{1}, Term{1}});
  EXPECT_TRUE(Sent("c").empty());
  cluster().ReleaseWrites("c");
  EXPECT_EQ(Sent("c").back(), "c>a t5 VoteReply granted");
}

TEST_F(CoreTest, ATermLeavesOnlyWhenItIsDurable) {
  StartThree();
  cluster().Elect("a");
  cluster().at("c").hold_writes = true;
  Give("b", "c", 9, Heartbeat{Index{0}, Round{1}});
  EXPECT_TRUE(Sent("c").empty()) << "an ack in term 9 promises that term 9 is known";
  cluster().ReleaseWrites("c");
  EXPECT_EQ(Sent("c").back(), "c>b t9 HeartbeatReply round=1");
}

TEST_F(CoreTest, ACandidateAsksForVotesOnlyWhenItsOwnIsDurable) {
  StartThree();
  cluster().at("a").hold_writes = true;
  cluster().Expire("a");
  cluster().Settle();
  EXPECT_EQ(core("a").role(), Role::kCandidate);
  EXPECT_TRUE(Sent("a").empty());
  cluster().ReleaseWrites("a");
  EXPECT_EQ(Sent("a").size(), 2u);
}

TEST_F(CoreTest, ALogWithALaterLastTermWinsOverALongerOne) {
  StartThree();
  cluster().Elect("a");
  cluster().Propose("a", "x");
  cluster().Propose("a", "y");
  cluster().Settle();
  WaitOutVotes();
  Give("b", "c", 9, VoteRequest{Index{2}, Term{7}, false, /*transfer=*/true});
  EXPECT_EQ(Sent("c").back(), "c>b t9 VoteReply granted");
}

TEST_F(CoreTest, AShorterLogOfTheSameTermGetsNoVote) {
  StartThree();
  cluster().Elect("a");
  cluster().Propose("a", "x");
  cluster().Settle();
  Give("b", "c", 9, VoteRequest{Index{2}, Term{2}, false, /*transfer=*/true});
  EXPECT_EQ(Sent("c").back(), "c>b t9 VoteReply refused");
  Give("b", "c", 10, VoteRequest{Index{9}, Term{1}, false, /*transfer=*/true});
  EXPECT_EQ(Sent("c").back(), "c>b t10 VoteReply refused") << "longer, but of an earlier term";
}

TEST_F(CoreTest, NoVoteWithinTheMinimumElectionTimeoutOfALeadersWord) {
  StartThree();
  cluster().Elect("a");
  Forget();
  Give("b", "c", 9, VoteRequest{Index{9}, Term{8}});
  EXPECT_TRUE(Sent("c").empty());
  EXPECT_EQ(core("c").term(), Term{2}) << "it does not even adopt the term";
  Give("b", "a", 9, VoteRequest{Index{9}, Term{8}});
  EXPECT_EQ(core("a").role(), Role::kLeader) << "a leader hears itself";
}

TEST_F(CoreTest, NoVoteWithinTheMinimumElectionTimeoutOfARestart) {
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

TEST_F(CoreTest, TimeoutNowIsExemptFromTheWait) {
  StartThree();
  cluster().Elect("a");
  Give("b", "c", 9, VoteRequest{Index{9}, Term{8}, false, /*transfer=*/true});
  EXPECT_EQ(Sent("c").back(), "c>b t9 VoteReply granted");
}

TEST_F(CoreTest, ABrokenStreamEndsTheWaitForAPreVoteOnly) {
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

TEST_F(CoreTest, TheBrokenStreamOfAnotherThanTheLeaderMeansNothing) {
  StartThree();
  cluster().Elect("a");
  core("c").StreamBroken(cluster().now(), Id("b"));
  cluster().Pump(cluster().at("c"));
  EXPECT_EQ(core("c").role(), Role::kFollower);
}

TEST_F(CoreTest, AKilledLeaderIsReplacedWithinHalfASecond) {
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

TEST_F(CoreTest, ALeaderCutOffIsReplacedWithinTwoSecondsAndAHalf) {
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

TEST_F(CoreTest, TheMultiplierScalesTheElectionTimeout) {
  Options options;
  options.raft_multiplier = 5;
  Start({{"a", "b", "c"}}, options);
  for (const char* name : {"a", "b", "c"}) {
    EXPECT_GE(core(name).NextDeadline(), cluster().now() + Ms(1500));
    EXPECT_LT(core(name).NextDeadline(), cluster().now() + Ms(3000));
  }
}

TEST_F(CoreTest, ARejoiningServerDisturbsNobody) {
  StartThree();
  cluster().Elect("a");
  cluster().CutOff("c");
  cluster().Run(Ms(5000));
  cluster().Heal();
  cluster().Run(Ms(2000));
  EXPECT_EQ(cluster().leader(), "a");
  EXPECT_EQ(core("a").term(), Term{2});
}

TEST_F(CoreTest, AServerThatKnowsNoConfigurationNeverCampaigns) {
  Start({{"a"}, {}, {"x"}});
  EXPECT_EQ(core("x").NextDeadline(), Time::max());
  cluster().Advance(Ms(10'000));
  EXPECT_EQ(core("x").role(), Role::kFollower);
}

TEST_F(CoreTest, BootstrapIsRefusedWhereThereIsState) {
  Start({{"a"}});
  EXPECT_FALSE(core("a").Bootstrap(cluster().now(), Configuration({{Id("z")}})));
  EXPECT_EQ(ToText(core("a").configuration().configuration), "a");
}

// ---- The log.

// Figure 8 of the paper: an entry of an earlier term on a majority of disks is not committed by
// that; a later leader without it may still replace it.
TEST_F(CoreTest, Figure8AnEarlierTermsEntryIsNotCommittedByCounting) {
  Start({{"a", "b", "c", "d", "e"}});
  cluster().Elect("a");
  for (const char* name : {"c", "d", "e"}) cluster().Cut("a", name);
  cluster().Propose("a", "old");  // on a and b
  cluster().Settle();
  cluster().Crash("a");
  cluster().Heal();
  cluster().Crash("b");
  cluster().Restart("a");
  cluster().Cut("a", "e");
  cluster().Advance(Ms(700));
  Forget();
  cluster().Expire("a");
  // a leads again; c and d get "old", but not the new term's no-op.
  while (!cluster().wire().empty()) {
    const Message& next = cluster().wire().front();
    const auto* append = std::get_if<AppendRequest>(&next.body);
    if (append != nullptr && !append->entries.empty() &&
        append->entries.back().term == core("a").term()) {
      Message cut = next;
      cluster().Lose(0);
      auto& request = std::get<AppendRequest>(cut.body);
      if (request.prev_index < Index{3}) {
        while (request.entries.back().index > Index{3}) request.entries.pop_back();
        const std::string to = cut.to.value;
        if (to != "e" && to != "b") Give("a", to, cut.term.value, request);
      } else if (cut.to != Id("b") && cut.to != Id("e")) {
        request.entries.clear();
        Give("a", cut.to.value, cut.term.value, request);
      }
      continue;
    }
    cluster().Deliver(0);
  }
  EXPECT_EQ(core("a").role(), Role::kLeader);
  EXPECT_EQ(core("c").last_index(), Index{3});
  EXPECT_EQ(core("d").last_index(), Index{3});
  EXPECT_LT(core("a").commit_index(), Index{3}) << "\"old\" is on a, c and d, and not committed";
}

TEST_F(CoreTest, ALateReportOfAReplacedWriteIsNotDurability) {
  Start({{"a", "b", "c"}});
  cluster().Elect("a");
  TestCluster::Server& c = cluster().at("c");
  c.hold_writes = true;
  const std::vector<Entry> first = {{Term{2}, Index{3}, EntryKind::kCommand, MakeBuffer("x")}};
  Give("a", "c", 2, AppendRequest{Index{2}, Term{2}, Index{2}, Round{1}, first});
  const std::vector<Entry> second = {{Term{5}, Index{3}, EntryKind::kCommand, MakeBuffer("y")}};
  Give("b", "c", 5, AppendRequest{Index{2}, Term{2}, Index{2}, Round{1}, second});
  cluster().FinishWrite(c);  // of x
  EXPECT_EQ(core("c").durable_index(), Index{2});
  cluster().ReleaseWrites("c");
  EXPECT_EQ(core("c").durable_index(), Index{3});
}

TEST_F(CoreTest, CommittedEntriesAreNeverCut) {
  StartThree();
  cluster().Elect("a");
  cluster().Propose("a", "x");
  cluster().Settle();
  // An old request of the same leader, from before x.
  Give("a", "c", 2, AppendRequest{Index{1}, Term{1}, Index{0}, Round{1},
                                  {{Term{2}, Index{2}, EntryKind::kNoOp, nullptr}}});
  EXPECT_EQ(core("c").last_index(), Index{3});
  EXPECT_EQ(Sent("c").back(), "c>a t2 AppendReply match=3");
}

TEST_F(CoreTest, ABrokenPeersEntriesAreDropped) {
  StartThree();
  cluster().Elect("a");
  const Entry gap{Term{2}, Index{9}, EntryKind::kCommand, nullptr};
  const Entry future{Term{7}, Index{3}, EntryKind::kCommand, nullptr};
  const Entry garbage{Term{2}, Index{3}, EntryKind::kConfiguration, MakeBuffer("garbage")};
  for (const Entry& entry : {gap, future, garbage}) {
    Give("a", "c", 2, AppendRequest{Index{2}, Term{2}, Index{2}, Round{1}, {entry}});
    EXPECT_EQ(core("c").last_index(), Index{2});
  }
}

TEST_F(CoreTest, ConflictsAreSkippedATermAtATime) {
  // c has twenty entries of term 2 that nobody else has; one refusal finds the end of term 1.
  StartThree();
  std::vector<Entry> foreign;
  for (uint64_t i = 2; i <= 21; ++i) {
    foreign.push_back({Term{2}, Index{i}, EntryKind::kCommand, nullptr});
  }
  Give("b", "c", 2, AppendRequest{Index{1}, Term{1}, Index{0}, Round{1}, foreign});
  Forget();
  Give("a", "c", 9, AppendRequest{Index{50}, Term{1}, Index{0}, Round{1}, {}});
  EXPECT_EQ(Sent("c").back(), "c>a t9 AppendReply refused=50 hint=1/1");
}

TEST_F(CoreTest, MemoryHoldsATailOfBytes) {
  Options options;
  options.tail_bytes_max = 10'000;
  Start({{"a"}}, options);
  cluster().Advance(Ms(0));
  for (int i = 0; i < 100; ++i) cluster().Propose("a", std::string(1000, 'x'));
  EXPECT_LE(core("a").log().memory_bytes(), 10'000u);
  EXPECT_EQ(core("a").last_index(), Index{102});
  EXPECT_EQ(core("a").log().TermAt(Index{50}), Term{2}) << "terms stay known";
}

TEST_F(CoreTest, EntriesThatAreNotDurableStayInMemory) {
  Options options;
  options.tail_bytes_max = 100;
  Start({{"a"}}, options);
  cluster().Advance(Ms(0));
  cluster().at("a").hold_writes = true;
  for (int i = 0; i < 10; ++i) cluster().Propose("a", std::string(100, 'x'));
  EXPECT_EQ(core("a").log().memory_first(), Index{3});
  cluster().ReleaseWrites("a");
  EXPECT_EQ(cluster().at("a").machine.size(), 10u);
}

TEST_F(CoreTest, ProposalsBeyondTheUncommittedLimitAreRefused) {
  Options options;
  options.uncommitted_bytes_max = 200;
  Start({{"a"}}, options);
  cluster().Advance(Ms(0));
  cluster().at("a").hold_writes = true;
  EXPECT_EQ(cluster().Propose("a", std::string(100, 'x')).status, ProposeStatus::kAccepted);
  EXPECT_EQ(cluster().Propose("a", std::string(100, 'x')).status, ProposeStatus::kBusy);
  cluster().ReleaseWrites("a");
  EXPECT_EQ(cluster().Propose("a", std::string(100, 'x')).status, ProposeStatus::kAccepted);
}

TEST_F(CoreTest, ApplyingWaitsForTheStateMachine) {
  Options options;
  options.applying_bytes_max = 300;
  Start({{"a"}}, options);
  cluster().Advance(Ms(0));
  TestCluster::Server& a = cluster().at("a");
  a.hold_apply = true;
  for (int i = 0; i < 10; ++i) cluster().Propose("a", std::string(100, 'x'));
  EXPECT_LE(a.to_apply.size(), 3u);
  a.hold_apply = false;
  cluster().ApplyAll(a);
  cluster().Pump(a);
  EXPECT_EQ(a.machine.size(), 10u);
}

TEST_F(CoreTest, ABatchIsOneWriteAndItsBytesAreShared) {
  Start({{"a"}});
  cluster().Advance(Ms(0));
  std::vector<Proposal> batch;
  for (int i = 0; i < 64; ++i) batch.push_back({EntryKind::kCommand, MakeBuffer("x")});
  const std::string* const bytes = batch[5].payload.get();
  Core& a = core("a");
  const ProposeResult result = a.Propose(cluster().now(), std::move(batch));
  Output output = a.TakeOutput();
  ASSERT_EQ(output.persist.entries.size(), 64u);
  EXPECT_EQ(output.persist.entries.front().index, result.first);
  EXPECT_EQ(output.persist.entries[5].payload.get(), bytes);
  EXPECT_TRUE(output.committed.empty());
  a.Persisted(cluster().now(), output.persist.id);
  output = a.TakeOutput();
  ASSERT_EQ(output.committed.size(), 64u);
  EXPECT_EQ(output.committed[5].payload.get(), bytes);
  EXPECT_TRUE(output.persist.empty());
}

TEST_F(CoreTest, SeveralWritesAreReportedByTheLastId) {
  Start({{"a"}});
  cluster().Advance(Ms(0));
  Core& a = core("a");
  PersistId last;
  for (int i = 0; i < 3; ++i) {
    a.Propose(cluster().now(), {{EntryKind::kCommand, MakeBuffer("x")}});
    last = a.TakeOutput().persist.id;
  }
  a.Persisted(cluster().now(), last);
  EXPECT_EQ(a.TakeOutput().committed.size(), 3u);
}

// ---- Reads.

TEST_F(CoreTest, AReadCountsOnlyAcksOfMessagesSentAfterItArrived) {
  StartThree();
  cluster().Elect("a");
  cluster().Advance(Ms(30));  // heartbeats of round 2 leave
  std::deque<Message> before = std::exchange(cluster().wire(), {});
  cluster().Read("a", 1, ReadMode::kReadIndex);
  std::deque<Message> after = std::exchange(cluster().wire(), {});
  cluster().wire() = before;
  cluster().Settle();
  EXPECT_TRUE(cluster().at("a").reads.empty());
  cluster().wire() = after;
  cluster().Settle();
  EXPECT_EQ(cluster().at("a").reads.size(), 1u);
}

TEST_F(CoreTest, ANewLeaderHasNoLeaseFromBeingElected) {
  StartThree();
  cluster().Expire("a");
  while (core("a").role() != Role::kLeader) cluster().Deliver(0);
  EXPECT_EQ(core("a").LeaseUntil(), Time::min());
}

TEST_F(CoreTest, TheLeaseIsTheMinimumElectionTimeoutLessTenPercent) {
  StartThree();
  cluster().Elect("a");
  cluster().Advance(Ms(30));
  const Time sent = cluster().now();
  std::deque<Message> slow = std::exchange(cluster().wire(), {});
  cluster().Advance(Ms(25));  // the acks take their time
  cluster().wire() = slow;
  cluster().Settle();
  EXPECT_EQ(core("a").LeaseUntil(), sent + Ms(270)) << "from when the acked message was sent";
}

TEST_F(CoreTest, ALeaseEndsBeforeTimeoutNowLeaves) {
  StartThree();
  cluster().Elect("a");
  cluster().Run(Ms(60));
  ASSERT_GT(core("a").LeaseUntil(), cluster().now());
  EXPECT_EQ(core("a").TransferLeadership(cluster().now(), Id("b")), TransferStatus::kStarted);
  EXPECT_EQ(core("a").LeaseUntil(), Time::min());
  EXPECT_EQ(core("a").TakeOutput().messages.size(), 1u);
}

TEST_F(CoreTest, ReadsBeyondTheLimitAreRefused) {
  Options options;
  options.reads_waiting_max = 2;
  Start({{"a", "b", "c"}}, options);
  cluster().Elect("a");
  EXPECT_EQ(cluster().Read("a", 1, ReadMode::kReadIndex), ReadRequestStatus::kWaiting);
  EXPECT_EQ(cluster().Read("a", 2, ReadMode::kReadIndex), ReadRequestStatus::kWaiting);
  EXPECT_EQ(cluster().Read("a", 3, ReadMode::kReadIndex), ReadRequestStatus::kBusy);
}

TEST_F(CoreTest, ManyReadsNeedFewRounds) {
  StartThree();
  cluster().Elect("a");
  for (uint64_t i = 1; i <= 1000; ++i) cluster().Read("a", i, ReadMode::kReadIndex);
  EXPECT_LE(cluster().wire().size(), 64u);
  cluster().Settle();
  EXPECT_EQ(cluster().at("a").reads.size(), 1000u);
}

// ---- Sole voter.

TEST_F(CoreTest, ASoleVoterCanReadAloneOnceItsTermIsApplied) {
  Start({{"a"}});
  EXPECT_FALSE(core("a").CanReadAlone());
  cluster().Advance(Ms(0));
  EXPECT_TRUE(core("a").CanReadAlone());
  EXPECT_EQ(core("a").NextDeadline(), Time::max()) << "at rest nothing is due";
}

TEST_F(CoreTest, ASoleVoterCampaignsAtOnceAfterARestart) {
  Start({{"a"}});
  cluster().Advance(Ms(0));
  cluster().Propose("a", "x");
  cluster().Crash("a");
  cluster().Restart("a");
  EXPECT_EQ(core("a").NextDeadline(), cluster().now());
  cluster().Advance(Ms(0));
  EXPECT_EQ(cluster().leader(), "a");
  EXPECT_EQ(cluster().at("a").machine.size(), 1u);
}

// a removes itself and leaves b alone; b has the entry, and a still leads under a lease that b's
// acks gave. b must not campaign before that lease is over, restart or not.
TEST_F(CoreTest, AServerLeftAsTheSoleVoterWaitsForTheOldLeadersLease) {
  Start({{"a", "b"}});
  cluster().Elect("a");
  cluster().Run(Ms(60));
  cluster().Change("a", Kind::kRemove, "a");
  while (!cluster().wire().empty()) {
    cluster().wire().front().from == Id("b") ? cluster().Lose(0) : cluster().Deliver(0);
  }
  ASSERT_TRUE(core("b").configuration().configuration.IsSoleVoter(Id("b")));
  ASSERT_GT(core("a").LeaseUntil(), cluster().now());
  EXPECT_GE(core("b").NextDeadline(), core("a").LeaseUntil());
  cluster().Crash("b");
  cluster().Restart("b");
  EXPECT_GE(core("b").NextDeadline(), core("a").LeaseUntil());
}

// ---- Membership.

// The only server that can commit a change is one that it removes (thesis 4.2.2).
TEST_F(CoreTest, AServerThatAnUncommittedChangeRemovesCanStillBeElected) {
  StartThree();
  cluster().Elect("a");
  cluster().Change("a", Kind::kRemove, "c");
  cluster().Settle();
  cluster().Cut("a", "b");
  cluster().Change("a", Kind::kRemove, "a");  // on a alone: b cannot win against its log
  cluster().Settle();
  cluster().Crash("a");
  cluster().Heal();
  cluster().Restart("a");
  cluster().Run(Ms(3000));
  EXPECT_EQ(cluster().leader(), "b");
  EXPECT_EQ(ToText(core("b").configuration().configuration), "b");
}

TEST_F(CoreTest, ASecondChangeIsRefusedWhileOneIsUncommitted) {
  Start({{"a", "b", "c"}, {}, {"d"}});
  cluster().Elect("a");
  EXPECT_EQ(cluster().Change("a", Kind::kAddLearner, "d").status, MembershipStatus::kAccepted);
  EXPECT_EQ(cluster().Change("a", Kind::kRemove, "c").status, MembershipStatus::kChangePending);
}

TEST_F(CoreTest, AnIdThatTheFormatCannotHoldIsRefused) {
  Start({{"a"}});
  cluster().Advance(Ms(0));
  EXPECT_EQ(cluster().Change("a", Kind::kAddLearner, "").status, MembershipStatus::kBadId);
  EXPECT_EQ(cluster().Change("a", Kind::kAddLearner, std::string(256, 'x')).status,
            MembershipStatus::kBadId);
}

TEST_F(CoreTest, MoreMembersThanTheFormatHoldsAreRefused) {
  Start({{"a"}});
  cluster().Advance(Ms(0));
  std::vector<Member> members{{Id("a"), MemberKind::kVoter}};
  MembershipResult result;
  for (size_t i = 1; i <= Configuration::kMembersMax; ++i) {
    result = core("a").ChangeMembership(
        cluster().now(), {Kind::kAddLearner, Id("l" + std::to_string(i))});
    Output output = core("a").TakeOutput();
    if (!output.persist.empty()) core("a").Persisted(cluster().now(), output.persist.id);
  }
  EXPECT_EQ(result.status, MembershipStatus::kTooMany);
}

// ---- Snapshots.

TEST_F(CoreTest, AStopBetweenSnapshotAndLogResetIsRepaired) {
  // The disk has a snapshot of entry 9, and a log that ends at 4.
  DurableState disk;
  disk.hard_state = {Term{3}, ServerId{}};
  disk.snapshot.index = Index{9};
  disk.snapshot.term = Term{3};
  disk.snapshot.configuration = {Index{1}, Configuration({{Id("a")}, {Id("b")}})};
  disk.snapshot.id = "s";
  for (uint64_t i = 1; i <= 4; ++i) {
    disk.entries.push_back({Term{1}, Index{i}, EntryKind::kCommand, nullptr});
  }
  Options options;
  options.self = Id("a");
  Core core(options, disk.ToRestart(100), Time{});
  const Output output = core.TakeOutput();
  EXPECT_EQ(output.persist.reset_to, Index{9});
  EXPECT_EQ(core.last_index(), Index{9});
  EXPECT_EQ(core.last_term(), Term{3});
  EXPECT_EQ(ToText(core.configuration().configuration), "a b");
}

TEST_F(CoreTest, ALogThatReachesBehindTheSnapshotIsKept) {
  Start({{"a"}});
  cluster().Advance(Ms(0));
  for (int i = 0; i < 10; ++i) cluster().Propose("a", "x");
  cluster().TakeSnapshot("a", /*keep=*/3);
  cluster().Crash("a");
  cluster().Restart("a");
  EXPECT_EQ(core("a").last_index(), Index{12});
  EXPECT_EQ(core("a").applied_index(), Index{12});
  EXPECT_EQ(core("a").log().TermAt(Index{11}), Term{2});
}

TEST_F(CoreTest, ARefusedSnapshotIsSentAnew) {
  Start({{"a", "b", "c"}});
  cluster().Elect("a");
  SnapshotMeta meta{Index{50}, Term{2}, {Index{1}, core("a").configuration().configuration}, "s",
                    10};
  Core& c = core("c");
  c.Receive(cluster().now(), {Id("a"), Id("c"), Term{2}, SnapshotChunk{meta, 0, MakeBuffer("01234"),
                                                                      false}});
  EXPECT_EQ(c.TakeOutput().snapshot_stores.size(), 1u);
  c.SnapshotChunkStored(cluster().now(), "s", 5);
  EXPECT_EQ(ToText(c.TakeOutput().messages.front()), "c>a t2 SnapshotReply next=5");
  c.SnapshotRefused(cluster().now(), "s");
  EXPECT_EQ(ToText(c.TakeOutput().messages.front()), "c>a t2 SnapshotReply next=0");
}

// ---- Determinism.

TEST_F(CoreTest, TheSameInputsGiveTheSameOutputs) {
  std::string traces[2];
  for (std::string& trace : traces) {
    TestCluster cluster({{"a", "b", "c"}}, 42);
    cluster.Run(Ms(2000));
    if (!cluster.leader().empty()) cluster.Propose(cluster.leader(), "x");
    cluster.Settle();
    trace = cluster.TakeTrace();
  }
  EXPECT_FALSE(traces[0].empty());
  EXPECT_EQ(traces[0], traces[1]);
}

}  // namespace
}  // namespace consul::raft
