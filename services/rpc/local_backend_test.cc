// Goal: what the machinery does around handlers, each rule by name. Method: the fixture's one key,
// consensus and executor.
#include "services/rpc/local_backend.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "services/rpc/errors.h"
#include "services/rpc/local_backend_fixture.h"
#include "services/rpc/test_caller.h"

namespace consul::rpc {
namespace {

TEST_F(LocalBackendTest, AReadIsAnsweredInsideStart) {
  auto call = NewGet();
  backend_->Start(call.get());
  ASSERT_TRUE(call->done);
  EXPECT_TRUE(call->status.ok());
  EXPECT_EQ(call->answer.entry().value(), "five");
  EXPECT_EQ(call->answer.meta().index(), 5);
  EXPECT_TRUE(call->answer.meta().known_leader());
}

TEST_F(LocalBackendTest, TheIndexOfAnAbsentKeyIsOneNotZero) {
  auto call = NewGet("absent");
  backend_->Start(call.get());
  EXPECT_EQ(call->answer.meta().index(), 1);
}

TEST_F(LocalBackendTest, AHandlersErrorIsTheCallsError) {
  auto call = NewGet("bad");
  backend_->Start(call.get());
  EXPECT_EQ(Detail(call->status).reason(), errors::v1::REASON_INVALID_FIELD);
}

TEST_F(LocalBackendTest, AnotherDatacenterHasNoPath) {
  auto call = NewGet();
  call->request_to_fill().mutable_options()->set_datacenter("dc2");
  backend_->Start(call.get());
  EXPECT_EQ(Detail(call->status).reason(), errors::v1::REASON_NO_PATH_TO_DATACENTER);
  EXPECT_EQ(call->status.message(), "No path to datacenter");
  auto own = NewGet();
  own->request_to_fill().mutable_options()->set_datacenter("dc1");
  backend_->Start(own.get());
  EXPECT_TRUE(own->status.ok());
}

TEST_F(LocalBackendTest, ABlockingReadWithANewerIndexIsAnsweredAtOnce) {
  auto call = NewGet();
  call->request_to_fill().mutable_options()->set_index(4);
  backend_->Start(call.get());
  EXPECT_TRUE(call->done);
}

TEST_F(LocalBackendTest, ABlockingReadWaitsForItsKey) {
  auto call = NewGet();
  call->request_to_fill().mutable_options()->set_index(5);
  backend_->Start(call.get());
  EXPECT_FALSE(call->done);
  Publish(6, "six");
  executor_.RunUntil(call->done);
  EXPECT_EQ(call->answer.entry().value(), "six");
  EXPECT_EQ(call->answer.meta().index(), 6);
}

TEST_F(LocalBackendTest, AWriteElsewhereDoesNotWakeABlockingRead) {
  auto call = NewGet();
  call->request_to_fill().mutable_options()->set_index(5);
  backend_->Start(call.get());
  Publish(5, "five", "other");
  EXPECT_EQ(executor_.queue.RunAll(), 0);
  backend_->Cancel(call.get());
}

TEST_F(LocalBackendTest, ABlockingReadEndsWithItsTime) {
  auto call = NewGet();
  call->request_to_fill().mutable_options()->set_index(99);
  call->request_to_fill().mutable_options()->mutable_wait()->set_nanos(20'000'000);
  backend_->Start(call.get());
  EXPECT_FALSE(call->done);
  executor_.RunUntil(call->done);
  EXPECT_TRUE(call->status.ok());
  EXPECT_EQ(call->answer.meta().index(), 5);  // smaller than was asked for, as it is
}

TEST_F(LocalBackendTest, CancelEndsABlockingReadAndItsWatch) {
  auto call = NewGet();
  call->request_to_fill().mutable_options()->set_index(5);
  backend_->Start(call.get());
  EXPECT_EQ(source_.registry().waiter_count(), 1);
  backend_->Cancel(call.get());
  EXPECT_TRUE(call->done);
  EXPECT_EQ(call->status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(source_.registry().waiter_count(), 0);
}

TEST_F(LocalBackendTest, AWakeThatComesAfterCancelDoesNothing) {
  auto call = NewGet();
  call->request_to_fill().mutable_options()->set_index(5);
  backend_->Start(call.get());
  Publish(6, "six");  // posted, not run
  backend_->Cancel(call.get());
  call.reset();
  EXPECT_EQ(executor_.queue.RunAll(), 1);
}

// A client that asks for an index far ahead is woken by each write and answered by none.
TEST_F(LocalBackendTest, AReadThatIsWokenInVainDoesNotGrow) {
  auto call = NewGet();
  call->request_to_fill().mutable_options()->set_index(1'000'000);
  backend_->Start(call.get());
  uint64_t before = 0;
  for (uint64_t index = 6; index < 200; ++index) {
    Publish(index, "value");
    EXPECT_EQ(executor_.queue.RunAll(), 1);
    if (index == 10) before = call->arena_bytes();
  }
  EXPECT_FALSE(call->done);
  EXPECT_EQ(call->arena_bytes(), before);
  Publish(1'000'001, "last");
  executor_.RunUntil(call->done);
  EXPECT_EQ(call->answer.entry().value(), "last");
}

TEST_F(LocalBackendTest, MoreWaitingReadsThanTheLimitAreRefused) {
  LocalBackend::Options options;
  options.parked_max = 2;
  LocalBackend small(options, &handlers_, &consensus_);
  std::vector<std::unique_ptr<GetCall>> calls;
  for (int i = 0; i < 3; ++i) {
    calls.push_back(NewGet());
    calls.back()->request_to_fill().mutable_options()->set_index(5);
    small.Start(calls.back().get());
  }
  EXPECT_FALSE(calls[1]->done);
  EXPECT_EQ(Detail(calls[2]->status).reason(), errors::v1::REASON_OVERLOADED);
  small.Cancel(calls[0].get());
  auto next = NewGet();
  next->request_to_fill().mutable_options()->set_index(5);
  small.Start(next.get());
  EXPECT_FALSE(next->done);
  small.Cancel(calls[1].get());
  small.Cancel(next.get());
}

TEST_F(LocalBackendTest, MoreHeldCallsThanTheLimitAreRefused) {
  LocalBackend::Options options;
  options.held_max = 1;
  LocalBackend small(options, &handlers_, &consensus_);
  consensus_.now = {};
  auto first = NewGet();
  auto second = NewGet();
  small.Start(first.get());
  small.Start(second.get());
  EXPECT_FALSE(first->done);
  EXPECT_EQ(Detail(second->status).reason(), errors::v1::REASON_OVERLOADED);
  small.Cancel(first.get());
}

TEST_F(LocalBackendTest, AConsistentReadWaitsForItsBarrier) {
  consensus_.now.alone = false;
  auto call = NewGet();
  call->request_to_fill().mutable_options()->set_consistency(query::v1::CONSISTENCY_CONSISTENT);
  backend_->Start(call.get());
  ASSERT_EQ(consensus_.barriers.size(), 1);
  EXPECT_FALSE(call->done);
  Publish(6, "six");
  consensus_.barriers[0](absl::OkStatus());
  executor_.RunUntil(call->done);
  EXPECT_EQ(call->answer.entry().value(), "six");  // read after the barrier, not before
}

TEST_F(LocalBackendTest, WhoHasNoTimeIsToldOfTheOtherReadsLater) {
  consensus_.now = TestConsensus::kFollows;
  executor_.gathering = true;
  std::vector<std::unique_ptr<GetCall>> calls;
  for (int i = 0; i < 3; ++i) {
    calls.push_back(NewGet());
    backend_->Start(calls[i].get());
  }
  executor_.queue.RunAll();
  EXPECT_EQ(executor_.expected, 1);
  ASSERT_EQ(consensus_.barriers.size(), 1);
  consensus_.barriers[0](absl::OkStatus());
  executor_.hurried = true;
  for (int told = 1; told <= 3; ++told) {
    EXPECT_EQ(executor_.queue.RunAll(), 1);
    const auto is_done = [](const auto& call) { return call->done; };
    EXPECT_EQ(std::count_if(calls.begin(), calls.end(), is_done), told);
    EXPECT_EQ(executor_.expected, 0);
  }
  EXPECT_EQ(executor_.queue.RunAll(), 0);
}

TEST_F(LocalBackendTest, ReadsThatComeToALoopTogetherAskOnce) {
  consensus_.now = TestConsensus::kFollows;
  executor_.gathering = true;
  std::vector<std::unique_ptr<GetCall>> calls;
  for (int i = 0; i < 4; ++i) {
    calls.push_back(NewGet());
    if (i == 3) {
      calls[i]->request_to_fill().mutable_options()->set_consistency(
          query::v1::CONSISTENCY_CONSISTENT);
    }
    backend_->Start(calls[i].get());
  }
  EXPECT_TRUE(consensus_.modes.empty()) << "others may come in the same turn of the loop";
  executor_.queue.RunAll();
  ASSERT_EQ(consensus_.modes, (std::vector<ReadMode>{ReadMode::kDefault, ReadMode::kConsistent}));
  // This one comes too late for what was asked.
  calls.push_back(NewGet());
  backend_->Start(calls[4].get());
  executor_.queue.RunAll();
  ASSERT_EQ(consensus_.barriers.size(), 3);
  backend_->Cancel(calls[1].get());
  EXPECT_EQ(calls[1]->status.code(), absl::StatusCode::kCancelled);
  consensus_.barriers[0](absl::OkStatus());
  EXPECT_EQ(executor_.queue.RunAll(), 1) << "all are told by one task";
  for (const int answered : {0, 2}) EXPECT_EQ(calls[answered]->answer.entry().value(), "five");
  EXPECT_FALSE(calls[3]->done);
  EXPECT_FALSE(calls[4]->done);
  Publish(6, "six");
  consensus_.barriers[1](Error(errors::v1::REASON_OVERLOADED, "too many"));
  consensus_.barriers[2](absl::OkStatus());
  executor_.queue.RunAll();
  EXPECT_EQ(Detail(calls[3]->status).reason(), errors::v1::REASON_OVERLOADED);
  EXPECT_EQ(calls[4]->answer.entry().value(), "six");
}

TEST_F(LocalBackendTest, ASoleVoterAnswersAConsistentReadItself) {
  auto call = NewGet();
  call->request_to_fill().mutable_options()->set_consistency(query::v1::CONSISTENCY_CONSISTENT);
  backend_->Start(call.get());
  EXPECT_TRUE(call->done);
  EXPECT_TRUE(consensus_.barriers.empty());
  EXPECT_EQ(call->answer.meta().effective_consistency(), query::v1::CONSISTENCY_CONSISTENT);
}

TEST_F(LocalBackendTest, AStaleReadNeedsNoLeader) {
  consensus_.now = {.last_contact = 70ms};
  auto call = NewGet();
  call->request_to_fill().mutable_options()->set_consistency(query::v1::CONSISTENCY_STALE);
  backend_->Start(call.get());
  ASSERT_TRUE(call->done);
  EXPECT_FALSE(call->answer.meta().known_leader());
  EXPECT_EQ(call->answer.meta().last_contact().nanos(), 70'000'000);
}

TEST_F(LocalBackendTest, AStaleReadThatIsTooStaleAsksTheLeader) {
  consensus_.now = TestConsensus::kFollows;
  auto call = NewGet();
  auto* const options = call->request_to_fill().mutable_options();
  options->set_consistency(query::v1::CONSISTENCY_STALE);
  options->mutable_max_stale()->set_nanos(50'000'000);
  backend_->Start(call.get());
  ASSERT_FALSE(call->done);
  ASSERT_EQ(consensus_.modes, std::vector<ReadMode>{ReadMode::kDefault});
  consensus_.barriers[0](absl::OkStatus());
  executor_.RunUntil(call->done);
  EXPECT_EQ(call->answer.meta().effective_consistency(), query::v1::CONSISTENCY_DEFAULT);
}

TEST_F(LocalBackendTest, AFollowerAnswersADefaultReadOnceTheLeaderHasVouched) {
  consensus_.now = TestConsensus::kFollows;
  auto call = NewGet();
  backend_->Start(call.get());
  EXPECT_FALSE(call->done);
  ASSERT_EQ(consensus_.modes, std::vector<ReadMode>{ReadMode::kDefault});
  Publish(6, "six");
  consensus_.barriers[0](absl::OkStatus());
  executor_.RunUntil(call->done);
  EXPECT_EQ(call->answer.entry().value(), "six");  // read after the barrier, not before
  EXPECT_TRUE(call->answer.meta().known_leader());
  EXPECT_FALSE(call->answer.meta().has_last_contact());
}

TEST_F(LocalBackendTest, ALeaderWhoseLeaseIsOverAsksBeforeADefaultRead) {
  consensus_.now.leased = false;
  consensus_.now.alone = false;
  auto call = NewGet();
  backend_->Start(call.get());
  EXPECT_FALSE(call->done);
  EXPECT_EQ(consensus_.modes, std::vector<ReadMode>{ReadMode::kDefault});
  consensus_.barriers[0](absl::OkStatus());
  executor_.RunUntil(call->done);
  EXPECT_TRUE(call->status.ok());
}

TEST_F(LocalBackendTest, AReadThatNobodyVouchesForIsHeldAndAskedAgain) {
  LocalBackend::Options options;
  options.hold_timeout = 1h;
  LocalBackend backend(options, &handlers_, &consensus_);
  consensus_.now = TestConsensus::kFollows;
  auto call = NewGet();
  backend.Start(call.get());
  consensus_.barriers[0](Error(errors::v1::REASON_NO_LEADER, "No cluster leader"));
  // It pauses before it asks the same leader again.
  ASSERT_TRUE(Eventually([this] {
    executor_.queue.RunAll();
    return consensus_.barriers.size() == 2;
  }));
  consensus_.barriers[1](absl::OkStatus());
  executor_.RunUntil(call->done);
  EXPECT_TRUE(call->status.ok());
}

TEST_F(LocalBackendTest, AWriteThatIsInNoLogIsProposedAgainAndOneInDoubtIsNot) {
  LocalBackend::Options options;
  options.hold_timeout = 1h;
  LocalBackend backend(options, &handlers_, &consensus_);
  auto call = NewPut("v");
  backend.Start(call.get());
  consensus_.completions[0](Error(errors::v1::REASON_NO_LEADER, "No cluster leader"));
  ASSERT_TRUE(Eventually([this] {
    executor_.queue.RunAll();
    return consensus_.completions.size() == 2;
  }));
  EXPECT_FALSE(call->done);
  consensus_.completions[1](Error(errors::v1::REASON_OUTCOME_UNKNOWN, "lost"));
  executor_.RunUntil(call->done);
  EXPECT_EQ(Detail(call->status).reason(), errors::v1::REASON_OUTCOME_UNKNOWN);
  EXPECT_EQ(consensus_.proposed.size(), 2u);
}

// The leader, elsewhere.
class Elsewhere : public LeaderCalls {
 public:
  bool HasLeader() const override { return true; }
  bool Start(Call* call) override {
    calls.push_back(call);
    return true;
  }
  std::vector<Call*> calls;
};

TEST_F(LocalBackendTest, AServerThatWasRemovedAsksTheLeaderForItsCallers) {
  Elsewhere leader;
  backend_->SetLeaderCalls(&leader);
  consensus_.now = TestConsensus::kFollows;
  consensus_.now.removed = true;
  const auto read = NewGet();
  backend_->Start(read.get());
  const auto consistent = NewGet();
  consistent->request_to_fill().mutable_options()->set_consistency(
      query::v1::CONSISTENCY_CONSISTENT);
  backend_->Start(consistent.get());
  const auto write = NewPut("x");
  backend_->Start(write.get());
  EXPECT_EQ(leader.calls, (std::vector<Call*>{read.get(), consistent.get(), write.get()}));
  EXPECT_TRUE(consensus_.barriers.empty());
  EXPECT_TRUE(consensus_.proposed.empty());
  // What may be old is answered here, and what another server has passed on goes no further.
  const auto stale = NewGet();
  stale->request_to_fill().mutable_options()->set_consistency(query::v1::CONSISTENCY_STALE);
  backend_->Start(stale.get());
  EXPECT_EQ(stale->answer.entry().value(), "five");
  const auto passed_on = NewGet();
  passed_on->for_leader = true;
  backend_->Start(passed_on.get());
  EXPECT_EQ(Detail(passed_on->status).reason(), errors::v1::REASON_NO_LEADER);
}

TEST_F(LocalBackendTest, WithoutALeaderACallIsHeldThenFails) {
  consensus_.now = {};
  auto call = NewGet();
  backend_->Start(call.get());
  EXPECT_FALSE(call->done);
  executor_.RunUntil(call->done);
  EXPECT_EQ(Detail(call->status).reason(), errors::v1::REASON_NO_LEADER);
  EXPECT_EQ(call->status.message(), "No cluster leader");
}

TEST_F(LocalBackendTest, ACallThatWouldRatherNotWaitIsNotHeld) {
  consensus_.now = {};
  auto call = NewGet();
  call->hold = false;
  backend_->Start(call.get());
  EXPECT_TRUE(call->done);
  EXPECT_EQ(Detail(call->status).reason(), errors::v1::REASON_NO_LEADER);
}

TEST_F(LocalBackendTest, AServerThatStopsHoldsNothing) {
  LocalBackend::Options options;
  options.hold_timeout = 1h;
  LocalBackend stopping(options, &handlers_, &consensus_);
  consensus_.now = {};
  auto held = NewGet();
  stopping.Start(held.get());
  EXPECT_FALSE(held->done);
  stopping.StopHolding();
  executor_.RunUntil(held->done);
  EXPECT_EQ(Detail(held->status).reason(), errors::v1::REASON_NO_LEADER);
  auto late = NewGet();
  stopping.Start(late.get());
  EXPECT_TRUE(late->done);
  EXPECT_EQ(Detail(late->status).reason(), errors::v1::REASON_NO_LEADER);
}

TEST_F(LocalBackendTest, AHeldCallGoesOnWhenALeaderComes) {
  consensus_.now = {};
  auto call = NewGet();
  backend_->Start(call.get());
  consensus_.now = TestConsensus::kLeads;
  backend_->LeaderChanged();
  executor_.RunUntil(call->done);
  EXPECT_TRUE(call->status.ok());
  EXPECT_EQ(call->answer.entry().value(), "five");
}

TEST_F(LocalBackendTest, AWriteIsAnsweredWhenItIsApplied) {
  auto call = NewPut("v");
  backend_->Start(call.get());
  EXPECT_FALSE(call->done);
  ASSERT_EQ(consensus_.proposed, std::vector<std::string>{"v"});
  consensus_.completions[0](Applied{.index = 9, .changed = true});
  executor_.RunUntil(call->done);
  EXPECT_TRUE(call->answer.applied());
  EXPECT_EQ(call->answer.index(), 9);
}

TEST_F(LocalBackendTest, AWriteThatIsOnItsWayIsNotCancelled) {
  auto call = NewPut("v");
  backend_->Start(call.get());
  backend_->Cancel(call.get());
  EXPECT_FALSE(call->done);
  consensus_.completions[0](Applied{.index = 9, .changed = true});
  executor_.RunUntil(call->done);
  EXPECT_TRUE(call->status.ok()) << call->status;
  EXPECT_TRUE(call->answer.applied());
}

TEST_F(LocalBackendTest, AWriteThatIsNotValidIsNotProposed) {
  auto call = NewPut("v");
  call->request_to_fill().clear_key();
  backend_->Start(call.get());
  EXPECT_TRUE(call->done);
  EXPECT_EQ(Detail(call->status).reason(), errors::v1::REASON_MISSING_FIELD);
  EXPECT_TRUE(consensus_.proposed.empty());
}

TEST_F(LocalBackendTest, ValidityIsClearedByTheWriteThatChangesTheReply) {
  auto call = NewGet();
  call->want_validity = true;
  backend_->Start(call.get());
  ASSERT_NE(call->validity, nullptr);
  Publish(5, "five", "other");
  EXPECT_TRUE(call->validity->holds());
  Publish(6, "six");
  EXPECT_FALSE(call->validity->holds());
}

TEST_F(LocalBackendTest, AValidityThatNobodyHoldsIsNotWatched) {
  auto call = NewGet();
  call->want_validity = true;
  backend_->Start(call.get());
  EXPECT_EQ(source_.registry().waiter_count(), 1);
  call.reset();
  EXPECT_EQ(source_.registry().waiter_count(), 0);
}

// A reply refers to rows; making the answer anew must not clear them in the state.
TEST_F(LocalBackendTest, RowsOutliveTheRepliesThatReferToThem) {
  const auto version = source_.Load();
  auto call = NewGet();
  call->request_to_fill().mutable_options()->set_index(5);
  backend_->Start(call.get());
  EXPECT_EQ(static_cast<const OneKey&>(*version).row.value(), "five");
  backend_->Cancel(call.get());
}

}  // namespace
}  // namespace consul::rpc
