// services/rpc/grpc_strand.h
//
// Executors for calls that begin on gRPC's threads. A call begins inside a strand on the thread
// that gRPC gave it, so that one that needs no wait never changes threads; one that waits goes on
// in the same strand on the event thread, and one whose reply is a list begins there, unless the
// backend passes it on as bytes. A strand runs one thing at a time, which is what a call's contract
// asks of its executor. Strands belong to the server rather than to calls, for an executor outlives
// every wake of a call that is over.
//
// Threads: Post and Enter from any.
#ifndef CONSUL_SERVICES_RPC_GRPC_STRAND_H_
#define CONSUL_SERVICES_RPC_GRPC_STRAND_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <thread>

#include "services/base/mutex.h"
#include "services/rpc/executor.h"
#include "services/rpc/task_queue.h"

namespace consul::rpc {

// A thread that runs tasks until it is stopped.
class EventThread final : public Executor {
 public:
  // `idle` runs on the thread when it has had no task for a second. `name` has 15 bytes at most.
  explicit EventThread(std::function<void()> idle, const char* name = "rpc");
  // Runs what was posted, then ends the thread. REQUIRES: nothing posts any more.
  ~EventThread();

  void Post(Task* task) override;

 private:
  void Run();

  const std::function<void()> idle_;
  TaskQueue queue_;
  base::Mutex mutex_;
  base::CondVar wake_;
  bool woken_ GUARDED_BY(mutex_) = false;
  bool stop_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

class Strand final : public Executor, private Task {
 public:
  void set_thread(EventThread* thread) { thread_ = thread; }

  // Runs on the event thread.
  void Post(Task* task) override;

  // Runs `work` on this thread. Returns false, and has not run it, where something runs in the
  // strand at the moment, for a thread of gRPC's must not wait; and on a thread that runs in a
  // strand already, for gRPC may begin a call inside the Finish of another one. The caller posts
  // instead.
  template <typename Work>
  [[nodiscard]] bool Enter(Work&& work) {
    if (in_strand_ || !mutex_.TryLock()) return false;
    in_strand_ = true;
    work();
    in_strand_ = false;
    mutex_.Unlock();
    return true;
  }

 private:
  void Run() override;

  static thread_local bool in_strand_;

  EventThread* thread_ = nullptr;
  TaskQueue queue_;
  base::Mutex mutex_;  // held by whoever runs in the strand
};

// A server's strands. A thread keeps to one of them, so that gRPC's threads do not meet in it.
class Strands {
 public:
  explicit Strands(std::function<void()> idle);

  Strand* OfThisThread();
  // For a call that is posted: none of any thread's, so that what is long keeps nobody out.
  Strand* ForPosted();

 private:
  // As many as gRPC has threads.
  static constexpr size_t kOfThreads = 16;
  static constexpr size_t kForPosted = 16;

  std::array<Strand, kOfThreads> of_threads_;
  std::array<Strand, kForPosted> for_posted_;
  std::atomic<size_t> posted_{0};
  EventThread thread_;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_GRPC_STRAND_H_
