// services/transport/stream_count.h
//
// How many streams there are, so that who stops them can wait for the last one.
//
// Threads: any.
#ifndef CONSUL_SERVICES_TRANSPORT_STREAM_COUNT_H_
#define CONSUL_SERVICES_TRANSPORT_STREAM_COUNT_H_

#include <cstddef>

#include "services/base/mutex.h"

namespace consul::transport {

class StreamCount {
 public:
  void Add() {
    base::MutexLock lock(&mutex_);
    ++count_;
  }
  void Remove() {
    base::MutexLock lock(&mutex_);
    if (--count_ == 0) none_.SignalAll();
  }
  void WaitForNone() {
    base::MutexLock lock(&mutex_);
    while (count_ > 0) none_.Wait(&mutex_);
  }

 private:
  base::Mutex mutex_;
  base::CondVar none_;
  size_t count_ GUARDED_BY(mutex_) = 0;
};

}  // namespace consul::transport

#endif  // CONSUL_SERVICES_TRANSPORT_STREAM_COUNT_H_
