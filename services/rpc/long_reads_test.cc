// Goal: lists that are too long for an event loop are looked up elsewhere, and answered as if they
// had been looked up here.
// Method: a source of as many rows as the test wants; off the test's own thread its handler waits
// at a gate, so that a look-up is under way for as long as the test wants.
#include "services/rpc/long_reads.h"

#include <gtest/gtest.h>

#include <thread>

#include "services/base/mutex.h"
#include "services/rpc/local_backend_fixture.h"
#include "services/rpc/test_caller.h"

namespace consul::rpc {
namespace {

using kv::v1::ListRequest;
using kv::v1::ListResponse;
using ListCall = TestCall<ListRequest, ListResponse>;

class ManyRows : public state::Versioned {
 public:
  ManyRows(uint64_t index, size_t count) : count(count), index_(index) {
    row.set_key("k");
    row.set_modify_index(index);
  }
  uint64_t index() const override { return index_; }
  uint64_t IndexOf(const state::Slot&) const override { return index_; }
  const size_t count;
  kv::v1::KeyValue row;

 private:
  const uint64_t index_;
};

// What look-ups elsewhere pass.
class Gate {
 public:
  void Pass() {
    base::MutexLock lock(&mutex_);
    ++came_;
    changed_.SignalAll();
    while (!open_) changed_.Wait(&mutex_);
    ++passed_;
    changed_.SignalAll();
  }
  void Set(bool open) {
    base::MutexLock lock(&mutex_);
    open_ = open;
    changed_.SignalAll();
  }
  // Waits until so many have come, from the beginning on.
  void AwaitCame(int count) {
    base::MutexLock lock(&mutex_);
    while (came_ < count) changed_.Wait(&mutex_);
  }
  // The same of those that have passed.
  void AwaitPassed(int count) {
    base::MutexLock lock(&mutex_);
    while (passed_ < count) changed_.Wait(&mutex_);
  }
  int came() {
    base::MutexLock lock(&mutex_);
    return came_;
  }

 private:
  base::Mutex mutex_;
  base::CondVar changed_;
  bool open_ GUARDED_BY(mutex_) = true;
  int came_ GUARDED_BY(mutex_) = 0;
  int passed_ GUARDED_BY(mutex_) = 0;
};
Gate* gate = nullptr;
std::thread::id loop;

absl::Status ListRows(const ManyRows& version, const ListRequest& request, ListResponse* response,
                      state::WatchSet* watched) {
  watched->AddPrefix(kMap, request.prefix());
  for (size_t i = 0; i < version.count && watched->NextRow(); ++i) {
    response->mutable_entries()->UnsafeArenaAddAllocated(
        const_cast<kv::v1::KeyValue*>(&version.row));
  }
  if (std::this_thread::get_id() == loop) return absl::OkStatus();
  gate->Pass();
  return request.prefix() == "bad" ? absl::InternalError("bad") : absl::OkStatus();
}

class LongReadsTest : public testing::Test {
 protected:
  LongReadsTest()
      : source_(std::make_unique<ManyRows>(5, kRowsAtOnce + 1)), handlers_(KvApi()) {
    gate = &gate_;
    loop = std::this_thread::get_id();
    handlers_.Read("/consul.kv.v1.KvService/List", &source_, &ListRows);
    for (const char* other : {"Get", "Put", "ListKeys", "Delete", "DeleteTree"}) {
      handlers_.Take(std::string("/consul.kv.v1.KvService/") + other,
                     [](Call* call) { call->Done(); });
    }
    LocalBackend::Options options;
    options.datacenter = "dc1";
    options.parked_max = 3;
    options.long_reads_max = 2;
    backend_ = std::make_unique<LocalBackend>(options, &handlers_, &consensus_);
  }
  ~LongReadsTest() override {
    gate_.Set(true);
    if (backend_ != nullptr) backend_->Idle();
  }

