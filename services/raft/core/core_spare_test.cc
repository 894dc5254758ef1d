// Whom a leader needs to commit an entry, and what it keeps from the others for a moment.
#include <string>

#include "gtest/gtest.h"
#include "services/raft/core/core.h"
#include "services/raft/core/core_fixture.h"

namespace consul::raft {
namespace {

class CoreSpareTest : public CoreTest {
 protected:
  static Options Sparing() {
    Options options;
    options.spare_delay = Ms(2);
    return options;
  }
  // b and c follow a.
  void Lead(const Options& options = Sparing()) {
    Start({{"a", "b", "c"}}, options);
    cluster().Elect("a");
    cluster().Run(Ms(10));
  }
};

TEST_F(CoreSpareTest, WhoLacksManyEntriesIsSparedNothing) {
  Lead();
  for (int i = 0; i < 64; ++i) cluster().Propose("a", "x");
  EXPECT_EQ(Sent("a").back().substr(0, 3), "a>b");
  cluster().Propose("a", "x");
  EXPECT_EQ(Sent("a").back().substr(0, 3), "a>c");
}

TEST_F(CoreSpareTest, ASlowFollowerIsNotNeeded) {
  Lead();
  cluster().Propose("a", "x");
  ASSERT_EQ(Sent("a").back().substr(0, 3), "a>b");
  cluster().Advance(Ms(1));
  cluster().Settle();
  for (int i = 0; i < 3; ++i) {
    cluster().Propose("a", "x");
    EXPECT_EQ(Sent("a").back().substr(0, 3), "a>c") << "b took a millisecond";
    cluster().Settle();
  }
}

TEST_F(CoreSpareTest, ASlowLeaderNeedsMoreFollowers) {
  Lead();
  cluster().at("a").hold_writes = true;
  cluster().Propose("a", "x");
  cluster().Settle();
  cluster().Advance(Ms(1));
  cluster().ReleaseWrites("a");
  cluster().Settle();
  cluster().Propose("a", "x");
  EXPECT_EQ(Sent("a").size(), 2u) << "its last write took a millisecond";
}

TEST_F(CoreSpareTest, WhoIsSentItAnywayIsNeededUnlessTwiceAsSlow) {
  for (const int slow_ms : {3, 5}) {
    Lead();
    cluster().Propose("a", "x");
    cluster().Advance(Ms(2));  // and c is sent it
    cluster().Deliver(0);      // to b
    cluster().Deliver(1);      // its ack, after 2 ms
    cluster().Advance(Ms(slow_ms));
    cluster().Settle();
    Forget();
    core("a").WantsCommit(Id("c"), core("a").last_index().Next());
    cluster().Propose("a", "y");
    const size_t sent = slow_ms < 2 * 2 ? 1 : 2;
    EXPECT_EQ(Sent("a").size(), sent) << slow_ms;
    EXPECT_EQ(Sent("a").back().substr(0, 3), "a>c");
  }
}

TEST_F(CoreSpareTest, WhoIsProbedIsNotCountedOn) {
  Lead();
  cluster().Propose("a", "x");
  cluster().Settle();
  cluster().Advance(Ms(2));  // c is sent it
  cluster().Advance(Ms(1));
  cluster().Settle();
  const Index last = core("a").last_index();
  Give("b", "a", core("a").term().value, AppendReply{.refused = last, .hint_index = Index{1}});
  Forget();  // its probe is lost
  cluster().Propose("a", "x");
  EXPECT_EQ(Sent("a").size(), 1u);
  EXPECT_EQ(Sent("a").back().substr(0, 3), "a>c");
}

// It is quick, and still cannot have the last entry soon.
TEST_F(CoreSpareTest, WhoDoesNotKeepUpIsNotCountedOn) {
  Options options = Sparing();
  options.in_flight_requests_max = 1;
  Lead(options);
  cluster().Propose("a", "x");
  cluster().Settle();
  cluster().Advance(Ms(2));  // c is sent it
  cluster().Advance(Ms(1));
  cluster().Settle();
  cluster().at("b").hold_writes = true;
  cluster().Propose("a", "x");
  ASSERT_EQ(Sent("a").back().substr(0, 3), "a>b");
  cluster().Propose("a", "x");
  EXPECT_EQ(Sent("a").back().substr(0, 3), "a>c");
}

// They are asked of the disk, which takes its time as well.
TEST_F(CoreSpareTest, WhoLacksEntriesThatAreOutOfMemoryIsSentThemAtOnce) {
  Options options = Sparing();
  options.tail_bytes_max = 300;
  options.in_flight_requests_max = 1;
  Lead(options);
  cluster().at("c").hold_writes = true;
  for (int i = 0; i < 5; ++i) {
    cluster().Propose("a", std::string(200, 'x'));
    cluster().Run(Ms(2), Ms(2));
  }
  Forget();
  cluster().ReleaseWrites("c");
  while (!Sent("c").empty()) cluster().Deliver(0);
  EXPECT_EQ(Sent("a").size(), 1u);
}

TEST_F(CoreSpareTest, WhatWasDueIsDueNoMore) {
  Lead();
  cluster().Propose("a", "x");
  EXPECT_EQ(core("a").NextDeadline(), cluster().now() + Ms(2));
  cluster().Advance(Ms(2));
  EXPECT_GT(core("a").NextDeadline(), cluster().now() + Ms(2));
}

}  // namespace
}  // namespace consul::raft
