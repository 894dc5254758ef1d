// Goal: what an agent answers of events: its own list, the wait for another one, and what is
// refused before anybody is told. Method: a list and a teller made by hand, a queue that the test
// runs.
#include "services/api/event_handlers.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "services/api/test_call.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"

namespace consul::api {
namespace {

using event::v1::Event;
using event::v1::FireRequest;
using event::v1::FireResponse;
using event::v1::ListRequest;
using event::v1::ListResponse;
using namespace std::chrono_literals;

template <typename Request, typename Response>
class EventCall : public TestCall<Request, Response> {
 public:
  EventCall(const std::string& method, rpc::Executor* executor, const Request& request)
      : TestCall<Request, Response>("consul.event.v1.EventService/" + method, executor) {
    this->request_to_fill() = request;
  }
  std::string error() const {
    return base::StrCat(errors::v1::Reason_Name(rpc::Detail(this->status).reason()), ": ",
                        base::ToStd(this->status.message()));
  }
};

// Numbered events, with ids that hash to their numbers.
Event Numbered(int number, const std::string& name = "deploy") {
  Event event;
  char id[37];
  std::snprintf(id, sizeof(id), "00000000-0000-0000-0000-%012x", number);
  event.set_id(id);
  event.set_name(name);
  return event;
}

class EventHandlersTest : public testing::Test {
 protected:
  using ListCall = EventCall<ListRequest, ListResponse>;
  using FireCall = EventCall<FireRequest, FireResponse>;

  EventHandlersTest() {
    view_.datacenter = "dc1";
    view_.heard = &list_;
    view_.tell = [this](const Event& event, std::function<void(absl::Status)> done) {
      told_.push_back(event);
      done(tell_status_);
    };
    handlers_ = std::make_unique<rpc::Handlers>(rpc::PublicApi());
    RegisterEvents(&view_, handlers_.get());
  }

  template <typename Call>
  void Start(Call* call) {
    std::get<rpc::CallHandler>(handlers_->Of(call->method())).start(call);
    executor_.RunAll();
  }
  std::unique_ptr<ListCall> List(uint64_t index = 0, const std::string& name = "",
                                 std::chrono::milliseconds wait = 0ms) {
    ListRequest request;
    request.set_name(name);
    request.mutable_options()->set_index(index);
    request.mutable_options()->mutable_wait()->set_nanos(static_cast<int>(wait.count()) *
                                                         1'000'000);
    auto call = std::make_unique<ListCall>("List", &executor_, request);
    Start(call.get());
    return call;
  }
  std::unique_ptr<FireCall> Fire(const FireRequest& request) {
    auto call = std::make_unique<FireCall>("Fire", &executor_, request);
    Start(call.get());
    return call;
  }
  static FireRequest Deploy() {
    FireRequest request;
    request.set_name("deploy");
    return request;
  }

