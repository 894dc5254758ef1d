// cli/gate.h
//
// A backend that can be closed. A gateway's is until it knows the settings of its agent: what it
// would answer by other rules than the agent's, it does not answer.
//
// Threads: any.
#ifndef CONSUL_CLI_GATE_H_
#define CONSUL_CLI_GATE_H_

#include <atomic>

#include "absl/status/status.h"
#include "services/base/mutex.h"
#include "services/rpc/backend.h"

namespace consul::cli {

class Gate : public rpc::Backend {
 public:
  // Closed, by `why`. `backend` outlives it.
  Gate(rpc::Backend* backend, absl::Status why);

  // Calls end at once with `why` from now on; those that are under way go on.
  void Close(absl::Status why);
  // Calls go to the backend from now on.
  void Open() { open_.store(true, std::memory_order_release); }
  bool open() const { return open_.load(std::memory_order_acquire); }

  void Start(rpc::Call* call) override;
  void Idle() override { backend_->Idle(); }

 private:
  rpc::Backend* const backend_;
  std::atomic<bool> open_{false};
  base::Mutex mutex_;
  absl::Status why_ GUARDED_BY(mutex_);
};

}  // namespace consul::cli

#endif  // CONSUL_CLI_GATE_H_
