#include "services/base/timer_queue.h"

#include <pthread.h>

#include "services/base/check.h"

namespace consul::base {

using Clock = std::chrono::steady_clock;

TimerQueue::TimerQueue(const char* name) : thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), name);
}

TimerQueue::~TimerQueue() {
  {
    MutexLock lock(&mutex_);
    stop_ = true;
    changed_.Signal();
  }
  thread_.join();
}

void TimerQueue::Add(Timer* timer, Clock::time_point deadline) {
  MutexLock lock(&mutex_);
  CONSUL_CHECK(!timer->queued_);
  timer->queued_ = true;
  timer->deadline_ = deadline;
  const auto at = timers_.emplace(deadline, timer).first;
  if (at == timers_.begin()) changed_.Signal();
}

void TimerQueue::Remove(Timer* timer) {
  MutexLock lock(&mutex_);
  if (timer->queued_) {
    timers_.erase({timer->deadline_, timer});
    timer->queued_ = false;
  }
  while (telling_ == timer) told_.Wait(&mutex_);
}

void TimerQueue::Run() {
  mutex_.Lock();
  while (!stop_) {
    if (timers_.empty()) {
      changed_.Wait(&mutex_);
      continue;
    }
    const auto first = timers_.begin();
    const auto wait = first->first - Clock::now();
    if (wait > Clock::duration::zero()) {
      changed_.WaitFor(&mutex_, wait);
      continue;
    }
    Timer* const timer = first->second;
    timers_.erase(first);
    timer->queued_ = false;
    telling_ = timer;
    mutex_.Unlock();
    timer->Due();
    mutex_.Lock();
    telling_ = nullptr;
    told_.SignalAll();
  }
  mutex_.Unlock();
}

}  // namespace consul::base