  // A list that waits for an index above `index`; 0: that does not wait.
  std::unique_ptr<ListCall> Start(uint64_t index = 0, std::string prefix = "") {
    auto call = New(index, std::move(prefix));
    backend_->Start(call.get());
    return call;
  }
  std::unique_ptr<ListCall> New(uint64_t index, std::string prefix = "") {
    auto call =
        std::make_unique<ListCall>(KvApi().Get("/consul.kv.v1.KvService/List"), &executor_);
    call->request_to_fill().set_prefix(std::move(prefix));
    if (index != 0) call->request_to_fill().mutable_options()->set_index(index);
    return call;
  }
  // Waits until a list that waits has been looked up, and is parked.
  void AwaitParked(size_t watches = 1) {
    EXPECT_TRUE(Eventually([&] {
      executor_.queue.RunAll();
      return source_.registry().waiter_count() == watches;
    }));
  }
  // Writes: those who wait for it are being looked up, and held by the gate.
  void HoldLookUpOf(uint64_t index) {
    gate_.Set(false);
    const int came = gate_.came();
    Publish(index);
    executor_.queue.RunAll();
    gate_.AwaitCame(came + 1);
  }
  // Starts as many lists as may be: all threads are held by the gate, and two wait for one.
  std::vector<std::unique_ptr<ListCall>> FillUp() {
    gate_.Set(false);
    const int came = gate_.came();
    std::vector<std::unique_ptr<ListCall>> calls;
    for (size_t i = 1; i <= LongReads::ThreadCount(); ++i) {
      calls.push_back(Start());
      gate_.AwaitCame(came + static_cast<int>(i));
    }
    for (int i = 0; i < 2; ++i) calls.push_back(Start());
    return calls;
  }
  void Publish(uint64_t index, size_t count = kRowsAtOnce + 1) {
    state::SlotList slots;
    slots.AddKey(kMap, "k");
    for (const auto& waiter : source_.Publish(std::make_unique<ManyRows>(index, count), slots)) {
      waiter->Fire();
    }
  }

