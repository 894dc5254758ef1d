// Goal: what the machinery does around handlers, each rule by name. Method: a source of one key
// whose index and value the test sets, a consensus that the test turns, an executor that runs when
// told.
#include "services/rpc/local_backend.h"

#include <google/protobuf/arena.h>
#include <gtest/gtest.h>

#include <optional>
#include <thread>

#include "consul/kv/v1/kv.pb.h"
#include "services/rpc/errors.h"
#include "services/rpc/task_queue.h"
#include "services/state/version_source.h"

namespace consul::rpc {
namespace {

using kv::v1::GetRequest;
using kv::v1::GetResponse;
using kv::v1::PutRequest;
using kv::v1::PutResponse;
using namespace std::chrono_literals;

constexpr state::MapId kMap{1};

// One key, "k", changed last at `index`.
class OneKey : public state::Versioned {
 public:
  OneKey(uint64_t index, std::string value) : index_(index) { row.set_value(std::move(value)); }
  uint64_t index() const override { return index_; }
  uint64_t IndexOf(const state::Slot& slot) const override {
    return slot.bytes == "k" ? index_ : 0;
  }
  kv::v1::KeyValue row;

 private:
  const uint64_t index_;
};

absl::Status ReadKey(const OneKey& version, const GetRequest& request, GetResponse* response,
                     state::WatchSet* watched) {
  watched->AddKey(kMap, request.key());
  if (request.key() == "bad") return Error(errors::v1::REASON_INVALID_FIELD, "bad key", "key");
  response->unsafe_arena_set_allocated_entry(const_cast<kv::v1::KeyValue*>(&version.row));
  return absl::OkStatus();
}

absl::Status PrepareKey(const PutRequest& request, std::string* command) {
  if (request.key().empty()) return Error(errors::v1::REASON_MISSING_FIELD, "Missing key name");
  *command = request.value();
  return absl::OkStatus();
}

void FinishKey(const Applied& applied, PutResponse* response) {
  response->set_applied(applied.changed);
  response->set_index(applied.index);
}

class TestConsensus : public Consensus {
 public:
  View view() const override { return now; }
  void Propose(std::string command,
               std::function<void(absl::StatusOr<Applied>)> done) override {
    proposed.push_back(std::move(command));
    completions.push_back(std::move(done));
  }
  void ReadBarrier(std::function<void(absl::Status)> done) override {
    barriers.push_back(std::move(done));
  }
  View now{.leads = true, .alone = true, .leader_known = true};
  std::vector<std::string> proposed;
  std::vector<std::function<void(absl::StatusOr<Applied>)>> completions;
  std::vector<std::function<void(absl::Status)>> barriers;
};

class TestExecutor : public Executor {
 public:
  void Post(Task* task) override { queue.Push(task); }
  // Runs until `done`, or for five seconds.
  void RunUntil(const bool& done) {
    const auto end = std::chrono::steady_clock::now() + 5s;
    while (!done && std::chrono::steady_clock::now() < end) {
      if (queue.RunAll() == 0) std::this_thread::yield();
    }
  }
  TaskQueue queue;
};

template <typename Request, typename Response>
class TestCall : public Call {
 public:
  TestCall(const Method& method, Executor* executor)
      : TestCall(method, executor, std::make_unique<google::protobuf::Arena>()) {}
  void Done() override {
    EXPECT_FALSE(done);
    done = true;
    // The response is valid here only.
    answer = static_cast<const Response&>(*response());
  }
  Request& request_to_fill() { return *request_; }
  uint64_t arena_bytes() const { return arena_->SpaceUsed(); }
  bool done = false;
  Response answer;

