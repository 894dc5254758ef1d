#include "services/rpc/loop_executor.h"

#include <pthread.h>

#include <chrono>
#include <utility>

namespace consul::rpc {
namespace {

constexpr std::chrono::seconds kIdleAfter{1};

}  // namespace

LoopExecutor::LoopExecutor(const char* name, std::function<void()> idle)
    : idle_(std::move(idle)), thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), name);
}

LoopExecutor::~LoopExecutor() { Stop(); }

void LoopExecutor::Post(Task* task) {
  // A queue that was not empty has a thread that is on its way to it.
  if (!tasks_.Push(task)) return;
  base::MutexLock lock(&mutex_);
  ready_ = true;
  posted_.Signal();
}

void LoopExecutor::Stop() {
  {
    base::MutexLock lock(&mutex_);
    stop_ = true;
    posted_.Signal();
  }
  if (thread_.joinable()) thread_.join();
}

void LoopExecutor::Run() {
  bool idle = false;
  for (;;) {
    bool stop = false;
    {
      base::MutexLock lock(&mutex_);
      while (!ready_ && !stop_) {
        if (idle) {
          posted_.Wait(&mutex_);
        } else if (!posted_.WaitFor(&mutex_, kIdleAfter)) {
          break;
        }
      }
      stop = stop_;
      idle = !std::exchange(ready_, false);
    }
    if (tasks_.RunAll() == 0 && idle) idle_();
    if (stop && tasks_.RunAll() == 0) return;
  }
}

}  // namespace consul::rpc
