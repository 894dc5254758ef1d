// Goal: reads that wait for the same wait together, and each is still answered as if it were alone.
// Method: the fixture's one key; the handler counts how often it runs, the executor's queue how
// often a group is woken.
#include "services/rpc/parked_reads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>

#include "services/rpc/local_backend_fixture.h"

namespace consul::rpc {
namespace {

using Calls = std::vector<std::unique_ptr<GetCall>>;

class ParkedReadsTest : public LocalBackendTest {
 protected:
  ParkedReadsTest() { reads = 0; }

  // Starts a read that waits for an index above `index`.
  GetCall* Wait(Calls* calls, uint64_t index, std::string key = "k") {
    return Start(calls, NewWaiting(index, std::move(key)));
  }
  std::unique_ptr<GetCall> NewWaiting(uint64_t index, std::string key = "k") {
    auto call = NewGet(std::move(key));
    call->request_to_fill().mutable_options()->set_index(index);
    return call;
  }
  GetCall* Start(Calls* calls, std::unique_ptr<GetCall> call) {
    calls->push_back(std::move(call));
    backend_->Start(calls->back().get());
    return calls->back().get();
  }
  void CancelAll(const Calls& calls) {
    for (const auto& call : calls) {
      if (!call->done) backend_->Cancel(call.get());
    }
  }
  size_t watches() { return source_.registry().waiter_count(); }
};

TEST_F(ParkedReadsTest, ManyWhoAskTheSameAreOneWatchOneWakeAndOneEvaluation) {
  Calls calls;
  for (int i = 0; i < 1000; ++i) Wait(&calls, 5);
  EXPECT_EQ(reads, 1);  // of the first; that nothing has moved since is known
  EXPECT_EQ(watches(), 1);
  Publish(6, "six");
  EXPECT_EQ(executor_.queue.RunAll(), 1);
  EXPECT_EQ(reads, 2);
  std::set<const void*> responses;
  std::set<uint64_t> answers;
  for (const auto& call : calls) {
    ASSERT_TRUE(call->done);
    EXPECT_EQ(call->answer.entry().value(), "six");
    EXPECT_EQ(call->answer.meta().index(), 6);
    responses.insert(call->given);
    answers.insert(call->shared_answer);
  }
  EXPECT_EQ(responses.size(), 1);
  EXPECT_EQ(answers.size(), 1);
  EXPECT_FALSE(answers.contains(0));
  EXPECT_EQ(watches(), 0);
}

TEST_F(ParkedReadsTest, TheyAreAnsweredInTheOrderInWhichTheyCame) {
  Calls calls;
  std::vector<const void*> order;
  for (int i = 0; i < 5; ++i) {
    GetCall* const call = Wait(&calls, 5);
    call->when_done = [&order, call] { order.push_back(call); };
  }
  Publish(6, "six");
  executor_.queue.RunAll();
  ASSERT_EQ(order.size(), 5);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(order[i], calls[i].get());
}

TEST_F(ParkedReadsTest, ALoneReadSharesNothing) {
  Calls calls;
  Wait(&calls, 5);
  Publish(6, "six");
  executor_.queue.RunAll();
  ASSERT_TRUE(calls[0]->done);
  EXPECT_EQ(calls[0]->shared_answer, 0);
}

TEST_F(ParkedReadsTest, TwoAnswersHaveTwoNumbers) {
  Calls calls;
  Wait(&calls, 5);
  Wait(&calls, 5);
  Publish(6, "six");
  executor_.queue.RunAll();
  Wait(&calls, 6);
  Wait(&calls, 6);
  Publish(7, "seven");
  executor_.queue.RunAll();
  EXPECT_NE(calls[0]->shared_answer, 0);
  EXPECT_NE(calls[2]->shared_answer, 0);
  EXPECT_NE(calls[0]->shared_answer, calls[2]->shared_answer);
  EXPECT_EQ(calls[2]->answer.entry().value(), "seven");
}

TEST_F(ParkedReadsTest, EachIsAnsweredByItsOwnIndex) {
  Calls calls;
  GetCall* const near = Wait(&calls, 5);
  GetCall* const far = Wait(&calls, 8);
  EXPECT_EQ(watches(), 1);
  Publish(7, "seven");
  EXPECT_EQ(executor_.queue.RunAll(), 1);
  EXPECT_TRUE(near->done);
  EXPECT_FALSE(far->done);
  EXPECT_EQ(watches(), 1);  // the group waits on for the other
  Publish(8, "eight");
  executor_.queue.RunAll();
  EXPECT_FALSE(far->done);
  Publish(9, "nine");
  executor_.queue.RunAll();
  ASSERT_TRUE(far->done);
  EXPECT_EQ(far->answer.entry().value(), "nine");
}

TEST_F(ParkedReadsTest, AReadBehindTheGroupIsAnsweredAtOnce) {
  Calls calls;
  GetCall* const waits = Wait(&calls, 5);
  GetCall* const late = Wait(&calls, 4);
  EXPECT_TRUE(late->done);
  EXPECT_EQ(late->shared_answer, 0);
  EXPECT_FALSE(waits->done);
  CancelAll(calls);
}

// The group was told of the write and has not run yet: the write may be acknowledged.
TEST_F(ParkedReadsTest, AReadThatComesAfterTheWriteDoesNotJoinUnseen) {
  Calls calls;
  Wait(&calls, 5);
  Publish(6, "six");
  GetCall* const late = Wait(&calls, 5);
  EXPECT_TRUE(late->done);
  EXPECT_EQ(late->answer.meta().index(), 6);
  GetCall* const next = Wait(&calls, 6);
  EXPECT_FALSE(next->done);
  executor_.queue.RunAll();
  EXPECT_TRUE(calls[0]->done);
  EXPECT_FALSE(next->done);
  Publish(7, "seven");
  executor_.queue.RunAll();
  ASSERT_TRUE(next->done);
  EXPECT_EQ(next->answer.meta().index(), 7);
}

TEST_F(ParkedReadsTest, AskingForSomethingElsePartsThem) {
  Calls calls;
  Wait(&calls, 5);
  Wait(&calls, 5, "absent");
  auto consistent = NewWaiting(5);
  consistent->request_to_fill().mutable_options()->set_consistency(
      query::v1::CONSISTENCY_CONSISTENT);
  Start(&calls, std::move(consistent));
  auto stale = NewWaiting(5);
  stale->request_to_fill().mutable_options()->set_consistency(query::v1::CONSISTENCY_STALE);
  Start(&calls, std::move(stale));
  auto other = NewWaiting(5);
  other->token = "secret";
  Start(&calls, std::move(other));
  TestExecutor executor;
  auto elsewhere = std::make_unique<GetCall>(KvApi().Get("/consul.kv.v1.KvService/Get"), &executor);
  elsewhere->request_to_fill().set_key("k");
  elsewhere->request_to_fill().mutable_options()->set_index(5);
  Start(&calls, std::move(elsewhere));
  EXPECT_EQ(watches(), 6);
  Publish(6, "six");
  executor_.queue.RunAll();
  executor.queue.RunAll();
  EXPECT_FALSE(calls[1]->done);
  EXPECT_EQ(calls[0]->answer.meta().effective_consistency(), query::v1::CONSISTENCY_DEFAULT);
  EXPECT_EQ(calls[2]->answer.meta().effective_consistency(), query::v1::CONSISTENCY_CONSISTENT);
  EXPECT_EQ(calls[3]->answer.meta().effective_consistency(), query::v1::CONSISTENCY_STALE);
  EXPECT_TRUE(calls[4]->done);
  EXPECT_TRUE(calls[5]->done);
  CancelAll(calls);
}

// The options are told from the rest of the request however long they are.
TEST_F(ParkedReadsTest, LongOptionsDoNotHideTheRequest) {
  Calls calls;
  const std::string datacenter = "dc1";
  for (const char* key : {"k", "absent", "k"}) {
    auto call = NewWaiting(uint64_t{1} << 60, key);
    auto* const options = call->request_to_fill().mutable_options();
    options->set_datacenter(datacenter);
    options->mutable_wait()->set_seconds(300);
    // Unknown to this version, and so not understood to be the same.
    options->GetReflection()->MutableUnknownFields(options)->AddLengthDelimited(
        100, std::string(200, 'x'));
    Start(&calls, std::move(call));
  }
  EXPECT_EQ(watches(), 2);
  EXPECT_EQ(reads, 2);
  CancelAll(calls);
  EXPECT_EQ(watches(), 0);
}

TEST_F(ParkedReadsTest, EachEndsWithItsOwnTime) {
  Calls calls;
  GetCall* const patient = Wait(&calls, 99);
  auto brief = NewWaiting(99);
  brief->request_to_fill().mutable_options()->mutable_wait()->set_nanos(20'000'000);
  GetCall* const impatient = Start(&calls, std::move(brief));
  EXPECT_EQ(watches(), 1);
  executor_.RunUntil(impatient->done);
  EXPECT_TRUE(impatient->status.ok());
  EXPECT_EQ(impatient->answer.meta().index(), 5);
  EXPECT_FALSE(patient->done);
  Publish(100, "hundred");
  executor_.queue.RunAll();
  EXPECT_TRUE(patient->done);
}

TEST_F(ParkedReadsTest, CancelOfOneLeavesTheOthers) {
  Calls calls;
  for (int i = 0; i < 3; ++i) Wait(&calls, 5);
  backend_->Cancel(calls[1].get());
  EXPECT_EQ(calls[1]->status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(watches(), 1);
  Publish(6, "six");
  executor_.queue.RunAll();
  EXPECT_EQ(calls[0]->answer.entry().value(), "six");
  EXPECT_EQ(calls[2]->answer.entry().value(), "six");
}

TEST_F(ParkedReadsTest, TheLastCancelEndsTheGroup) {
  Calls calls;
  for (int i = 0; i < 3; ++i) Wait(&calls, 5);
  CancelAll(calls);
  EXPECT_EQ(watches(), 0);
  reads = 0;
  Wait(&calls, 5);
  EXPECT_EQ(reads, 1);  // nobody knew any more that nothing has moved
  CancelAll(calls);
}

TEST_F(ParkedReadsTest, AMemberMayBeCancelledWhileTheOthersAreAnswered) {
  Calls calls;
  for (int i = 0; i < 3; ++i) Wait(&calls, 5);
  calls[0]->when_done = [&] { backend_->Cancel(calls[2].get()); };
  Publish(6, "six");
  executor_.queue.RunAll();
  EXPECT_TRUE(calls[0]->status.ok());
  EXPECT_TRUE(calls[1]->status.ok());
  EXPECT_EQ(calls[2]->status.code(), absl::StatusCode::kCancelled);
}

// A client asks again inside the answer of its last question.
TEST_F(ParkedReadsTest, WhoAsksAgainWhileTheOthersAreAnsweredWaitsForTheNextWrite) {
  Calls calls;
  Calls again;
  for (int i = 0; i < 3; ++i) {
    Wait(&calls, 5)->when_done = [&] { Wait(&again, 6); };
  }
  Publish(6, "six");
  EXPECT_EQ(executor_.queue.RunAll(), 1);
  ASSERT_EQ(again.size(), 3);
  EXPECT_EQ(watches(), 1);
  for (const auto& call : again) EXPECT_FALSE(call->done);
  Publish(7, "seven");
  EXPECT_EQ(executor_.queue.RunAll(), 1);
  for (const auto& call : again) EXPECT_EQ(call->answer.entry().value(), "seven");
}

TEST_F(ParkedReadsTest, AVainWakeIsOneEvaluationForAll) {
  Calls calls;
  for (int i = 0; i < 100; ++i) Wait(&calls, 1'000'000);
  for (uint64_t index = 6; index < 20; ++index) {
    reads = 0;
    Publish(index, "value");
    EXPECT_EQ(executor_.queue.RunAll(), 1);
    EXPECT_EQ(reads, 1);
    EXPECT_EQ(watches(), 1);
  }
  Publish(1'000'001, "last");
  executor_.queue.RunAll();
  for (const auto& call : calls) EXPECT_EQ(call->answer.entry().value(), "last");
}

TEST_F(ParkedReadsTest, AnErrorIsEverybodys) {
  Calls calls;
  for (int i = 0; i < 3; ++i) Wait(&calls, 5, "turns-bad");
  Publish(6, "bad", "turns-bad");
  executor_.queue.RunAll();
  for (const auto& call : calls) {
    ASSERT_TRUE(call->done);
    EXPECT_EQ(Detail(call->status).reason(), errors::v1::REASON_INVALID_FIELD);
  }
  EXPECT_EQ(watches(), 0);
}

TEST_F(ParkedReadsTest, EachValidityIsItsCallersOwn) {
  Calls calls;
  for (const bool wanted : {true, false, true}) {
    auto call = NewWaiting(5);
    call->want_validity = wanted;
    Start(&calls, std::move(call));
  }
  Publish(6, "six");
  executor_.queue.RunAll();
  ASSERT_NE(calls[0]->validity, nullptr);
  EXPECT_EQ(calls[1]->validity, nullptr);
  ASSERT_NE(calls[2]->validity, nullptr);
  calls[0].reset();
  EXPECT_TRUE(calls[2]->validity->holds());
  Publish(7, "seven");
  EXPECT_FALSE(calls[2]->validity->holds());
}

// A face that is still writing a large reply holds on to it by what it copied from `rows`.
TEST_F(ParkedReadsTest, ASharedResponseLivesAsLongAsItsRowsAreHeld) {
  Calls calls;
  Rows held;
  const GetResponse* response = nullptr;
  for (int i = 0; i < 2; ++i) {
    GetCall* const call = Wait(&calls, 5);
    call->when_done = [&held, &response, call] {
      held = *call->rows;
      response = static_cast<const GetResponse*>(call->response());
    };
  }
  Publish(6, "six");
  executor_.queue.RunAll();
  Publish(7, "seven");
  calls.clear();
  backend_->Idle();
  EXPECT_EQ(response->entry().value(), "six");
}

TEST_F(ParkedReadsTest, MembersCountAgainstTheLimitOneByOne) {
  LocalBackend::Options options;
  options.parked_max = 3;
  LocalBackend small(options, &handlers_, &consensus_);
  Calls calls;
  for (int i = 0; i < 4; ++i) {
    calls.push_back(NewWaiting(5));
    small.Start(calls.back().get());
  }
  EXPECT_FALSE(calls[2]->done);
  EXPECT_EQ(Detail(calls[3]->status).reason(), errors::v1::REASON_OVERLOADED);
  for (int i = 0; i < 3; ++i) small.Cancel(calls[static_cast<size_t>(i)].get());
}

// Two loops park, are woken by a writer and ask again with what they were told, until all have seen
// the last write: nobody misses one.
TEST_F(ParkedReadsTest, NobodyMissesAWriteWhileOthersWriteAndTimeOut) {
  constexpr uint64_t kLast = 400;
  constexpr int kClients = 20;
  std::atomic<int> running{2};
  const auto loop = [&] {
    TestExecutor executor;
    std::vector<std::unique_ptr<GetCall>> calls(kClients);
    std::vector<uint64_t> seen(kClients, 1);
    int left = kClients;
    while (left > 0) {
      for (size_t i = 0; i < kClients; ++i) {
        if (calls[i] != nullptr && !calls[i]->done) continue;
        if (calls[i] != nullptr) {
          const uint64_t index = calls[i]->answer.meta().index();
          ASSERT_GE(index, seen[i]);
          seen[i] = index;
          calls[i].reset();
          if (index == kLast) --left;
        }
        if (seen[i] == kLast) continue;
        calls[i] = std::make_unique<GetCall>(KvApi().Get("/consul.kv.v1.KvService/Get"), &executor);
        calls[i]->request_to_fill().set_key("k");
        auto* const asked = calls[i]->request_to_fill().mutable_options();
        asked->set_index(seen[i]);
        if (i % 4 == 0) asked->mutable_wait()->set_nanos(1'000'000);
        backend_->Start(calls[i].get());
      }
      if (executor.queue.RunAll() == 0) std::this_thread::yield();
    }
    backend_->Idle();
    --running;
  };
  std::thread first(loop);
  std::thread second(loop);
  for (uint64_t index = 6; index <= kLast; ++index) {
    Publish(index, "value");
    std::this_thread::yield();
  }
  first.join();
  second.join();
  EXPECT_EQ(running, 0);
}

}  // namespace
}  // namespace consul::rpc
