// A server that begins anew on an older copy of its disk, or on an empty one: what it acknowledged
// in its earlier life counts no more as soon as it is heard, nor from when its stream ended.
#include <optional>
#include <string>
#include <variant>

#include "gtest/gtest.h"
#include "services/raft/core/core.h"
#include "services/raft/core/core_fixture.h"

namespace consul::raft {
namespace {

class CoreAnewTest : public CoreTest {
 protected:
  // Of five led by a, b has what was proposed last; c to e have it and have not written it. b's
  // disk as it was before that.
  DurableState OneOfFiveAcknowledges() {
    Start({{"a", "b", "c", "d", "e"}});
    cluster().Elect("a");
    cluster().Run(Ms(60));
    const DurableState before = cluster().at("b").disk;
    for (const char* name : {"c", "d", "e"}) cluster().at(name).hold_writes = true;
    cluster().Propose("a", "x");
    cluster().Settle();
    EXPECT_LT(core("a").commit_index(), core("a").last_index());
    return before;
  }
  void EndStream(const std::string& from, const std::string& to) {
    core(to).StreamBroken(cluster().now(), Id(from));
    cluster().Pump(cluster().at(to));
  }
};

TEST_F(CoreAnewTest, WhoLostItsDiskIsFoundOutThoughNothingIsWritten) {
  StartThree();
  cluster().Elect("a");
  cluster().Run(Ms(60));
  const DurableState before = cluster().at("c").disk;
  for (int i = 0; i < 5; ++i) {
    cluster().Propose("a", "x");
    cluster().Settle();
  }
  cluster().Run(Ms(100));
  const Index had = core("c").last_index();
  cluster().Crash("c");
  cluster().at("c").disk = before;
  cluster().Restart("c");
  cluster().Run(Ms(60));
  EXPECT_EQ(core("a").role(), Role::kLeader);
  EXPECT_EQ(core("c").last_index(), had);
  EXPECT_EQ(core("c").commit_index(), had);
}

// What the leader knew it to have was equal, what it has now is not.
TEST_F(CoreAnewTest, WhoHasOtherEntriesAgainAppliesNoneOfThem) {
  StartThree();
  cluster().Elect("c");
  cluster().Run(Ms(60));
  cluster().CutOff("c");
  cluster().Propose("c", "lost");
  cluster().Settle();
  const DurableState before = cluster().at("c").disk;
  cluster().Elect("a");
  cluster().Heal();
  cluster().Run(Ms(200));
  EXPECT_EQ(core("a").role(), Role::kLeader);
  EXPECT_EQ(core("c").commit_index(), core("a").commit_index());
  cluster().Crash("c");
  cluster().at("c").disk = before;
  cluster().Restart("c");
  cluster().Run(Ms(60));
  EXPECT_EQ(cluster().at("c").machine, cluster().at("a").machine);
  EXPECT_EQ(core("c").commit_index(), core("a").commit_index());
}

TEST_F(CoreAnewTest, WhatADiskLostIsNotCounted) {
  const DurableState before = OneOfFiveAcknowledges();
  const Index x = core("a").last_index();
  cluster().Crash("b");
  cluster().at("b").disk = before;
  cluster().at("b").hold_writes = true;
  cluster().Restart("b");
  cluster().Run(Ms(60));
  cluster().FinishWrite(cluster().at("c"));
  cluster().Settle();
  EXPECT_LT(core("a").commit_index(), x) << "two disks of five have it";
  cluster().ReleaseWrites("b");
  cluster().Settle();
  EXPECT_EQ(core("a").commit_index(), x);
}

// Goal: nor is it before it is heard. Method: its stream ends, and who is needed beside it answers
// before it does.
TEST_F(CoreAnewTest, WhatADeadServerAcknowledgedIsNotCountedForWhatComesLater) {
  const DurableState before = OneOfFiveAcknowledges();
  const Index x = core("a").last_index();
  cluster().Crash("b");
  cluster().at("b").disk = before;
  cluster().at("b").hold_writes = true;
  EndStream("b", "a");
  cluster().FinishWrite(cluster().at("c"));
  cluster().Settle();
  EXPECT_LT(core("a").commit_index(), x) << "two disks of five have it";
  cluster().Restart("b");
  cluster().Run(Ms(60));
  EXPECT_LT(core("a").commit_index(), x);
  cluster().ReleaseWrites("b");
  cluster().Settle();
  EXPECT_EQ(core("a").commit_index(), x);
}

// No time goes by: the question leaves at once.
TEST_F(CoreAnewTest, AStreamThatComesBackCostsOneQuestion) {
  OneOfFiveAcknowledges();
  const Index x = core("a").last_index();
  const Index committed = core("a").commit_index();
  EndStream("b", "a");
  cluster().Cut("b", "a");
  cluster().FinishWrite(cluster().at("c"));
  cluster().Settle();
  EXPECT_EQ(core("a").commit_index(), committed);
  cluster().Heal();
  // Of before its end.
  Give("b", "a", core("a").term().value, HeartbeatReply{Round{1}});
  EXPECT_EQ(core("a").commit_index(), committed);
  EndStream("b", "a");
  cluster().Settle();
  EXPECT_EQ(core("a").commit_index(), x);
}

// Under load nothing has to be asked: who acknowledges what was sent later speaks for itself.
TEST_F(CoreAnewTest, AnAckOfWhatWasSentLaterCountsWithoutAQuestion) {
  OneOfFiveAcknowledges();
  EndStream("b", "a");
  Forget();
  cluster().Propose("a", "y");
  const Index y = core("a").last_index();
  cluster().ReleaseWrites("c");
  cluster().Settle();
  EXPECT_EQ(core("a").commit_index(), y);
}

// It comes when the new life has taken the first of those entries and has written none. That its
// log matches what the leader knows of it says nothing of what the ack is about.
TEST_F(CoreAnewTest, AnAckOfTheLifeBeforeIsNotCountedBehindAWordOfTheNewOne) {
  Options options = TestCluster::TellsAtOnce();
  options.append_bytes_max = 300;  // one entry a request
  Start({{"a", "b", "c"}}, options);
  cluster().Elect("a");
  cluster().Run(Ms(60));
  cluster().CutOff("c");
  const DurableState before = cluster().at("b").disk;
  std::optional<Message> ack;  // of the last entry; none of them arrives
  for (int i = 0; i < 5; ++i) {
    cluster().Propose("a", std::string(200, 'x'));
    while (!cluster().wire().empty()) {
      const Message& message = cluster().wire().front();
      if (message.to == Id("b")) {
        cluster().Deliver(0);
        continue;
      }
      if (message.from == Id("b")) ack = message;
      cluster().Lose(0);
    }
  }
  const Index last = core("a").last_index();
  ASSERT_EQ(std::get<AppendReply>(ack->body).match, last);
  cluster().Crash("b");
  cluster().at("b").disk = before;
  cluster().at("b").hold_writes = true;
  EndStream("b", "a");
  cluster().Restart("b");
  cluster().Run(Ms(60));
  ASSERT_FALSE(cluster().at("b").writes.empty());
  core("a").Receive(cluster().now(), *ack);
  cluster().Pump(cluster().at("a"));
  cluster().Run(Ms(200));
  EXPECT_LT(core("a").commit_index(), last) << "one disk of three has it";
  cluster().ReleaseWrites("b");
  cluster().Run(Ms(200));
  EXPECT_EQ(core("a").commit_index(), last);
}

// An old word that arrives late may be of the life before.
TEST_F(CoreAnewTest, AnAckOfWhatWasSentBeforeTheEndIsNotCounted) {
  Start({{"a", "b", "c"}});
  cluster().Elect("a");
  cluster().Run(Ms(60));
  cluster().at("a").hold_writes = true;
  cluster().CutOff("c");
  cluster().Propose("a", "x");
  const Index x = core("a").last_index();
  while (Sent("b").empty()) cluster().Deliver(0);
  while (Sent("a").size() > 0) cluster().Deliver(0);
  ASSERT_EQ(Sent("b").size(), 1u) << "its ack";
  EndStream("b", "a");
  cluster().Deliver(0);
  cluster().ReleaseWrites("a");
  EXPECT_LT(core("a").commit_index(), x);
  cluster().Settle();
  EXPECT_EQ(core("a").commit_index(), x);
}

// It is one question, whose answer says so; nothing is sent again.
TEST_F(CoreAnewTest, WhoLostNothingIsBelievedAfterOneQuestion) {
  StartThree();
  cluster().Elect("a");
  for (int i = 0; i < 5; ++i) cluster().Propose("a", "x");
  cluster().Run(Ms(100));
  cluster().Crash("c");
  cluster().Restart("c");
  cluster().Advance(Ms(30));
  cluster().TakeTrace();
  cluster().Run(Ms(100));
  std::string trace = cluster().TakeTrace();
  int appends = 0;
  for (size_t at = 0; (at = trace.find("a: a>c t2 Append ", at)) != std::string::npos; ++at) {
    ++appends;
  }
  EXPECT_EQ(appends, 1) << trace;
  EXPECT_EQ(core("c").commit_index(), core("a").commit_index());
  EXPECT_TRUE(core("a").OthersCanCommit());
}

// A question from before it acknowledged anything may be answered late.
TEST_F(CoreAnewTest, AnOldAnswerIsNotTakenForABeginAnew) {
  StartThree();
  cluster().Elect("a");
  cluster().Run(Ms(100));
  Forget();
  const uint64_t term = core("a").term().value;
  Give("c", "a", term, HeartbeatReply{Round{1}, /*unmatched=*/true});
  EXPECT_EQ(Sent("a").size(), 0u);
  EXPECT_GT(core("a").Members()[1].match, Index{0});
  cluster().Advance(Ms(30));
  Forget();
  Give("c", "a", term, HeartbeatReply{Round{4}, /*unmatched=*/true});
  EXPECT_EQ(Sent("a").size(), 3u) << "a probe, and both are asked";
  EXPECT_EQ(core("a").Members()[1].match, Index{0}) << "until it is answered";
}

}  // namespace
}  // namespace consul::raft
