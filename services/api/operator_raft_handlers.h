// services/api/operator_raft_handlers.h
//
// consul.operators.v1.RaftService: who takes part in consensus, and changes of that by hand.
//
// Threads: as services/rpc/handlers.h.
#ifndef CONSUL_SERVICES_API_OPERATOR_RAFT_HANDLERS_H_
#define CONSUL_SERVICES_API_OPERATOR_RAFT_HANDLERS_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "consul/operators/v1/raft.pb.h"
#include "services/rpc/handlers.h"

namespace consul::api {

// Consensus, as operators see it. Called from any thread. `done` runs once, on any thread or in the
// caller.
struct RaftControl {
  // As this server knows it.
  std::function<operators::v1::GetRaftConfigurationResponse()> configuration;
  // Takes a call over that the leader is to answer; false where this server leads.
  std::function<bool(rpc::Call*)> pass_on;
  // On the leader. Errors: as server::RaftMembers.
  std::function<void(const std::string& id, std::function<void(absl::Status)> done)> remove;
  // With an empty id to the voter that is furthest on.
  std::function<void(const std::string& id, std::function<void(absl::Status)> done)> transfer;
};

void RegisterRaft(RaftControl control, rpc::Handlers* handlers);

}  // namespace consul::api

#endif  // CONSUL_SERVICES_API_OPERATOR_RAFT_HANDLERS_H_