  EventList list_{5min, 10min};
  EventView view_;
  absl::Status tell_status_;
  std::vector<Event> told_;
  TestExecutor executor_;
  std::unique_ptr<rpc::Handlers> handlers_;
};

TEST_F(EventHandlersTest, AnEmptyListHasIndexOne) {
  const auto call = List();
  EXPECT_EQ(call->done, 1);
  EXPECT_EQ(call->answer().meta().index(), 1u);
  EXPECT_EQ(call->answer().events_size(), 0);
}

TEST_F(EventHandlersTest, TheIndexIsTheTwoHalvesOfTheNewestId) {
  Event event = Numbered(0);
  event.set_id("bbddc1f3-69ee-ba5b-ab55-7cfab77841cc");
  list_.Add(event);
  EXPECT_EQ(List()->answer().meta().index(), 0xbbddc1f369eeba5bull ^ 0xab557cfab77841ccull);
}

TEST_F(EventHandlersTest, TheNewestOfANameCountsForItsList) {
  list_.Add(Numbered(10, "a"));
  list_.Add(Numbered(11, "b"));
  list_.Add(Numbered(12, "a"));
  EXPECT_EQ(List()->answer().meta().index(), 12u);
  const auto of_b = List(0, "b");
  EXPECT_EQ(of_b->answer().meta().index(), 11u);
  EXPECT_EQ(of_b->answer().events_size(), 1);
  EXPECT_EQ(List(0, "none")->answer().meta().index(), 1u);
}

TEST_F(EventHandlersTest, TheOldestGoWhenThereAreTooMany) {
  for (int i = 0; i < 300; ++i) list_.Add(Numbered(1000 + i));
  const auto call = List();
  ASSERT_EQ(call->answer().events_size(), 256);
  EXPECT_EQ(call->answer().events(0).id(), Numbered(1044).id());
  EXPECT_EQ(call->answer().events(255).id(), Numbered(1299).id());
}

TEST_F(EventHandlersTest, WhoGivesTheIndexWaitsForAnotherOne) {
  list_.Add(Numbered(10));
  const auto call = List(10);
  EXPECT_EQ(call->done, 0);
  list_.Add(Numbered(9));  // a smaller index is another one, too
  executor_.RunAll();
  EXPECT_EQ(call->done, 1);
  EXPECT_EQ(call->answer().meta().index(), 9u);
  EXPECT_EQ(call->answer().events_size(), 2);
}

TEST_F(EventHandlersTest, AnotherIndexIsAnsweredAtOnce) {
  list_.Add(Numbered(10));
  EXPECT_EQ(List(9)->done, 1);
  EXPECT_EQ(List(11)->done, 1);
}

TEST_F(EventHandlersTest, AnEventOfAnotherNameDoesNotEndAWait) {
  list_.Add(Numbered(10, "a"));
  const auto call = List(10, "a");
  list_.Add(Numbered(11, "b"));
  executor_.RunAll();
  EXPECT_EQ(call->done, 0);
  list_.Add(Numbered(12, "a"));
  executor_.RunAll();
  EXPECT_EQ(call->done, 1);
  EXPECT_EQ(call->answer().meta().index(), 12u);
}

TEST_F(EventHandlersTest, AWaitEndsWithTheListAsItIs) {
  list_.Add(Numbered(10));
  const auto call = List(10, "", 1ms);
  while (call->done == 0) {
    std::this_thread::yield();
    executor_.RunAll();
  }
  EXPECT_TRUE(call->status.ok());
  EXPECT_EQ(call->answer().meta().index(), 10u);
  EXPECT_EQ(call->answer().events_size(), 1);
}

TEST_F(EventHandlersTest, AWaitThatIsCancelledIsForgotten) {
  const auto call = List(1);
  EXPECT_EQ(call->done, 0);
  call->waiting->Cancel();
  EXPECT_EQ(call->done, 1);
  EXPECT_TRUE(absl::IsCancelled(call->status));
  list_.Add(Numbered(10));
  executor_.RunAll();
  EXPECT_EQ(call->done, 1);
}

TEST_F(EventHandlersTest, SoManyMayWaitAndNoMore) {
  std::vector<std::unique_ptr<ListCall>> calls;
  for (size_t i = 0; i < EventList::kWaitingMax; ++i) calls.push_back(List(1));
  const auto call = List(1);
  EXPECT_EQ(call->done, 1);
  EXPECT_EQ(call->error(),
            "REASON_OVERLOADED: 10000 calls wait for events already, the most there may be");
  list_.Add(Numbered(10));
  executor_.RunAll();
  for (const auto& each : calls) EXPECT_EQ(each->done, 1);
}

TEST_F(EventHandlersTest, FiringAnswersWithTheEventAsItWasSent) {
  FireRequest request = Deploy();
  request.set_payload("now");
  request.set_node_filter("^web");
  request.set_service_filter("web");
  request.set_tag_filter("v1");
  request.set_datacenter("dc1");
  const auto call = Fire(request);
  ASSERT_TRUE(call->status.ok());
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(call->answer().event().SerializeAsString(), told_[0].SerializeAsString());
  EXPECT_EQ(told_[0].id().size(), 36u);
  EXPECT_EQ(told_[0].payload(), "now");
  EXPECT_EQ(told_[0].version(), 1u);
  EXPECT_EQ(told_[0].l_time(), 0u);
}

TEST_F(EventHandlersTest, WhatIsWrongIsToldToNobody) {
  FireRequest other = Deploy();
  other.set_datacenter("dc2");
  EXPECT_EQ(Fire(other)->error(), "REASON_NO_PATH_TO_DATACENTER: No path to datacenter");
  EXPECT_EQ(Fire(FireRequest())->error(), "REASON_MISSING_FIELD: Missing name");
  FireRequest tag = Deploy();
  tag.set_tag_filter("t");
  EXPECT_EQ(Fire(tag)->error(),
            "REASON_CONFLICTING_FIELDS: Cannot provide tag filter without service filter");
  FireRequest node = Deploy();
  node.set_node_filter("(");
  EXPECT_EQ(Fire(node)->error(),
            "REASON_INVALID_FIELD: Invalid node filter: error parsing regexp: missing closing ): "
            "`(`");
  EXPECT_TRUE(told_.empty());
}

TEST_F(EventHandlersTest, AnEventThatIsTooLargeIsTheCallersFault) {
  tell_status_ = absl::ResourceExhaustedError("user event exceeds configured limit");
  EXPECT_EQ(Fire(Deploy())->error(),
            "REASON_TOO_LARGE: user event exceeds configured limit");
}

}  // namespace
}  // namespace consul::api
