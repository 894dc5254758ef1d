// services/agent/rtt.h
//
// Round trip times from coordinates as the API has them.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_AGENT_RTT_H_
#define CONSUL_SERVICES_AGENT_RTT_H_

#include <chrono>
#include <optional>

#include "consul/coordinate/v1/coordinate.pb.h"

namespace consul::agent {

// The round trip time to expect between two coordinates of one pool; nothing where one of them is
// malformed, or no two places are so far apart.
std::optional<std::chrono::nanoseconds> EstimateRtt(const coordinate::v1::Coordinate& one,
                                                    const coordinate::v1::Coordinate& other);

}  // namespace consul::agent

#endif  // CONSUL_SERVICES_AGENT_RTT_H_
