// services/rpc/waited_calls.h
//
// Calls that a thread makes one after another and waits for: for the agent's own work, which has
// threads of its own. Faces never wait.
//
// Threads: Run on one thread at a time; Interrupt from any.
#ifndef CONSUL_SERVICES_RPC_WAITED_CALLS_H_
#define CONSUL_SERVICES_RPC_WAITED_CALLS_H_

#include "absl/status/status.h"
#include "services/base/mutex.h"
#include "services/rpc/backend.h"
#include "services/rpc/task_queue.h"

namespace consul::rpc {

class WaitedCalls final : private Executor {
 public:
  WaitedCalls() = default;
  // REQUIRES: no call runs, and the backends are at rest.
  ~WaitedCalls() { queue_.RunAll(); }
  WaitedCalls(const WaitedCalls&) = delete;
  WaitedCalls& operator=(const WaitedCalls&) = delete;

  // Carries out a call of a method that does not stream, and fills `response` where it succeeds.
  // `hold` as in Call. CANCELLED: interrupted.
  absl::Status Run(Backend* backend, const Method& method,
                   const google::protobuf::Message& request, google::protobuf::Message* response,
                   bool hold = true);

  // Cancels the call that runs (which a write that is on its way outlives), and every later one.
  void Interrupt();

 private:
  void Post(Task* task) override;

  TaskQueue queue_;
  base::Mutex mutex_;
  base::CondVar changed_;
  bool woken_ GUARDED_BY(mutex_) = false;
  bool interrupted_ GUARDED_BY(mutex_) = false;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_WAITED_CALLS_H_
