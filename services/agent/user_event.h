// services/agent/user_event.h
//
// User events as gossip carries them, and which of those that come are for this agent.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_AGENT_USER_EVENT_H_
#define CONSUL_SERVICES_AGENT_USER_EVENT_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "consul/event/v1/event.pb.h"
#include "services/gossip/cluster_output.h"

namespace consul::agent {

// A gossip event: its name and its payload.
struct GossipEvent {
  std::string name;
  std::string payload;
};

GossipEvent ToGossip(const event::v1::Event& event);

// Whether a gossip event stands for a user event; others are the agents' own.
bool IsUserEvent(const gossip::UserEvent& event);

// The user event that `event` stands for. INVALID_ARGUMENT: it cannot be read, or has a form that
// this agent does not know.
// REQUIRES: IsUserEvent(event).
absl::StatusOr<event::v1::Event> FromGossip(const gossip::UserEvent& event);

// Whether the agent of this node takes the event: its name matches the filter of nodes, and the
// event is not for agents with certain services, of which this one has none. INVALID_ARGUMENT: a
// filter cannot be read.
absl::StatusOr<bool> IsFor(const event::v1::Event& event, std::string_view node_name);

}  // namespace consul::agent

#endif  // CONSUL_SERVICES_AGENT_USER_EVENT_H_
