// services/rpc/long_reads.h
//
// Reads that come to more rows than an event loop should look up at one go (kRowsAtOnce). They are
// evaluated once more, whole, on threads of their own, while the loop serves others. What they are
// answered with is destroyed there, too: to free the strings of a million keys takes as long as to
// find them.
//
// Threads: any; a LongRead belongs to the executor of who asks. The threads are made by the first
// read that needs them.
#ifndef CONSUL_SERVICES_RPC_LONG_READS_H_
#define CONSUL_SERVICES_RPC_LONG_READS_H_

#include <atomic>
#include <cstddef>
#include <memory>

#include "absl/status/status.h"
#include "services/base/mutex.h"
#include "services/rpc/consensus.h"
#include "services/rpc/evaluation.h"
#include "services/rpc/waiting_call.h"

namespace boost::asio {
class thread_pool;
}  // namespace boost::asio

namespace consul::rpc {

// What an evaluation elsewhere came to. `evaluated` is the answer's.
struct LongAnswer : Answer {
  using Answer::Answer;
  absl::Status status;
  state::WatchSet watched;
  Evaluated evaluated;
};

// One read that is evaluated elsewhere. Destroyed, it tells nobody any more.
class LongRead {
 public:
  ~LongRead();
  LongRead(const LongRead&) = delete;
  LongRead& operator=(const LongRead&) = delete;

  // The answer, once who asked was woken for it; null before, and after it was taken.
  std::shared_ptr<LongAnswer> Take();

 private:
  friend class LongReads;
  struct Job;
  explicit LongRead(std::shared_ptr<Job> job) : job_(std::move(job)) {}
  const std::shared_ptr<Job> job_;
};

class LongReads {
 public:
  LongReads(const Consensus* consensus, size_t waiting_max)
      : consensus_(consensus), waiting_max_(waiting_max) {}
  // Waits for the evaluation that is under way. Answers may outlive this.
  ~LongReads();
  LongReads(const LongReads&) = delete;
  LongReads& operator=(const LongReads&) = delete;

  // How many are evaluated at a time.
  static size_t ThreadCount();

  // Whether `waiting_max` wait for a thread, those included that tell nobody any more: nobody
  // else is to begin. A read that has a place among the parked is: to refuse it would turn one
  // write into errors for all who wait for it, and their number has a limit (ParkedReads::Limits).
  bool full() const { return waiting_.load(std::memory_order_relaxed) >= waiting_max_; }
  // Evaluates `question`, of which it keeps a copy, and then wakes `asker`, once. In the order of
  // the calls.
  std::unique_ptr<LongRead> Start(const Question& question, std::shared_ptr<Waking> asker);

 private:
  const Consensus* const consensus_;
  const size_t waiting_max_;
  std::atomic<size_t> waiting_{0};
  base::Mutex mutex_;
  std::shared_ptr<boost::asio::thread_pool> threads_ GUARDED_BY(mutex_);
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_LONG_READS_H_
