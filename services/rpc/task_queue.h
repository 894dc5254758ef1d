// services/rpc/task_queue.h
//
// The list of tasks behind an Executor: many producers, one consumer, no allocation. Push tells
// whether the consumer has to be woken, so that a burst wakes it once.
//
// Threads: Push from any; RunAll from the consumer's.
#ifndef CONSUL_SERVICES_RPC_TASK_QUEUE_H_
#define CONSUL_SERVICES_RPC_TASK_QUEUE_H_

#include <atomic>

#include "services/rpc/executor.h"

namespace consul::rpc {

class TaskQueue {
 public:
  // Returns true when the queue was empty: the consumer has to be woken.
  bool Push(Task* task) {
    Task* head = head_.load(std::memory_order_relaxed);
    do {
      task->next_task_ = head;
    } while (!head_.compare_exchange_weak(head, task, std::memory_order_release,
                                          std::memory_order_relaxed));
    return head == nullptr;
  }

  // Runs everything pushed so far, oldest first. Returns how many tasks ran.
  int RunAll() {
    Task* taken = head_.exchange(nullptr, std::memory_order_acquire);
    Task* oldest = nullptr;
    while (taken != nullptr) {
      Task* const next = taken->next_task_;
      taken->next_task_ = oldest;
      oldest = taken;
      taken = next;
    }
    int count = 0;
    while (oldest != nullptr) {
      Task* const next = oldest->next_task_;
      oldest->next_task_ = nullptr;
      oldest->Run();
      oldest = next;
      ++count;
    }
    return count;
  }

 private:
  std::atomic<Task*> head_{nullptr};
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_TASK_QUEUE_H_
