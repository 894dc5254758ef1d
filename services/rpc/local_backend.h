// services/rpc/local_backend.h
//
// Carries out calls in this process, without serialising anything. Around the handlers it does,
// once for all methods: the datacenter check, consistency modes, holding a call until there is a
// leader, the blocking loop, the meta of a read, and the validity of a reply.
//
// Threads: Start, Cancel and Idle on the executor's thread of each call; LeaderChanged from any.
#ifndef CONSUL_SERVICES_RPC_LOCAL_BACKEND_H_
#define CONSUL_SERVICES_RPC_LOCAL_BACKEND_H_

#include <chrono>
#include <memory>
#include <string>
#include <unordered_map>

#include "services/base/mutex.h"
#include "services/base/timer_queue.h"
#include "services/rpc/backend.h"
#include "services/rpc/consensus.h"
#include "services/rpc/evaluation.h"
#include "services/rpc/handlers.h"
#include "services/rpc/leader_calls.h"
#include "services/rpc/long_reads.h"
#include "services/rpc/parked_reads.h"
#include "services/rpc/shared_barriers.h"

namespace consul::rpc {

class LocalBackend : public Backend {
 public:
  struct Options {
    std::string datacenter;
    // A read or write waits so long for a leader (performance.rpc_hold_timeout).
    std::chrono::nanoseconds hold_timeout = std::chrono::seconds(7);
    // Of a blocking read that names no wait, and of any (default_query_time, max_query_time).
    std::chrono::nanoseconds wait_default = std::chrono::minutes(5);
    std::chrono::nanoseconds wait_max = std::chrono::minutes(10);
    // Calls held for a leader at once, and reads that wait for a change; above it
    // REASON_OVERLOADED.
    size_t held_max = 100'000;
    size_t parked_max = 200'000;
    // Lists that wait for a thread to be looked up (long_reads.h); above it REASON_OVERLOADED for
    // who comes anew. As many as five clients have over HTTP at the most, 200 each; the last of
    // them is answered in half a minute where each list has 100,000 rows (docs/PERFORMANCE.md),
    // and who would come behind it would hardly wait for longer.
    size_t long_reads_max = 1000;
  };

  // All outlive the backend. `handlers` is complete.
  LocalBackend(Options options, const Handlers* handlers, Consensus* consensus);
  ~LocalBackend() override;

  // Calls of methods that the leader alone can answer go there from a server that does not lead;
  // without this they wait for the server to lead. Before the first call; outlives the backend.
  void SetLeaderCalls(LeaderCalls* leader) { leader_ = leader; }

  void Start(Call* call) override;
  void Idle() override;

  // For a handler whose call is not to be answered here after all, but by the leader, which is
  // another server or not known: passes it on, or has it wait for a leader; Start then begins anew.
  // A call that was passed on already ends with REASON_NO_LEADER.
  void PassOn(Call* call);

  // Consensus found, lost or became the leader: calls that are held try again.
  void LeaderChanged();

  // The server stops: calls that are held end with REASON_NO_LEADER, so that whoever forwarded them
  // asks another one, and none is held any more.
  void StopHolding();

 private:
  class HeldCall;
  class BarrierRead;
  class RowsRead;
  class WriteCall;

  bool KnowsDatacenter(Call* call) const;
  void StartRead(Call* call, const ReadHandler& handler);
  void StartWrite(Call* call, const WriteHandler& handler);
  bool ServesNow(const Call& call) const;
  // Runs the handler; answers, or parks a read whose index has not moved.
  void RunRead(const Read& read);
  // Answers a read by what it was evaluated to, the call's status included, or parks it. Returns
  // false, and has done nothing, where it would have to wait, but the result has changed since.
  bool Settle(const Read& read, const Evaluated& evaluated);
  // The call waits for a leader, or ends with REASON_NO_LEADER when it has waited `hold_timeout` in
  // all or would rather not wait.
  void Hold(Call* call);
  void Unhold(HeldCall* held);

  const Options options_;
  const Handlers* const handlers_;
  Consensus* const consensus_;
  LeaderCalls* leader_ = nullptr;
  std::atomic<bool> holds_{true};
  base::TimerQueue timers_;
  SharedBarriers barriers_;
  LongReads long_reads_;
  base::Mutex mutex_;
  std::unordered_map<const HeldCall*, std::shared_ptr<HeldCall>> held_ GUARDED_BY(mutex_);
  ParkedReads parked_;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_LOCAL_BACKEND_H_
