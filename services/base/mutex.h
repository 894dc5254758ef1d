// services/base/mutex.h
//
// A mutex and a condition variable with clang's thread-safety annotations, over the standard ones.
// Ours because a correct absl::Mutex program draws thread-sanitizer warnings with Debian's abseil,
// whose library is built without the sanitizer's hooks.
//
// Threads: that is the point.
#ifndef CONSUL_SERVICES_BASE_MUTEX_H_
#define CONSUL_SERVICES_BASE_MUTEX_H_

#include <chrono>
#include <condition_variable>
#include <mutex>

// GUARDED_BY is abseil's: its own headers define it too, and two definitions would clash.
#include "absl/base/thread_annotations.h"

#if defined(__clang__)
#define CONSUL_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define CONSUL_THREAD_ANNOTATION(x)
#endif

#define CONSUL_CAPABILITY(x) CONSUL_THREAD_ANNOTATION(capability(x))
#define CONSUL_SCOPED_CAPABILITY CONSUL_THREAD_ANNOTATION(scoped_lockable)
#define REQUIRES_LOCK(...) CONSUL_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define EXCLUDES_LOCK(...) CONSUL_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))

namespace consul::base {

class CONSUL_CAPABILITY("mutex") Mutex {
 public:
  void Lock() CONSUL_THREAD_ANNOTATION(acquire_capability()) { mutex_.lock(); }
  // Whether it has it now.
  bool TryLock() CONSUL_THREAD_ANNOTATION(try_acquire_capability(true)) {
    return mutex_.try_lock();
  }
  void Unlock() CONSUL_THREAD_ANNOTATION(release_capability()) { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class CONSUL_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex* mutex) CONSUL_THREAD_ANNOTATION(acquire_capability(mutex))
      : mutex_(mutex) {
    mutex_->Lock();
  }
  ~MutexLock() CONSUL_THREAD_ANNOTATION(release_capability()) { mutex_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mutex_;
};

// Waits may wake without a signal: always loop on the condition.
class CondVar {
 public:
  void Wait(Mutex* mutex) REQUIRES_LOCK(mutex) {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    cv_.wait(lock);
    lock.release();
  }
  // Returns false when `timeout` went by without a signal.
  bool WaitFor(Mutex* mutex, std::chrono::nanoseconds timeout) REQUIRES_LOCK(mutex) {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    const bool signalled = cv_.wait_for(lock, timeout) == std::cv_status::no_timeout;
    lock.release();
    return signalled;
  }
  void Signal() { cv_.notify_one(); }
  void SignalAll() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace consul::base

#endif  // CONSUL_SERVICES_BASE_MUTEX_H_
