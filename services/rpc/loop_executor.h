// services/rpc/loop_executor.h
//
// An Executor that is a thread and nothing else: for faces whose library brings no event loop that
// could be one.
//
// Threads: Post from any; tasks and `idle` on its own.
#ifndef CONSUL_SERVICES_RPC_LOOP_EXECUTOR_H_
#define CONSUL_SERVICES_RPC_LOOP_EXECUTOR_H_

#include <functional>
#include <thread>

#include "services/base/mutex.h"
#include "services/rpc/executor.h"
#include "services/rpc/task_queue.h"

namespace consul::rpc {

class LoopExecutor : public Executor {
 public:
  // `idle` is called once the thread has been without a task for a second. `name`: 15 bytes at most.
  LoopExecutor(const char* name, std::function<void()> idle);
  // Stops. Tasks posted later are never run.
  ~LoopExecutor();
  LoopExecutor(const LoopExecutor&) = delete;
  LoopExecutor& operator=(const LoopExecutor&) = delete;

  void Post(Task* task) override;
  // Runs what is posted, then ends the thread. Idempotent.
  void Stop();

 private:
  void Run();

  const std::function<void()> idle_;
  TaskQueue tasks_;
  base::Mutex mutex_;
  base::CondVar posted_;
  bool ready_ GUARDED_BY(mutex_) = false;
  bool stop_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_LOOP_EXECUTOR_H_
