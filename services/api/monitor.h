// services/api/monitor.h
//
// The stream of an agent's log lines to one caller.
//
// Threads: on the call's executor; lines arrive from any thread.
#ifndef CONSUL_SERVICES_API_MONITOR_H_
#define CONSUL_SERVICES_API_MONITOR_H_

#include <cstddef>

#include "services/base/log.h"

namespace consul::rpc {
class Call;
}  // namespace consul::rpc

namespace consul::api {

// Lines that wait for a caller that is slow. With more the stream ends with REASON_OVERLOADED: a
// log with a hole in it would look whole.
inline constexpr size_t kMonitorLinesMax = 4096;

// Streams each line of the level asked for and above that is logged from now on. Ends when the
// caller cancels, or falls behind.
void StartMonitor(base::Logger* logger, rpc::Call* call);

}  // namespace consul::api

#endif  // CONSUL_SERVICES_API_MONITOR_H_
