// Goal: what an agent answers of itself, and the stream of its log. Method: a view made by hand, a
// queue that the test runs, a caller that takes as many messages as the test says.
#include "services/api/agent_handlers.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "services/api/monitor.h"
#include "services/api/test_call.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"

namespace consul::api {
namespace {

template <typename Request, typename Response>
class AgentCall : public TestCall<Request, Response> {
 public:
  AgentCall(const std::string& method, rpc::Executor* executor)
      : TestCall<Request, Response>("consul.agent.v1.AgentService/" + method, executor) {}
};

using MonitorTestCall = AgentCall<agent::v1::MonitorRequest, agent::v1::MonitorResponse>;
using LeaveTestCall = AgentCall<agent::v1::LeaveRequest, agent::v1::LeaveResponse>;

class MonitorTest : public testing::Test {
 protected:
  void Begin(agent::v1::LogLevel level = agent::v1::LOG_LEVEL_UNSPECIFIED) {
    call_ = std::make_unique<MonitorTestCall>("Monitor", &executor_);
    call_->request_to_fill().set_log_level(level);
    StartMonitor(&logger_, call_.get());
  }
  void LogOneOfEach() {
    for (const base::LogLevel level :
         {base::LogLevel::kTrace, base::LogLevel::kDebug, base::LogLevel::kInfo,
          base::LogLevel::kWarn, base::LogLevel::kError}) {
      logger_.Log(level, "test", "text");
    }
    executor_.RunAll();
  }