 private:
  TestCall(const Method& method, Executor* executor,
           std::unique_ptr<google::protobuf::Arena> arena)
      : TestCall(method, executor, google::protobuf::Arena::CreateMessage<Request>(arena.get()),
                 std::move(arena)) {}
  TestCall(const Method& method, Executor* executor, Request* request,
           std::unique_ptr<google::protobuf::Arena>&& arena)
      : Call(method, executor, request,
             google::protobuf::Arena::CreateMessage<Response>(arena.get())),
        arena_(std::move(arena)),
        request_(request) {}
  const std::unique_ptr<google::protobuf::Arena> arena_;
  Request* const request_;
};

using GetCall = TestCall<GetRequest, GetResponse>;
using PutCall = TestCall<PutRequest, PutResponse>;

const MethodTable& KvApi() {
  static const MethodTable* const table = [] {
    static const google::protobuf::ServiceDescriptor* const service =
        kv::v1::KeyValue::descriptor()->file()->service(0);
    return new MethodTable(std::span(&service, 1));
  }();
  return *table;
}

class LocalBackendTest : public testing::Test {
 protected:
  LocalBackendTest()
      : source_(std::make_unique<OneKey>(5, "five")), handlers_(KvApi()) {
    handlers_.Read("/consul.kv.v1.KvService/Get", &source_, &ReadKey);
    handlers_.Write<PutRequest, PutResponse>("/consul.kv.v1.KvService/Put", &PrepareKey,
                                             &FinishKey);
    for (const char* other : {"List", "ListKeys", "Delete", "DeleteTree"}) {
      handlers_.Take(std::string("/consul.kv.v1.KvService/") + other, [](Call* call) {
        call->status = absl::UnimplementedError("not in this test");
        call->Done();
      });
    }
    LocalBackend::Options options;
    options.datacenter = "dc1";
    options.hold_timeout = 50ms;
    backend_ = std::make_unique<LocalBackend>(options, &handlers_, &consensus_);
  }
  ~LocalBackendTest() override { backend_->Idle(); }

  std::unique_ptr<GetCall> NewGet(std::string key = "k") {
    auto call =
        std::make_unique<GetCall>(KvApi().Get("/consul.kv.v1.KvService/Get"), &executor_);
    call->request_to_fill().set_key(std::move(key));
    return call;
  }
  std::unique_ptr<PutCall> NewPut(std::string value) {
    auto call =
        std::make_unique<PutCall>(KvApi().Get("/consul.kv.v1.KvService/Put"), &executor_);
    call->request_to_fill().set_key("k");
    call->request_to_fill().set_value(std::move(value));
    return call;
  }
  void Publish(uint64_t index, std::string value, std::string_view touched = "k") {
    state::SlotList slots;
    slots.AddKey(kMap, touched);
    for (const auto& waiter :
         source_.Publish(std::make_unique<OneKey>(index, std::move(value)), slots)) {
      waiter->Fire();
    }
  }

  state::VersionSource source_;
  TestConsensus consensus_;
  TestExecutor executor_;
  Handlers handlers_;
  std::unique_ptr<LocalBackend> backend_;
};

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

TEST_F(LocalBackendTest, ASoleVoterAnswersAConsistentReadItself) {
  auto call = NewGet();
  call->request_to_fill().mutable_options()->set_consistency(query::v1::CONSISTENCY_CONSISTENT);
  backend_->Start(call.get());
  EXPECT_TRUE(call->done);
  EXPECT_TRUE(consensus_.barriers.empty());
  EXPECT_EQ(call->answer.meta().effective_consistency(), query::v1::CONSISTENCY_CONSISTENT);
}

TEST_F(LocalBackendTest, AStaleReadNeedsNoLeader) {
  consensus_.now = {.leads = false, .alone = false, .leader_known = false, .last_contact = 70ms};
  auto call = NewGet();
  call->request_to_fill().mutable_options()->set_consistency(query::v1::CONSISTENCY_STALE);
  backend_->Start(call.get());
  ASSERT_TRUE(call->done);
  EXPECT_FALSE(call->answer.meta().known_leader());
  EXPECT_EQ(call->answer.meta().last_contact().nanos(), 70'000'000);
}

TEST_F(LocalBackendTest, AStaleReadThatIsTooStaleAsksTheLeader) {
  consensus_.now = {.leads = false, .alone = false, .leader_known = true, .last_contact = 70ms};
  auto call = NewGet();
  auto* const options = call->request_to_fill().mutable_options();
  options->set_consistency(query::v1::CONSISTENCY_STALE);
  options->mutable_max_stale()->set_nanos(50'000'000);
  backend_->Start(call.get());
  EXPECT_FALSE(call->done);
  backend_->Cancel(call.get());
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
  consensus_.now = {.leads = true, .alone = true, .leader_known = true};
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