  Gate gate_;
  state::VersionSource source_;
  TestConsensus consensus_;
  TestExecutor executor_;
  Handlers handlers_;
  std::unique_ptr<LocalBackend> backend_;
};

TEST_F(LongReadsTest, AsManyRowsAsMayBeAreLookedUpAtOnce) {
  Publish(6, kRowsAtOnce);
  const auto call = Start();
  ASSERT_TRUE(call->done);
  EXPECT_EQ(call->answer.entries_size(), kRowsAtOnce);
  EXPECT_EQ(gate_.came(), 0);
}

TEST_F(LongReadsTest, OneRowMoreIsLookedUpElsewhereWhileOthersAreServed) {
  gate_.Set(false);
  auto call = New(0);
  call->want_validity = true;
  Rows rows;
  call->when_done = [&] { rows = *call->rows; };
  backend_->Start(call.get());
  gate_.AwaitCame(1);
  EXPECT_FALSE(call->done);
  GetCall other(KvApi().Get("/consul.kv.v1.KvService/Get"), &executor_);
  backend_->Start(&other);
  EXPECT_TRUE(other.done);
  gate_.Set(true);
  executor_.RunUntil(call->done);
  ASSERT_TRUE(call->done);
  EXPECT_TRUE(call->status.ok()) << call->status;
  EXPECT_EQ(call->answer.entries_size(), kRowsAtOnce + 1);
  EXPECT_EQ(call->answer.meta().index(), 5);
  EXPECT_TRUE(call->answer.meta().known_leader());
  EXPECT_EQ(call->shared_answer, 0);
  EXPECT_EQ(rows->index(), 5);
  EXPECT_EQ(gate_.came(), 1);
  // It is kept for as long as it is right.
  ASSERT_NE(call->validity, nullptr);
  EXPECT_TRUE(call->validity->holds());
  Publish(6);
  EXPECT_FALSE(call->validity->holds());
}

TEST_F(LongReadsTest, TheErrorOfALookUpElsewhereIsTheCalls) {
  const auto call = Start(0, "bad");
  executor_.RunUntil(call->done);
  EXPECT_EQ(call->status, absl::InternalError("bad"));
}

TEST_F(LongReadsTest, WhoIsCancelledWhileItIsLookedUpIsToldOnce) {
  gate_.Set(false);
  auto call = Start();
  auto behind = Start();
  gate_.AwaitCame(1);
  for (auto* const each : {&call, &behind}) {
    backend_->Cancel(each->get());
    EXPECT_TRUE((*each)->done);
    EXPECT_EQ((*each)->status.code(), absl::StatusCode::kCancelled);
    each->reset();
  }
  gate_.Set(true);
  backend_->Idle();
  backend_.reset();
  EXPECT_EQ(executor_.queue.RunAll(), 0);
}

TEST_F(LongReadsTest, AnAnswerOutlivesItsCallAndTheBackend) {
  auto call = Start();
  Rows rows;
  const google::protobuf::Message* response = nullptr;
  call->when_done = [&] {
    rows = *call->rows;
    response = call->response();
  };
  executor_.RunUntil(call->done);
  call.reset();
  Publish(6);
  backend_->Idle();
  backend_.reset();
  EXPECT_EQ(static_cast<const ListResponse*>(response)->entries(kRowsAtOnce).modify_index(), 5);
  rows.reset();
}

TEST_F(LongReadsTest, AListThatWaitsIsParkedOnceItIsLookedUp) {
  const auto call = Start(5);
  AwaitParked();
  EXPECT_FALSE(call->done);
  // Who asks the same needs no look-up.
  const auto beside = Start(5);
  EXPECT_EQ(gate_.came(), 1);
  Publish(6);
  executor_.RunUntil(call->done);
  for (const auto* each : {&call, &beside}) {
    ASSERT_TRUE((*each)->done);
    EXPECT_EQ((*each)->answer.meta().index(), 6);
    EXPECT_EQ((*each)->answer.entries_size(), kRowsAtOnce + 1);
  }
  EXPECT_EQ(call->given, beside->given);
  EXPECT_EQ(gate_.came(), 2);
  EXPECT_EQ(source_.registry().waiter_count(), 0);
}

TEST_F(LongReadsTest, AWriteBetweenTheLookUpAndTheWatchIsSeen) {
  gate_.Set(false);
  const auto call = Start(5);
  gate_.AwaitCame(1);
  Publish(6);
  gate_.Set(true);
  executor_.RunUntil(call->done);
  EXPECT_EQ(call->answer.meta().index(), 6);
}

TEST_F(LongReadsTest, AWriteWhileAGroupIsLookedUpIsNotMissed) {
  const auto call = Start(5);
  AwaitParked();
  HoldLookUpOf(6);
  // It would wait for the group's next news; the group does not watch just now.
  const auto late = Start(6);
  EXPECT_FALSE(late->done);
  Publish(7);
  gate_.Set(true);
  executor_.RunUntil(call->done);
  EXPECT_EQ(call->answer.meta().index(), 6);
  executor_.RunUntil(late->done);
  EXPECT_EQ(late->answer.meta().index(), 7);
}

TEST_F(LongReadsTest, WhoseTimeIsOverMeanwhileIsAnsweredWithTheRest) {
  const auto rest = Start(5);
  AwaitParked();
  auto call = New(5);
  call->request_to_fill().mutable_options()->mutable_wait()->set_nanos(300'000'000);
  backend_->Start(call.get());
  HoldLookUpOf(6);
  EXPECT_TRUE(Eventually([&] { return executor_.queue.RunAll() > 0; }));  // its time is over
  EXPECT_FALSE(call->done);
  gate_.Set(true);
  executor_.RunUntil(call->done);
  EXPECT_EQ(call->answer.meta().index(), 6);
  EXPECT_TRUE(rest->done);
}

// What is looked up may be older than what a late comer has seen, and he must not see it.
TEST_F(LongReadsTest, WhoComesWhileAGroupIsLookedUpIsNotAnsweredByThat) {
  const auto call = Start(5);
  AwaitParked();
  HoldLookUpOf(6);
  Publish(7, 1);
  auto late = New(7);
  late->request_to_fill().mutable_options()->mutable_wait()->set_nanos(1'000'000);
  backend_->Start(late.get());
  EXPECT_FALSE(late->done);
  EXPECT_TRUE(Eventually([&] { return executor_.queue.RunAll() > 0; }));  // its time is over
  gate_.Set(true);
  executor_.RunUntil(late->done);
  EXPECT_EQ(late->answer.meta().index(), 7);
  EXPECT_EQ(late->answer.entries_size(), 1);
  ASSERT_TRUE(call->done);
  EXPECT_EQ(call->answer.meta().index(), 6);
}

TEST_F(LongReadsTest, AGroupThatAllHaveLeftForgetsItsLookUp) {
  auto call = Start(5);
  AwaitParked();
  auto beside = Start(5);
  HoldLookUpOf(6);
  for (auto* const each : {&call, &beside}) {
    backend_->Cancel(each->get());
    each->reset();
  }
  gate_.Set(true);
  backend_->Idle();
  backend_.reset();
  EXPECT_EQ(executor_.queue.RunAll(), 0);
  EXPECT_EQ(source_.registry().waiter_count(), 0);
}

TEST_F(LongReadsTest, NoMoreThanSoManyWaitForAThread) {
  const auto calls = FillUp();
  const auto over = Start();
  const auto blocked = Start(5);
  for (const auto* each : {&over, &blocked}) {
    ASSERT_TRUE((*each)->done);
    EXPECT_EQ(Detail((*each)->status).reason(), errors::v1::REASON_OVERLOADED);
    EXPECT_EQ((*each)->status.message(),
              "2 long lists wait to be looked up already, the most there may be");
  }
  gate_.Set(true);
  for (const auto& call : calls) {
    executor_.RunUntil(call->done);
    EXPECT_TRUE(call->status.ok()) << call->status;
  }
  const auto next = Start();
  executor_.RunUntil(next->done);
  EXPECT_TRUE(next->status.ok()) << next->status;
}

// What it waited for came while it was looked up: it has had its turn.
TEST_F(LongReadsTest, AListWhoseAnswerHasChangedMeanwhileIsLookedUpAgainHoweverManyWait) {
  gate_.Set(false);
  const auto blocked = Start(5);
  gate_.AwaitCame(1);
  Publish(6);
  gate_.Set(true);
  gate_.AwaitPassed(1);
  const auto calls = FillUp();
  executor_.queue.RunAll();
  EXPECT_FALSE(blocked->done) << blocked->status;
  gate_.Set(true);
  executor_.RunUntil(blocked->done);
  EXPECT_TRUE(blocked->status.ok()) << blocked->status;
  EXPECT_EQ(blocked->answer.meta().index(), 6);
  for (const auto& call : calls) executor_.RunUntil(call->done);
}

TEST_F(LongReadsTest, AListThatIsParkedIsLookedUpHoweverManyWait) {
  const auto parked = Start(5);
  AwaitParked();
  const auto calls = FillUp();
  Publish(6);
  executor_.queue.RunAll();
  EXPECT_FALSE(parked->done);
  gate_.Set(true);
  executor_.RunUntil(parked->done);
  EXPECT_TRUE(parked->status.ok()) << parked->status;
  EXPECT_EQ(parked->answer.meta().index(), 6);
  for (const auto& call : calls) executor_.RunUntil(call->done);
}

TEST_F(LongReadsTest, AListThatMayNotWaitIsRefused) {
  std::vector<std::unique_ptr<ListCall>> calls;
  for (size_t i = 1; i <= 3; ++i) {
    calls.push_back(Start(5, std::string(i, 'p')));
    AwaitParked(i);
  }
  const auto over = Start(5, "other");
  executor_.RunUntil(over->done);
  EXPECT_EQ(Detail(over->status).reason(), errors::v1::REASON_OVERLOADED);
  for (const auto& call : calls) backend_->Cancel(call.get());
}

}  // namespace
}  // namespace consul::rpc
