// Goal: a call is never given up while the agent may still answer it. Method: the longest time of
// calls beside the agent's times.
#include "services/rpc/agent_times.h"

#include <google/protobuf/arena.h>
#include <gtest/gtest.h>

#include <optional>

#include "consul/agent/v1/agent.pb.h"
#include "consul/kv/v1/kv.pb.h"

namespace consul::rpc {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

class NoExecutor : public Executor {
 public:
  void Post(Task*) override {}
};

class SilentCall : public Call {
 public:
  using Call::Call;
  void Done() override {}
};

constexpr AgentTimes kTimes = {.hold = 1s, .wait_default = 16s, .wait_max = 160s};

template <typename Request>
milliseconds TimeOf(const char* path, const Request& request, const AgentTimes& times = kTimes) {
  const Method& method = PublicApi().Get(path);
  google::protobuf::Arena arena;
  NoExecutor executor;
  SilentCall call(method, &executor, &request, method.response_prototype->New(&arena));
  return LongestTime(call, times);
}

// Of a read that waits from `index` on for the seconds and nanoseconds of `wait`.
milliseconds TimeOfGet(uint64_t index, std::optional<std::pair<int64_t, int32_t>> wait,
                       const AgentTimes& times = kTimes) {
  kv::v1::GetRequest request;
  request.mutable_options()->set_index(index);
  if (wait.has_value()) {
    request.mutable_options()->mutable_wait()->set_seconds(wait->first);
    request.mutable_options()->mutable_wait()->set_nanos(wait->second);
  }
  return TimeOf("/consul.kv.v1.KvService/Get", request, times);
}

TEST(AgentTimesTest, ACallThatDoesNotWaitIsHeldAtMost) {
  EXPECT_EQ(TimeOf("/consul.kv.v1.KvService/Get", kv::v1::GetRequest()), 1s);
  EXPECT_EQ(TimeOf("/consul.kv.v1.KvService/Put", kv::v1::PutRequest()), 1s);
  EXPECT_EQ(TimeOf("/consul.agent.v1.AgentService/GetSelf", agent::v1::GetSelfRequest()), 1s);
}

TEST(AgentTimesTest, WithoutAnIndexTheWaitMeansNothing) {
  EXPECT_EQ(TimeOfGet(0, std::pair(60, 0)), 1s);
}

TEST(AgentTimesTest, ABlockingReadHasASixteenthMore) {
  EXPECT_EQ(TimeOfGet(5, std::pair(32, 0)), 1s + 34s);
  EXPECT_EQ(TimeOfGet(5, std::pair(0, 160'000'000)), 1s + 170ms);
}

TEST(AgentTimesTest, NoWaitAndZeroAndLessAreTheDefault) {
  EXPECT_EQ(TimeOfGet(5, std::nullopt), 1s + 17s);
  EXPECT_EQ(TimeOfGet(5, std::pair(0, 0)), 1s + 17s);
  EXPECT_EQ(TimeOfGet(5, std::pair(-3, 0)), 1s + 17s);
  EXPECT_EQ(TimeOfGet(5, std::pair(0, -1)), 1s + 17s);
}

TEST(AgentTimesTest, TheMaximumIsTheAgents) {
  EXPECT_EQ(TimeOfGet(5, std::pair(161, 0)), 1s + 170s);
  EXPECT_EQ(TimeOfGet(5, std::pair(7200, 0), {.hold = 1s, .wait_max = std::chrono::hours(3)}),
            1s + 7200s + 450s);
}

TEST(AgentTimesTest, WhatIsLongerThanAYearIsAYear) {
  const AgentTimes times = {.hold = milliseconds::max(),
                            .wait_default = milliseconds::max(),
                            .wait_max = milliseconds::max()};
  const milliseconds year = kAgentTimeMax;
  EXPECT_EQ(TimeOfGet(5, std::nullopt, times), year + year + year / 16);
  EXPECT_EQ(TimeOfGet(5, std::pair(INT64_MAX, 0), times), year + year + year / 16);
  EXPECT_EQ(TimeOfGet(5, std::pair(INT64_MIN, 0), times), year + year + year / 16);
}

}  // namespace
}  // namespace consul::rpc
