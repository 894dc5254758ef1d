// services/rpc/leader_forward.h
//
// Passes calls on from a server to the one that leads, as a client agent passes its calls on to a
// server: the same tries, the same rules of what may be tried again (forwarded_call.h). The leader
// is told that the call came so, and passes it on no further. A call follows the lead to another
// server for as long as it may be tried.
//
// Threads: any; a call stays on its executor's.
#ifndef CONSUL_SERVICES_RPC_LEADER_FORWARD_H_
#define CONSUL_SERVICES_RPC_LEADER_FORWARD_H_

#include <optional>

#include "services/base/log.h"
#include "services/base/timer_queue.h"
#include "services/rpc/forward_backend.h"
#include "services/rpc/leader_calls.h"
#include "services/rpc/server_links.h"
#include "services/rpc/server_list.h"

namespace consul::rpc {

class LeaderForward : public LeaderCalls {
 public:
  // `logger` outlives it.
  LeaderForward(ForwardBackend::Options options, base::Logger* logger);
  // REQUIRES: no call is under way.
  ~LeaderForward() override;

  // Another server leads; nothing: none that is known, or this one. Told again of what it knows it
  // does nothing.
  void SetLeader(const std::optional<KnownServer>& leader);

  bool HasLeader() const override { return links_.size() > 0; }
  // Errors: as ForwardBackend::Start, and REASON_NO_LEADER where the leader was lost meanwhile.
  bool Start(Call* call) override;

  // Nothing of its own is under way when it returns. Idempotent.
  void Stop() { links_.Stop(); }

 private:
  const ForwardBackend::Options options_;
  base::TimerQueue timers_{"to-leader"};
  ServerLinks links_;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_LEADER_FORWARD_H_
