// services/rpc/agent_times.h
//
// How long an agent may take over a call when all is well: it holds one that needs a leader while
// there is none, and lets a blocking read wait. Whoever calls an agent waits longer than that.
//
// Threads: pure functions of plain values.
#ifndef CONSUL_SERVICES_RPC_AGENT_TIMES_H_
#define CONSUL_SERVICES_RPC_AGENT_TIMES_H_

#include <chrono>

#include "services/rpc/call.h"

namespace consul::rpc {

// As an agent is configured; local_backend.h is what goes by them.
struct AgentTimes {
  std::chrono::milliseconds hold = std::chrono::seconds(7);
  std::chrono::milliseconds wait_default = std::chrono::minutes(5);
  std::chrono::milliseconds wait_max = std::chrono::minutes(10);
};

// Longer times count as this: nobody means more, and a year can be added to any time of day.
inline constexpr std::chrono::milliseconds kAgentTimeMax = std::chrono::hours(24 * 365);

// The longest that `call` may take: at most three times kAgentTimeMax.
std::chrono::milliseconds LongestTime(const Call& call, const AgentTimes& times);

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_AGENT_TIMES_H_
