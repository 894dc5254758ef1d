// services/rpc/executor.h
//
// Where a call goes on after it has waited: an event loop of the face that made it. A publish that
// answers thousands of waiting calls wakes each loop once, so tasks are intrusive and queues are
// lists.
//
// Threads: Post from any thread; tasks run one at a time on the executor's own.
#ifndef CONSUL_SERVICES_RPC_EXECUTOR_H_
#define CONSUL_SERVICES_RPC_EXECUTOR_H_

#include <chrono>

namespace consul::rpc {

// One piece of work. The poster keeps it alive until it has run.
class Task {
 public:
  virtual void Run() = 0;

 protected:
  ~Task() = default;

 private:
  friend class TaskQueue;
  Task* next_task_ = nullptr;
};

class Executor {
 public:
  // Runs `task` soon, after what was posted before it. Never runs it inside Post.
  // REQUIRES: the task is not already posted.
  virtual void Post(Task* task) = 0;

  // Whether many calls begin here: a task that is posted then runs when those that have come in by
  // now have begun, so that they can share what they ask others for.
  virtual bool gathers() const { return false; }

  // Whether a task that runs now should post the rest of what it has to do: others wait for this
  // thread, too.
  virtual bool time_is_up() const { return false; }

  // So many answers more (or fewer) are under way to calls that began here, which other threads
  // post soon: within a round trip to another server. Tasks run once they have come may run on the
  // thread that brings them. On the executor's own thread.
  virtual void Expect(int /*more*/) {}

 protected:
  ~Executor() = default;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_EXECUTOR_H_
