// services/rpc/forward_backend.h
//
// The backend of a client agent. Methods of the agent itself run here; every other one is passed on
// as bytes to one of the servers and its reply passed back, so that nobody who asks the agent needs
// to know where the servers are. An error of one server is hidden by asking another one, where that
// cannot do anything twice: a read always, a write only as long as it has surely not arrived, or
// the server says that nothing came of it.
//
// Blocking reads that ask the same wait as one (shared_reads.h).
//
// A reply carries no validity yet: whoever keeps replies (DNS) keeps none of these.
//
// Threads: Start on the executor's thread of each call; SetServers and known_servers from any.
#ifndef CONSUL_SERVICES_RPC_FORWARD_BACKEND_H_
#define CONSUL_SERVICES_RPC_FORWARD_BACKEND_H_

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "services/base/log.h"
#include "services/base/timer_queue.h"
#include "services/rpc/backend.h"
#include "services/rpc/handlers.h"
#include "services/rpc/server_links.h"
#include "services/rpc/server_list.h"
#include "services/rpc/shared_reads.h"

namespace consul::rpc {

// Bytes of a forwarded reply, at both ends: a `?recurse` of a large store is one reply.
inline constexpr size_t kForwardedReplyBytesMax = 512 << 20;

class ForwardBackend : public Backend {
 public:
  struct Options {
    // So long a call is tried without success before its caller hears of it
    // (performance.rpc_hold_timeout).
    std::chrono::milliseconds hold_timeout = std::chrono::seconds(7);
    // Of a blocking read that names no wait, and of any (default_query_time, max_query_time).
    std::chrono::milliseconds wait_default = std::chrono::minutes(5);
    std::chrono::milliseconds wait_max = std::chrono::minutes(10);
    // A write may take so long: longer than a server holds a call for a leader.
    std::chrono::milliseconds margin = std::chrono::seconds(30);
    // A read may take so long beyond the time that it is asked to wait. A server that is gone is
    // found out by itself: this is for replies of many megabytes on a slow line.
    std::chrono::milliseconds read_margin = std::chrono::minutes(10);
    // A write whose caller is gone, or whose server has failed as the pool says, is given so long
    // to say what became of it.
    std::chrono::milliseconds cancelled_write_wait = std::chrono::seconds(2);
    ServerLinks::Options links;
    // The calls go to the one server that leads, which passes them on to no other.
    bool for_leader = false;
  };

  // Both outlive the backend. `handlers` has one for each method of the agent itself.
  ForwardBackend(Options options, const Handlers* handlers, base::Logger* logger);
  // REQUIRES: no call is under way.
  ~ForwardBackend() override;

  // Errors of a forwarded call: as a server gave them, reason included. REASON_NO_SERVERS: no
  // server is known, or none answers; nothing was done. REASON_OUTCOME_UNKNOWN: the server of a
  // write broke off before it answered.
  void Start(Call* call) override;
  bool TakesBytes(const Method& method) const override;

  void SetServers(const ServerList& list) { links_.SetServers(list); }
  size_t known_servers() const { return links_.size(); }

  // Nothing of its own is under way when it returns, and no call goes on that waits for a server
  // to answer. Idempotent.
  void Stop();

 private:
  void Forward(Call* call);

  const Options options_;
  const Handlers* const handlers_;
  base::TimerQueue timers_{"forward"};
  ServerLinks links_;
  SharedReads shared_;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_FORWARD_BACKEND_H_
