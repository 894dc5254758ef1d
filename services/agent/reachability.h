// services/agent/reachability.h
//
// Which members of a pool hear this agent: a question by gossip that each acknowledges.
//
// Threads: any; `done` runs on the pool's thread.
#ifndef CONSUL_SERVICES_AGENT_REACHABILITY_H_
#define CONSUL_SERVICES_AGENT_REACHABILITY_H_

#include <functional>

#include "absl/status/statusor.h"
#include "consul/agent/v1/agent.pb.h"

namespace consul::gossip {
class Pool;
}  // namespace consul::gossip

namespace consul::agent {

// Tells once all members that were alive have answered, or when the question's time is over.
void ProbeReachability(gossip::Pool* pool,
                       std::function<void(absl::StatusOr<v1::ProbeReachabilityResponse>)> done);

}  // namespace consul::agent

#endif  // CONSUL_SERVICES_AGENT_REACHABILITY_H_
