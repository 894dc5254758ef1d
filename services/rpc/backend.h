// services/rpc/backend.h
//
// What a face speaks to: something that carries out calls. The local backend runs the handlers in
// this process; the channel backend passes calls to an agent over gRPC.
//
// Threads: any; each call stays on its executor's thread.
#ifndef CONSUL_SERVICES_RPC_BACKEND_H_
#define CONSUL_SERVICES_RPC_BACKEND_H_

#include "services/rpc/call.h"

namespace consul::rpc {

class Backend {
 public:
  virtual ~Backend() = default;

  // Carries out `call`; services/rpc/call.h says what comes back and where. A reply that needs no
  // wait is given inside Start.
  virtual void Start(Call* call) = 0;

  // Whether calls of `method` pass through as bytes, so that a face that has the request as bytes
  // need not parse it (Call::wire).
  virtual bool TakesBytes(const Method& /*method*/) const { return false; }

  // The caller has lost interest (its client is gone): what the call holds is freed at once, and
  // Done comes with CANCELLED, inside Cancel or soon after. A call that is Done already, or whose
  // write is on its way, is not affected.
  void Cancel(Call* call) {
    // Cancelling takes the call's own hold of what waits away.
    if (const auto waiting = call->waiting; waiting != nullptr) waiting->Cancel();
  }

  // A loop that has been without calls for a second says so, on its own thread: what was kept for
  // it (an old version of the state) is let go.
  virtual void Idle() {}
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_BACKEND_H_
