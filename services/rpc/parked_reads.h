// services/rpc/parked_reads.h
//
// Blocking reads that wait for their result to change. Those that ask the same of one executor (the
// same method, request, token and consistency; only the index and the wait may differ) wait in one
// group: one watch, one wake, one evaluation, one response message for all who are due. A lone read
// is a group of one.
//
// A member is answered when the result's index is above the one that it gave, or when its own time
// is over; the others of the group wait on. Each can be cancelled by itself.
//
// Threads: a group belongs to its executor, and so do Join and Park for its calls; the table of
// groups is any thread's. Watches and timers tell a group from other threads (waiting_call.h).
#ifndef CONSUL_SERVICES_RPC_PARKED_READS_H_
#define CONSUL_SERVICES_RPC_PARKED_READS_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "services/base/mutex.h"
#include "services/base/timer_queue.h"
#include "services/rpc/evaluation.h"

namespace consul::rpc {

class LongReads;

class ParkedReads {
 public:
  struct Limits {
    std::chrono::nanoseconds wait_default;  // of a read that names none
    std::chrono::nanoseconds wait_max;
    size_t reads_max;
  };

  // All outlive this.
  ParkedReads(Limits limits, const Consensus* consensus, LongReads* long_reads,
              base::TimerQueue* timers);
  // REQUIRES: nobody waits.
  ~ParkedReads();
  ParkedReads(const ParkedReads&) = delete;
  ParkedReads& operator=(const ParkedReads&) = delete;

  // Parks a read beside others that wait for the same, if it is certain without an evaluation that
  // its result has not moved. Returns false, and has done nothing, if it is not.
  // REQUIRES: read.given() is not 0; the same for Park.
  bool Join(const Read& read);

  enum class Outcome {
    kParked,
    kMoved,  // the result has changed since: evaluate again
    kFull,   // `reads_max` wait already
  };
  // Parks a read whose evaluation gave an index that is not above read.given(), and a watch that is
  // not empty. The call's own response is not needed any more once it is parked.
  Outcome Park(const Read& read, const Evaluated& evaluated);

 private:
  class Group;
  class Member;

  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  using Groups = std::unordered_map<std::string, std::shared_ptr<Group>, TextHash, std::equal_to<>>;

  Group* Find(std::string_view key);
  bool full() const { return count_.load(std::memory_order_relaxed) >= limits_.reads_max; }
  std::chrono::steady_clock::time_point DeadlineOf(const Read& read) const;

  const Limits limits_;
  const Consensus* const consensus_;
  LongReads* const long_reads_;
  base::TimerQueue* const timers_;
  std::atomic<size_t> count_{0};
  std::atomic<uint64_t> answers_{0};  // that were shared
  base::Mutex mutex_;
  Groups groups_ GUARDED_BY(mutex_);
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_PARKED_READS_H_