  base::Logger logger_{base::LogLevel::kError};
  TestExecutor executor_;
  std::unique_ptr<MonitorTestCall> call_;
};

TEST_F(MonitorTest, LinesComeInOrderWithTheirLevel) {
  Begin(agent::v1::LOG_LEVEL_TRACE);
  LogOneOfEach();
  ASSERT_EQ(call_->messages.size(), 5);
  EXPECT_EQ(call_->messages[0].line(), "[TRACE] test: text");
  EXPECT_EQ(call_->messages[0].log_level(), agent::v1::LOG_LEVEL_TRACE);
  EXPECT_EQ(call_->messages[4].line(), "[ERR] test: text");
  EXPECT_EQ(call_->messages[4].log_level(), agent::v1::LOG_LEVEL_ERROR);
  EXPECT_EQ(call_->done, 0);
  call_->waiting->Cancel();
}

TEST_F(MonitorTest, LevelsBelowTheOneAskedForAreLeftOut) {
  const std::vector<std::pair<agent::v1::LogLevel, size_t>> expected = {
      {agent::v1::LOG_LEVEL_TRACE, 5}, {agent::v1::LOG_LEVEL_DEBUG, 4},
      {agent::v1::LOG_LEVEL_INFO, 3},  {agent::v1::LOG_LEVEL_WARN, 2},
      {agent::v1::LOG_LEVEL_ERROR, 1}, {agent::v1::LOG_LEVEL_UNSPECIFIED, 3},
      {static_cast<agent::v1::LogLevel>(77), 3}};
  for (const auto& [level, count] : expected) {
    Begin(level);
    LogOneOfEach();
    EXPECT_EQ(call_->messages.size(), count) << level;
    call_->waiting->Cancel();
  }
}

TEST_F(MonitorTest, WhatWasLoggedBeforeIsNotTold) {
  logger_.Error("test", "early");
  Begin();
  executor_.RunAll();
  EXPECT_TRUE(call_->messages.empty());
  call_->waiting->Cancel();
}

TEST_F(MonitorTest, CancelEndsTheStreamAndTheListening) {
  Begin();
  logger_.Error("test", "queued");
  call_->waiting->Cancel();
  EXPECT_EQ(call_->done, 1);
  EXPECT_EQ(call_->status.code(), absl::StatusCode::kCancelled);
  logger_.Error("test", "late");
  executor_.RunAll();
  EXPECT_TRUE(call_->messages.empty());
  EXPECT_EQ(call_->done, 1);
}

TEST_F(MonitorTest, TheLastLineThatFitsIsTold) {
  Begin();
  for (size_t i = 0; i < kMonitorLinesMax; ++i) logger_.Error("test", base::StrCat(i));
  executor_.RunAll();
  EXPECT_EQ(call_->messages.size(), kMonitorLinesMax);
  EXPECT_EQ(call_->done, 0);
  // There is room again.
  logger_.Error("test", "more");
  executor_.RunAll();
  EXPECT_EQ(call_->messages.size(), kMonitorLinesMax + 1);
  call_->waiting->Cancel();
}

TEST_F(MonitorTest, ACallerThatFallsBehindIsToldWhereTheHoleWouldBe) {
  Begin();
  for (size_t i = 0; i <= kMonitorLinesMax; ++i) logger_.Error("test", base::StrCat(i));
  executor_.RunAll();
  EXPECT_EQ(call_->messages.size(), kMonitorLinesMax);
  ASSERT_EQ(call_->done, 1);
  EXPECT_EQ(rpc::Detail(call_->status).reason(), errors::v1::REASON_OVERLOADED);
  EXPECT_EQ(call_->status.message(), "the caller is more than 4096 log lines behind");
  logger_.Error("test", "late");
  executor_.RunAll();
  EXPECT_EQ(call_->done, 1);
}

TEST_F(MonitorTest, ACallerThatTakesNoMoreIsEnded) {
  Begin();
  call_->messages_max = 2;
  LogOneOfEach();
  EXPECT_EQ(call_->messages.size(), 2);
  ASSERT_EQ(call_->done, 1);
  EXPECT_EQ(rpc::Detail(call_->status).reason(), errors::v1::REASON_OVERLOADED);
}

TEST_F(MonitorTest, ManyMonitorsHearTheSame) {
  Begin();
  auto first = std::move(call_);
  Begin(agent::v1::LOG_LEVEL_ERROR);
  LogOneOfEach();
  EXPECT_EQ(first->messages.size(), 3);
  EXPECT_EQ(call_->messages.size(), 1);
  first->waiting->Cancel();
  call_->waiting->Cancel();
}

void PublishOne(const std::string& name, agent::v1::MemberStatus status,
                gossip::MemberList* list) {
  auto members = std::make_shared<gossip::MemberList::Members>();
  agent::v1::Member* const member = members->add_members();
  member->set_name(name);
  member->set_addr("10.0.0.1");
  member->set_status(status);
  list->Publish(std::move(members));
}

class AgentHandlersTest : public testing::Test {
 protected:
  AgentHandlersTest() {
    view_.self.mutable_config()->set_node_name("a");
    PublishOne("a", agent::v1::MEMBER_STATUS_ALIVE, &lan_);
    PublishOne("a.dc1", agent::v1::MEMBER_STATUS_ALIVE, &wan_);
    view_.lan = &lan_;
    view_.wan = &wan_;
    view_.stats = [this] {
      std::vector<agent::v1::StatGroup> groups(1);
      groups[0].set_key(base::StrCat("asked ", ++asked_));
      return groups;
    };
    view_.leave = [this](auto done) { leaving_.push_back(std::move(done)); };
    view_.join = [this](const std::string& address, bool wan, auto done) {
      asked_for_ = base::StrCat(address, wan ? " wan" : "");
      joining_ = std::move(done);
    };
    view_.force_leave = [this](const agent::v1::ForceLeaveRequest& request, auto done) {
      asked_for_ = base::StrCat(request.node(), request.prune() ? " prune" : "",
                                request.wan() ? " wan" : "");
      leaving_.push_back(std::move(done));
    };
    RegisterAgent(&view_, &handlers_);
  }
  template <typename Response, typename Request>
  Response Answer(const std::string& method, const Request& request) {
    Response response;
    const auto& handler = std::get<rpc::LocalHandler>(
        handlers_.Of(rpc::PublicApi().Get("/consul.agent.v1.AgentService/" + method)));
    EXPECT_TRUE(handler.answer(request, &response).ok());
    return response;
  }
  void Take(rpc::Call* call) {
    std::get<rpc::CallHandler>(handlers_.Of(call->method())).start(call);
  }
  std::unique_ptr<LeaveTestCall> Leave() {
    auto call = std::make_unique<LeaveTestCall>("Leave", &executor_);
    Take(call.get());
    return call;
  }

