#include "services/rpc/agent_times.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <cstdint>

#include "consul/query/v1/query.pb.h"

namespace consul::rpc {
namespace {

using std::chrono::milliseconds;

milliseconds LongestWait(const Call& call, const AgentTimes& times) {
  const auto none = milliseconds(0);
  const auto* const field = call.method().options_field;
  if (field == nullptr) return none;
  const auto* const reflection = call.request().GetReflection();
  if (!reflection->HasField(call.request(), field)) return none;
  const auto& options = static_cast<const query::v1::QueryOptions&>(
      reflection->GetMessage(call.request(), field));
  if (options.index() == 0) return none;
  constexpr int64_t kSecondsMax = kAgentTimeMax / std::chrono::seconds(1);
  milliseconds wait =
      std::chrono::seconds(std::clamp<int64_t>(options.wait().seconds(), -1, kSecondsMax)) +
      milliseconds(options.wait().nanos() / 1'000'000);
  // No wait, none that is one: the agent takes its default for both.
  if (options.wait().seconds() <= 0 && options.wait().nanos() <= 0) wait = times.wait_default;
  wait = std::min({wait, times.wait_max, kAgentTimeMax});
  // The agent adds a sixteenth at most.
  return wait + wait / 16;
}

}  // namespace

milliseconds LongestTime(const Call& call, const AgentTimes& times) {
  return std::min(times.hold, kAgentTimeMax) + LongestWait(call, times);
}

}  // namespace consul::rpc
