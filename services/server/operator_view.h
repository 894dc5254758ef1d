// services/server/operator_view.h
//
// What the server knows of those that take part, as the API's messages.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_SERVER_OPERATOR_VIEW_H_
#define CONSUL_SERVICES_SERVER_OPERATOR_VIEW_H_

#include <vector>

#include "consul/operators/v1/autopilot.pb.h"
#include "consul/operators/v1/raft.pb.h"
#include "services/server/autopilot.h"
#include "services/server/raft_members.h"

namespace consul::server {

operators::v1::GetRaftConfigurationResponse RaftConfigurationOf(
    const RaftMembers::View& members, const std::vector<ServerMember>& pool);
operators::v1::GetAutopilotHealthResponse HealthMessage(const ClusterHealth& health);
operators::v1::GetAutopilotStateResponse StateMessage(const ClusterHealth& health);

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_OPERATOR_VIEW_H_