  gossip::MemberList lan_;
  gossip::MemberList wan_;
  int asked_ = 0;
  std::string asked_for_;
  std::function<void(absl::StatusOr<uint32_t>)> joining_;
  std::vector<std::function<void(absl::Status)>> leaving_;
  TestExecutor executor_;
  AgentView view_;
  rpc::Handlers handlers_{rpc::PublicApi()};
};

TEST_F(AgentHandlersTest, SelfIsTheConfigurationTheMemberAndTheFigures) {
  const auto self = Answer<agent::v1::GetSelfResponse>("GetSelf", agent::v1::GetSelfRequest());
  EXPECT_EQ(self.config().node_name(), "a");
  EXPECT_EQ(self.member().name(), "a");
  EXPECT_EQ(self.member().status(), agent::v1::MEMBER_STATUS_ALIVE);
  ASSERT_EQ(self.stats_size(), 1);
  EXPECT_EQ(self.stats(0).key(), "asked 1");
  const auto again = Answer<agent::v1::GetSelfResponse>("GetSelf", agent::v1::GetSelfRequest());
  EXPECT_EQ(again.stats(0).key(), "asked 2");
  EXPECT_EQ(again.stats_size(), 1);
}

TEST_F(AgentHandlersTest, TheSettingsOfGatewaysAreThoseOfTheView) {
  view_.gateway_settings.set_datacenter("east");
  view_.gateway_settings.mutable_dns()->set_domain("example");
  const auto response = Answer<agent::v1::GetGatewaySettingsResponse>(
      "GetGatewaySettings", agent::v1::GetGatewaySettingsRequest());
  EXPECT_EQ(response.settings().ShortDebugString(),
            "datacenter: \"east\" dns { domain: \"example\" }");
}

TEST_F(AgentHandlersTest, SelfFollowsThePool) {
  PublishOne("a", agent::v1::MEMBER_STATUS_LEFT, &lan_);
  const auto self = Answer<agent::v1::GetSelfResponse>("GetSelf", agent::v1::GetSelfRequest());
  EXPECT_EQ(self.member().status(), agent::v1::MEMBER_STATUS_LEFT);
}

TEST_F(AgentHandlersTest, MembersAreOfThePoolAskedFor) {
  agent::v1::ListMembersRequest request;
  auto members = Answer<agent::v1::ListMembersResponse>("ListMembers", request);
  ASSERT_EQ(members.members_size(), 1);
  EXPECT_EQ(members.members(0).name(), "a");
  request.set_wan(true);
  members = Answer<agent::v1::ListMembersResponse>("ListMembers", request);
  ASSERT_EQ(members.members_size(), 1);
  EXPECT_EQ(members.members(0).name(), "a.dc1");
}

TEST_F(AgentHandlersTest, AClientKnowsNoMemberOfTheWanPool) {
  view_.wan = nullptr;
  agent::v1::ListMembersRequest request;
  request.set_wan(true);
  EXPECT_EQ(Answer<agent::v1::ListMembersResponse>("ListMembers", request).members_size(), 0);
}

TEST_F(AgentHandlersTest, AJoinIsAnsweredWithWhoAnswered) {
  AgentCall<agent::v1::JoinRequest, agent::v1::JoinResponse> call("Join", &executor_);
  call.request_to_fill().set_address("10.0.0.2");
  call.request_to_fill().set_wan(true);
  Take(&call);
  EXPECT_EQ(asked_for_, "10.0.0.2 wan");
  executor_.RunAll();
  EXPECT_EQ(call.done, 0);
  joining_(2);
  executor_.RunAll();
  EXPECT_EQ(call.done, 1);
  EXPECT_EQ(static_cast<const agent::v1::JoinResponse*>(call.response())->contacted(), 2);
}

TEST_F(AgentHandlersTest, AJoinThatNobodyAnsweredSaysWhy) {
  AgentCall<agent::v1::JoinRequest, agent::v1::JoinResponse> call("Join", &executor_);
  Take(&call);
  joining_(rpc::Error(errors::v1::REASON_JOIN_FAILED, "1 error occurred"));
  executor_.RunAll();
  EXPECT_EQ(rpc::Detail(call.status).reason(), errors::v1::REASON_JOIN_FAILED);
  EXPECT_EQ(rpc::HttpStatus(call.status), 500);
}

TEST_F(AgentHandlersTest, AForcedLeaveIsAnsweredWhenThePoolWasTold) {
  AgentCall<agent::v1::ForceLeaveRequest, agent::v1::ForceLeaveResponse> call("ForceLeave",
                                                                             &executor_);
  call.request_to_fill().set_node("b");
  call.request_to_fill().set_prune(true);
  Take(&call);
  EXPECT_EQ(asked_for_, "b prune");
  leaving_[0](absl::OkStatus());
  executor_.RunAll();
  EXPECT_EQ(call.done, 1);
  EXPECT_TRUE(call.status.ok());
}

TEST_F(AgentHandlersTest, ALeaveIsAnsweredWhenItIsOver) {
  const auto call = Leave();
  ASSERT_EQ(leaving_.size(), 1);
  executor_.RunAll();
  EXPECT_EQ(call->done, 0);
  leaving_[0](absl::OkStatus());
  executor_.RunAll();
  EXPECT_EQ(call->done, 1);
  EXPECT_TRUE(call->status.ok());
}

TEST_F(AgentHandlersTest, ALeaveThatFailedSaysWhy) {
  const auto call = Leave();
  leaving_[0](rpc::Error(errors::v1::REASON_NO_LEADER, "No cluster leader"));
  executor_.RunAll();
  EXPECT_EQ(rpc::Detail(call->status).reason(), errors::v1::REASON_NO_LEADER);
}

TEST_F(AgentHandlersTest, ALeaveWhoseCallerIsGoneGoesOn) {
  auto call = Leave();
  call->waiting->Cancel();
  EXPECT_EQ(call->status.code(), absl::StatusCode::kCancelled);
  call.reset();
  leaving_[0](absl::OkStatus());
  executor_.RunAll();
}

}  // namespace
}  // namespace consul::api
