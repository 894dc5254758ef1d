#include "services/rpc/grpc_strand.h"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <utility>

namespace consul::rpc {

EventThread::EventThread(std::function<void()> idle, const char* name)
    : idle_(std::move(idle)), thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), name);
}

EventThread::~EventThread() {
  {
    base::MutexLock lock(&mutex_);
    stop_ = true;
    wake_.Signal();
  }
  thread_.join();
}

void EventThread::Post(Task* task) {
  if (!queue_.Push(task)) return;
  base::MutexLock lock(&mutex_);
  woken_ = true;
  wake_.Signal();
}

void EventThread::Run() {
  bool idle = false;
  for (;;) {
    bool timed_out = false;
    {
      base::MutexLock lock(&mutex_);
      while (!woken_ && !stop_ && !timed_out) {
        if (idle) {
          wake_.Wait(&mutex_);
        } else {
          timed_out = !wake_.WaitFor(&mutex_, std::chrono::seconds(1));
        }
      }
      if (stop_ && !woken_) return;
      timed_out = !woken_;
      woken_ = false;
    }
    idle = timed_out;
    if (timed_out) {
      idle_();
    } else {
      queue_.RunAll();
    }
  }
}

void Strand::Post(Task* task) {
  // The strand is in the thread's queue exactly while its own queue holds tasks that no run has
  // taken: only the push that finds it empty posts it.
  if (queue_.Push(task)) thread_->Post(this);
}

thread_local bool Strand::in_strand_ = false;

void Strand::Run() {
  base::MutexLock lock(&mutex_);
  in_strand_ = true;
  queue_.RunAll();
  in_strand_ = false;
}

Strands::Strands(std::function<void()> idle) : thread_(std::move(idle)) {
  for (Strand& strand : of_threads_) strand.set_thread(&thread_);
  for (Strand& strand : for_posted_) strand.set_thread(&thread_);
}

Strand* Strands::OfThisThread() {
  static std::atomic<size_t> threads{0};
  thread_local const size_t number = threads.fetch_add(1, std::memory_order_relaxed);
  return &of_threads_[number % kOfThreads];
}

Strand* Strands::ForPosted() {
  return &for_posted_[posted_.fetch_add(1, std::memory_order_relaxed) % kForPosted];
}

}  // namespace consul::rpc
