// The thesis's and this project's obligations about the log, reads, membership and snapshots, each
// as a test of its own name. Those about votes are in core_vote_test.cc, those about servers that
// answer and write nothing in core_stuck_test.cc.
#include "services/raft/core/core.h"

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "services/raft/core/core_fixture.h"

namespace consul::raft {
namespace {

using Kind = MembershipChange::Kind;

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
  Options options = TestCluster::TellsAtOnce();
  options.tail_bytes_max = 10'000;
  Start({{"a"}}, options);
  cluster().Advance(Ms(0));
  for (int i = 0; i < 100; ++i) cluster().Propose("a", std::string(1000, 'x'));
  EXPECT_LE(core("a").log().memory_bytes(), 10'000u);
  EXPECT_EQ(core("a").last_index(), Index{102});
  EXPECT_EQ(core("a").log().TermAt(Index{50}), Term{2}) << "terms stay known";
}

TEST_F(CoreTest, EntriesThatAreNotDurableStayInMemory) {
  Options options = TestCluster::TellsAtOnce();
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
  Options options = TestCluster::TellsAtOnce();
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
  Options options = TestCluster::TellsAtOnce();
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
  ASSERT_EQ(cluster().wire().size(), 2u);
  cluster().Read("a", 1, ReadMode::kReadIndex);
  for (int i = 0; i < 4; ++i) cluster().Deliver(0);  // they and their acks
  EXPECT_TRUE(cluster().at("a").reads.empty());
  ASSERT_EQ(cluster().wire().size(), 1u);
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

TEST_F(CoreTest, ALeaderThatLostItsMajorityWasInContactUntilItLastHeardOne) {
  StartThree();
  EXPECT_FALSE(core("a").had_contact());
  cluster().Elect("a");
  for (int i = 0; i < 40; ++i) {
    cluster().Advance(Ms(30));
    cluster().Settle();
  }
  const Time heard = cluster().now();
  EXPECT_TRUE(core("b").had_contact());
  EXPECT_EQ(core("b").contact_at(), heard);
  cluster().CutOff("a");
  while (core("a").role() == Role::kLeader) {
    cluster().Advance(Ms(30));
    Forget();
  }
  EXPECT_TRUE(core("a").had_contact());
  EXPECT_LE(core("a").contact_at(), heard);
  EXPECT_GE(core("a").contact_at(), heard - Ms(30)) << "the round that was acknowledged";
}

TEST_F(CoreTest, ALeaseEndsBeforeTimeoutNowLeaves) {
  StartThree();
  cluster().Elect("a");
  cluster().Run(Ms(60));
  ASSERT_GT(core("a").LeaseUntil(), cluster().now());
  EXPECT_EQ(core("a").TransferLeadership(cluster().now(), Id("b")), TransferStatus::kStarted);
  // The driver publishes this before it sends what it has taken.
  EXPECT_EQ(core("a").TakeOutput().messages.size(), 1u);
  EXPECT_EQ(core("a").LeaseUntil(), Time::min());
}

TEST_F(CoreTest, ReadsBeyondTheLimitAreRefused) {
  Options options = TestCluster::TellsAtOnce();
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

TEST_F(CoreTest, AChangeThatIsTruncatedFallsBack) {
  Start({{"a", "b", "c"}, {}, {"d"}});
  cluster().Elect("a");
  const Configuration four = core("c").configuration().configuration.With(Id("d"),
                                                                          MemberKind::kVoter);
  Give("a", "c", 2, AppendRequest{Index{2}, Term{2}, Index{2}, Round{1},
                                  {{Term{2}, Index{3}, EntryKind::kConfiguration,
                                    MakeBuffer(four.Encode())}}});
  EXPECT_EQ(ToText(core("c").configuration().configuration), "a b c d");
  Give("b", "c", 5, AppendRequest{Index{2}, Term{2}, Index{2}, Round{1},
                                  {{Term{5}, Index{3}, EntryKind::kNoOp, nullptr}}});
  EXPECT_EQ(ToText(core("c").configuration().configuration), "a b c");
  EXPECT_EQ(core("c").configuration().index, Index{1});
}

TEST_F(CoreTest, NoChangeBeforeAnEntryOfTheTermIsCommitted) {
  Start({{"a", "b", "c"}, {}, {"d"}});
  cluster().Expire("a");
  while (core("a").role() != Role::kLeader) cluster().Deliver(0);
  EXPECT_EQ(cluster().Change("a", Kind::kAddLearner, "d").status,
            MembershipStatus::kTermNotCommitted);
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
  Options options = TestCluster::TellsAtOnce();
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

// The word that it has all may be lost, and the leader keeps the log for it.
TEST_F(CoreTest, WhoInstallsASnapshotSaysSoWhenItIsAsked) {
  Start({{"a", "b", "c"}});
  cluster().Elect("a");
  const SnapshotMeta meta{Index{50}, Term{2}, {Index{1}, core("a").configuration().configuration},
                          "s", 10};
  Core& c = core("c");
  const auto give = [&](const SnapshotMeta& of, uint64_t offset, std::string bytes) {
    const bool last = offset + bytes.size() == of.size_bytes;
    c.Receive(cluster().now(), {Id("a"), Id("c"), Term{2},
                                SnapshotChunk{of, offset, MakeBuffer(std::move(bytes)), last}});
    return c.TakeOutput();
  };
  EXPECT_EQ(give(meta, 0, "0123456789").snapshot_stores.size(), 1u);
  EXPECT_TRUE(give(meta, 0, "0123456789").empty()) << "it is not known whether it can be stored";
  c.SnapshotChunkStored(cluster().now(), "s", 10);
  EXPECT_EQ(ToText(c.TakeOutput().messages.front()), "c>a t2 SnapshotReply next=10");
  EXPECT_EQ(ToText(give(meta, 0, "0123456789").messages.front()), "c>a t2 SnapshotReply next=10");
  EXPECT_EQ(ToText(give(meta, 10, "").messages.front()), "c>a t2 SnapshotReply next=10");
  SnapshotMeta other = meta;
  other.id = "t";
  EXPECT_EQ(ToText(give(other, 0, "0123456789").messages.front()),
            "c>a t2 SnapshotReply next=10 of=50");
  EXPECT_EQ(ToText(give(meta, 10, "").messages.front()), "c>a t2 SnapshotReply next=10");
  c.SnapshotRefused(cluster().now(), "s");
  EXPECT_EQ(ToText(c.TakeOutput().messages.front()), "c>a t2 SnapshotReply next=0");
  EXPECT_EQ(ToText(give(meta, 10, "").messages.front()), "c>a t2 SnapshotReply next=0");
}

TEST_F(CoreTest, WhoInstallsASnapshotIsAskedNowAndThenForTheEndOfItAlone) {
  StartThree();
  cluster().Elect("a");
  cluster().CutOff("c");
  cluster().Propose("a", "x");
  cluster().Settle();
  cluster().TakeSnapshot("a", /*keep=*/0);
  const SnapshotMeta meta = core("a").snapshot();
  const auto chunks = [this] {
    std::vector<std::string> texts = Sent("a");
    std::erase_if(texts, [](const std::string& text) { return !text.starts_with("a>c t2 Snap"); });
    return texts;
  };
  Give("c", "a", 2, AppendReply{.refused = Index{3}, .hint_index = Index{2}, .hint_term = Term{2}});
  EXPECT_EQ(chunks(), std::vector<std::string>{"a>c t2 Snapshot 2/3 offset=0 bytes=4 last"});
  Forget();
  const SnapshotReply whole{.id = meta.id, .next_offset = meta.size_bytes};
  Give("c", "a", 2, whole);
  EXPECT_TRUE(chunks().empty());
  for (int asked = 0; asked < 3; ++asked) {
    cluster().Run(TestCluster::TellsAtOnce().election_timeout_max);
    Give("c", "a", 2, HeartbeatReply{});
    EXPECT_EQ(chunks(), std::vector<std::string>{"a>c t2 Snapshot 2/3 offset=4 bytes=0 last"});
    Forget();
    Give("c", "a", 2, whole);
    EXPECT_TRUE(chunks().empty());
  }
  // It has begun anew.
  Give("c", "a", 2, SnapshotReply{.id = meta.id});
  EXPECT_EQ(chunks(), std::vector<std::string>{"a>c t2 Snapshot 2/3 offset=0 bytes=4 last"});
}

// Of an earlier leader's: the log behind that is what it will want.
TEST_F(CoreTest, WhoInstallsAnotherSnapshotIsWaitedFor) {
  StartThree();
  cluster().Elect("a");
  cluster().CutOff("c");
  for (int i = 0; i < 5; ++i) {
    cluster().Propose("a", "x");
    cluster().Settle();
  }
  cluster().TakeSnapshot("a", /*keep=*/3);
  ASSERT_EQ(core("a").log().base().index, Index{4});
  Give("c", "a", 2, AppendReply{.refused = Index{7}, .hint_index = Index{2}, .hint_term = Term{2}});
  const SnapshotReply other{.id = "of another", .next_offset = 10, .match = Index{5}};
  Give("c", "a", 2, other);
  for (int asked = 0; asked < 3; ++asked) {
    Forget();
    cluster().Run(TestCluster::TellsAtOnce().election_timeout_max);
    Give("c", "a", 2, HeartbeatReply{});
    ASSERT_EQ(Sent("a").back(), "a>c t2 Snapshot 2/5 offset=10 bytes=0 last");
    Give("c", "a", 2, SnapshotReply{.id = other.id, .next_offset = 10});
  }
  Forget();
  Give("c", "a", 2, SnapshotReply{.id = other.id, .installed = true, .match = Index{5}});
  EXPECT_EQ(Sent("a").front(), "a>c t2 Append prev=2/5 commit=7 [2/6 x, 2/7 x]");
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
