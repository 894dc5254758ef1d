// services/rpc/waiting_call.h
//
// A call that cannot be answered inside Start: it is told from other threads that it may go on,
// goes on with its executor, and ends once, by itself or by Cancel. The races between being told,
// timing out and being cancelled are settled here and nowhere else: being told too late does
// nothing.
//
// Threads: Wake from any; the rest on the call's executor, which outlives every Wake.
#ifndef CONSUL_SERVICES_RPC_WAITING_CALL_H_
#define CONSUL_SERVICES_RPC_WAITING_CALL_H_

#include <atomic>
#include <memory>
#include <utility>

#include "services/rpc/call.h"

namespace consul::rpc {

// What is told from other threads to go on, and does so with its executor.
class Waking : public std::enable_shared_from_this<Waking>, private Task {
 public:
  virtual ~Waking() = default;
  Waking(const Waking&) = delete;
  Waking& operator=(const Waking&) = delete;

  // OnWake will run soon. Told many times before it runs, it runs once.
  void Wake() {
    if (posted_.exchange(true, std::memory_order_acq_rel)) return;
    posted_self_ = shared_from_this();
    executor_->Post(this);
  }

  // It was told, and OnWake has not begun.
  bool woken() const { return posted_.load(std::memory_order_acquire); }

 protected:
  explicit Waking(Executor* executor) : executor_(executor) {}

  // What was written before any Wake that this run stands for is seen.
  virtual void OnWake() = 0;

 private:
  void Run() final {
    const std::shared_ptr<Waking> self = std::move(posted_self_);
    posted_.exchange(false, std::memory_order_acq_rel);
    OnWake();
  }

  Executor* const executor_;
  std::atomic<bool> posted_{false};
  std::shared_ptr<Waking> posted_self_;  // while it is in the executor's queue
};

class WaitingCall : public Call::Waiting, public Waking {
 public:
  // Whoever still reads the answer is a client of an agent that stops.
  void Cancel() override { Finish(absl::CancelledError("the agent is shutting down")); }

 protected:
  explicit WaitingCall(Call* call) : Waking(call->executor()), call_(call) {}

  // As when it was told to. On the executor's thread.
  void GoOn() { OnWake(); }

  // Makes this what its call waits for.
  void Attach() { call_->waiting = std::static_pointer_cast<WaitingCall>(shared_from_this()); }

  // It was told to go on, and the call has not ended.
  virtual void Continue() = 0;
  // It no longer waits: whoever would tell it is asked not to.
  virtual void Detach() = 0;

  // Ends the wait, not the call.
  Call* Release() {
    Detach();
    Call* const call = std::exchange(call_, nullptr);
    call->waiting.reset();
    return call;
  }

  // Ends the call with `status`.
  void Finish(absl::Status status) {
    const auto self = shared_from_this();
    Call* const call = Release();
    call->status = std::move(status);
    call->Done();
  }

  Call* call() const { return call_; }

 private:
  void OnWake() final {
    if (call_ != nullptr) Continue();
  }

  Call* call_;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_WAITING_CALL_H_
