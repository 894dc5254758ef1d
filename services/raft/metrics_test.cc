#include "services/raft/metrics.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "services/base/metrics.h"

namespace consul::raft {
namespace {

using std::chrono::milliseconds;

class RaftMetricsTest : public testing::Test {
 protected:
  // Of a counter or sample of that name; all 0 where there is none.
  base::MetricSum Of(std::string_view name) {
    const auto report = metrics_.Collect();
    for (const auto& figures : {report.counters, report.samples, report.gauges}) {
      for (const auto& figure : figures) {
        if (figure.name == name) return figure.sum;
      }
    }
    return {};
  }
  Message To(const std::string& peer, Body body) {
    return {ServerId{"a"}, ServerId{peer}, Term{2}, std::move(body)};
  }
  Message From(const std::string& peer, Body body) {
    return {ServerId{peer}, ServerId{"a"}, Term{2}, std::move(body)};
  }
  static AppendRequest Entries(uint64_t first, uint64_t count) {
    AppendRequest request;
    for (uint64_t i = 0; i < count; ++i) {
      request.entries.push_back({Term{2}, Index{first + i}, EntryKind::kCommand, nullptr});
    }
    return request;
  }

  Time now_{std::chrono::hours(1)};
  base::Metrics metrics_{
      [] { return std::chrono::system_clock::time_point(std::chrono::seconds(1'000'000'000)); }};
  RaftMetrics raft_{&metrics_};
};

TEST_F(RaftMetricsTest, ACommitIsTimedFromItsProposal) {
  raft_.Became(now_, Role::kLeader);
  raft_.Proposed(now_, Index{5}, 3);
  raft_.Proposed(now_ + milliseconds(1), Index{6}, 1);
  EXPECT_EQ(Of("raft.commitTime").count, 0u);
  raft_.Committed(now_ + milliseconds(4), Index{5}, 3);
  EXPECT_EQ(Of("raft.commitTime").count, 1u);
  EXPECT_DOUBLE_EQ(Of("raft.commitTime").max, 4);
  raft_.Committed(now_ + milliseconds(6), Index{9}, 4);
  EXPECT_DOUBLE_EQ(Of("raft.commitTime").max, 5);
  EXPECT_DOUBLE_EQ(Of("raft.apply").sum, 4);
  EXPECT_DOUBLE_EQ(Of("raft.commitNumLogs").sum, 4);
  EXPECT_DOUBLE_EQ(Of("raft.leader.dispatchNumLogs").sum, 1);
}

TEST_F(RaftMetricsTest, WhatALostLeadHasProposedIsNotTimed) {
  raft_.Became(now_, Role::kLeader);
  raft_.Proposed(now_, Index{5}, 1);
  raft_.Became(now_, Role::kFollower);
  raft_.Became(now_ + milliseconds(500), Role::kLeader);
  raft_.Committed(now_ + milliseconds(900), Index{7}, 3);
  EXPECT_EQ(Of("raft.commitTime").count, 0u);
}

TEST_F(RaftMetricsTest, EachPeersHeartbeatsAndEntriesAreTimedToTheirAnswers) {
  raft_.Sent(now_, To("b", Heartbeat{Index{1}, Round{7}}));
  raft_.Sent(now_ + milliseconds(1), To("b", Heartbeat{Index{1}, Round{8}}));
  raft_.Sent(now_, To("c", Entries(3, 2)));
  raft_.Received(now_ + milliseconds(3), From("b", HeartbeatReply{Round{7}}));
  EXPECT_DOUBLE_EQ(Of("raft.replication.heartbeat.b").sum, 3);
  AppendReply half{.accepted = true};
  half.match = Index{3};
  raft_.Received(now_ + milliseconds(4), From("c", half));
  EXPECT_EQ(Of("raft.replication.appendEntries.rpc.c").count, 0u);
  AppendReply whole{.accepted = true};
  whole.match = Index{4};
  raft_.Received(now_ + milliseconds(5), From("c", whole));
  EXPECT_DOUBLE_EQ(Of("raft.replication.appendEntries.rpc.c").sum, 5);
  EXPECT_DOUBLE_EQ(Of("raft.replication.appendEntries.logs.c").sum, 2);
  EXPECT_EQ(Of("raft.replication.appendEntries.logs.b").count, 0u);
}

TEST_F(RaftMetricsTest, AnAnswerThatWasLostIsNotTakenForALongOne) {
  raft_.Sent(now_, To("b", Heartbeat{Index{1}, Round{7}}));
  raft_.Received(now_ + milliseconds(90), From("b", HeartbeatReply{Round{9}}));
  EXPECT_EQ(Of("raft.replication.heartbeat.b").count, 0u);
  raft_.Sent(now_ + milliseconds(100), To("b", Heartbeat{Index{1}, Round{10}}));
  raft_.Received(now_ + milliseconds(102), From("b", HeartbeatReply{Round{10}}));
  EXPECT_DOUBLE_EQ(Of("raft.replication.heartbeat.b").sum, 2);
}

TEST_F(RaftMetricsTest, RolesAndWhatBringsThemAreCounted) {
  raft_.Happened(FactKind::kHeartbeatTimeout);
  raft_.Became(now_, Role::kPreCandidate);
  raft_.Became(now_, Role::kCandidate);
  raft_.Became(now_ + milliseconds(12), Role::kLeader);
  raft_.Happened(FactKind::kSteppedDownNoQuorum);
  raft_.Became(now_ + milliseconds(900), Role::kFollower);
  EXPECT_EQ(Of("raft.transition.heartbeat_timeout").count, 1u);
  EXPECT_EQ(Of("raft.transition.leader_lease_timeout").count, 1u);
  EXPECT_EQ(Of("raft.state.candidate").count, 1u);
  EXPECT_EQ(Of("raft.state.leader").count, 1u);
  EXPECT_EQ(Of("raft.state.follower").count, 1u);
  EXPECT_EQ(Of("raft.barrier").count, 1u);
  EXPECT_DOUBLE_EQ(Of("raft.candidate.electSelf").sum, 12);
}

TEST_F(RaftMetricsTest, AnotherLeaderMakesNoOtherFollower) {
  raft_.Became(now_, Role::kFollower);
  raft_.Became(now_, Role::kFollower);
  EXPECT_EQ(Of("raft.state.follower").count, 1u);
}

TEST_F(RaftMetricsTest, AnswersOfThoseWhoWereNotAskedMakeNoSeries) {
  raft_.Received(now_, From("x", HeartbeatReply{Round{7}}));
  raft_.Received(now_, From("x", AppendReply{.accepted = true}));
  const auto text = metrics_.Exposition({});
  EXPECT_EQ(text.find("_x"), std::string::npos) << text;
}

TEST_F(RaftMetricsTest, WhatALeaderCommittedLastIsNotToldOnceItFollows) {
  raft_.Became(now_, Role::kLeader);
  raft_.Proposed(now_, Index{5}, 3);
  raft_.Committed(now_, Index{5}, 3);
  EXPECT_EQ(metrics_.Collect().gauges.size(), 2u);
  raft_.Became(now_, Role::kFollower);
  EXPECT_TRUE(metrics_.Collect().gauges.empty());
}

TEST_F(RaftMetricsTest, ALeadersWritesAndAFollowersHaveTheirNames) {
  raft_.Wrote(/*leads=*/true, 2);
  raft_.Wrote(/*leads=*/false, 3);
  raft_.LastContact(milliseconds(4));
  raft_.ConsistentRead();
  EXPECT_DOUBLE_EQ(Of("raft.leader.dispatchLog").sum, 2);
  EXPECT_DOUBLE_EQ(Of("raft.rpc.appendEntries.storeLogs").sum, 3);
  EXPECT_DOUBLE_EQ(Of("raft.leader.lastContact").sum, 4);
  EXPECT_EQ(Of("raft.verify_leader").count, 1u);
}

}  // namespace
}  // namespace consul::raft
