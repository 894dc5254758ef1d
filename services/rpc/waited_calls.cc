#include "services/rpc/waited_calls.h"

#include <google/protobuf/arena.h>
#include <google/protobuf/message.h>

namespace consul::rpc {
namespace {

using google::protobuf::Message;

class Waited final : public Call {
 public:
  Waited(const Method& method, Executor* executor, const Message* request, Message* response,
         Message* copy)
      : Call(method, executor, request, response), copy_(copy) {}

  void Done() override {
    // What the reply refers to is there until this returns.
    if (status.ok()) copy_->CopyFrom(*response());
    done = true;
  }

  bool done = false;

 private:
  Message* const copy_;
};

}  // namespace

absl::Status WaitedCalls::Run(Backend* backend, const Method& method, const Message& request,
                              Message* response, bool hold) {
  bool cancelled = false;
  {
    base::MutexLock lock(&mutex_);
    if (interrupted_) return absl::CancelledError("interrupted");
    woken_ = false;
  }
  google::protobuf::Arena arena;
  Waited call(method, this, &request, response->New(&arena), response);
  call.hold = hold;
  backend->Start(&call);
  for (;;) {
    queue_.RunAll();
    if (call.done) break;
    bool cancel = false;
    {
      base::MutexLock lock(&mutex_);
      while (!woken_ && (!interrupted_ || cancelled)) changed_.Wait(&mutex_);
      woken_ = false;
      cancel = interrupted_ && !cancelled;
    }
    if (!cancel) continue;
    cancelled = true;
    backend->Cancel(&call);
  }
  // The thread may not call again for long: it keeps no version of the state.
  backend->Idle();
  return call.status;
}

void WaitedCalls::Interrupt() {
  base::MutexLock lock(&mutex_);
  interrupted_ = true;
  changed_.Signal();
}

void WaitedCalls::Post(Task* task) {
  if (!queue_.Push(task)) return;
  base::MutexLock lock(&mutex_);
  woken_ = true;
  changed_.Signal();
}

}  // namespace consul::rpc
