// services/rpc/leader_calls.h
//
// Where calls go that only the leader can answer, and that have come to another server.
//
// Threads: any; a call stays on its executor's.
#ifndef CONSUL_SERVICES_RPC_LEADER_CALLS_H_
#define CONSUL_SERVICES_RPC_LEADER_CALLS_H_

#include "services/rpc/call.h"

namespace consul::rpc {

class LeaderCalls {
 public:
  virtual ~LeaderCalls() = default;

  // Whether another server is known to lead.
  virtual bool HasLeader() const = 0;
  // Takes `call` over, and it is answered as by Backend::Start. False, with nothing done, where no
  // other server is known to lead. REQUIRES: not call->for_leader.
  virtual bool Start(Call* call) = 0;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_LEADER_CALLS_H_
