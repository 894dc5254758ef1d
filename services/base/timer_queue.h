// services/base/timer_queue.h
//
// One thread that waits for many deadlines. What is due is told on that thread and must be short:
// as a rule it posts a task to whoever asked.
//
// Threads: all methods from any thread; from inside Due only Add.
#ifndef CONSUL_SERVICES_BASE_TIMER_QUEUE_H_
#define CONSUL_SERVICES_BASE_TIMER_QUEUE_H_

#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "services/base/mutex.h"

namespace consul::base {

// One deadline. Embed it in what waits.
class Timer {
 public:
  // Called once, when the deadline has passed and the timer was not removed before.
  virtual void Due() = 0;

 protected:
  ~Timer() = default;

 private:
  friend class TimerQueue;
  std::chrono::steady_clock::time_point deadline_;
  bool queued_ = false;
};

class TimerQueue {
 public:
  // `name` is the thread's, 15 bytes at most.
  explicit TimerQueue(const char* name);
  // REQUIRES: no timer is queued that would be missed.
  ~TimerQueue();
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;

  // REQUIRES: `timer` is not queued; it stays alive until Due has returned or Remove has.
  void Add(Timer* timer, std::chrono::steady_clock::time_point deadline);
  // After it returns Due does not run and will not. A timer that is not queued is left as it is.
  void Remove(Timer* timer);

 private:
  void Run();

  Mutex mutex_;
  CondVar changed_;
  CondVar told_;
  std::set<std::pair<std::chrono::steady_clock::time_point, Timer*>> timers_ GUARDED_BY(mutex_);
  Timer* telling_ GUARDED_BY(mutex_) = nullptr;
  bool stop_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace consul::base

#endif  // CONSUL_SERVICES_BASE_TIMER_QUEUE_H_
