// services/server/departure.h
//
// How a server leaves consensus before it leaves the pool: it asks the leader to take it out of the
// configuration. A leader that leaves hands the lead over first, once nobody has asked it for a
// moment. So of servers that all leave at once each is taken out by the one that leads, and the
// last voter stays: it serves the same data when it comes back.
//
// Threads: the caller's, which waits.
#ifndef CONSUL_SERVICES_SERVER_DEPARTURE_H_
#define CONSUL_SERVICES_SERVER_DEPARTURE_H_

#include <chrono>
#include <functional>

#include "absl/status/status.h"
#include "services/server/raft_members.h"

namespace consul::server {

struct DepartureTimes {
  // Without a leader for so long it is given up.
  std::chrono::milliseconds leader_wait = std::chrono::seconds(5);
  // In all.
  std::chrono::milliseconds limit = std::chrono::seconds(15);
  // A leader goes when the configuration has been as it is for so long.
  std::chrono::milliseconds quiet = std::chrono::milliseconds(250);
  // Between two looks.
  std::chrono::milliseconds interval = std::chrono::milliseconds(20);
};

// `ask` asks the leader to remove this server, and blocks until it has answered. OK: this server
// takes no part any more, or is the last voter. REASON_NO_LEADER, DEADLINE_EXCEEDED: it did not
// leave, as the text says.
absl::Status LeaveConsensus(const DepartureTimes& times, RaftMembers* members,
                            const std::function<absl::Status()>& ask);

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_DEPARTURE_H_
