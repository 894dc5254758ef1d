#include "cli/gate.h"

#include <utility>

#include "services/base/check.h"

namespace consul::cli {

Gate::Gate(rpc::Backend* backend, absl::Status why) : backend_(backend), why_(std::move(why)) {
  CONSUL_CHECK(!why_.ok());
}

void Gate::Close(absl::Status why) {
  CONSUL_CHECK(!why.ok());
  base::MutexLock lock(&mutex_);
  why_ = std::move(why);
  open_.store(false, std::memory_order_release);
}

void Gate::Start(rpc::Call* call) {
  if (open()) return backend_->Start(call);
  {
    base::MutexLock lock(&mutex_);
    call->status = why_;
  }
  call->Done();
}

}  // namespace consul::cli
