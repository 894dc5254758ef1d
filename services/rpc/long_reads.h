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
  explicit LongReads(const Consensus* consensus) : consensus_(consensus) {}
  // Waits for the evaluation that is under way. Answers may outlive this.
  ~LongReads();
  LongReads(const LongReads&) = delete;
  LongReads& operator=(const LongReads&) = delete;

  // Evaluates `question`, of which it keeps a copy, and then wakes `asker`, once.
  std::unique_ptr<LongRead> Start(const Question& question, std::shared_ptr<Waking> asker);

 private:
  const Consensus* const consensus_;
  base::Mutex mutex_;
  std::shared_ptr<boost::asio::thread_pool> threads_ GUARDED_BY(mutex_);
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_LONG_READS_H_
