// services/rpc/shared_reads.h
//
// Blocking reads of a client agent that ask the same of a server share one call: ten thousand who
// watch one key through an agent are one at the server. The same is the same method, token and
// bytes, the index and the wait included.
//
// Whoever comes later than the one that a call was begun for has a wait that ends later. When the
// call ends without a change it is made anew for them, and each is answered, with what it brought,
// when its own time is over.
//
// Threads: Start on the executor of each call. The shared calls run on a thread of their own,
// `shared-reads`, which is there once a read has waited.
#ifndef CONSUL_SERVICES_RPC_SHARED_READS_H_
#define CONSUL_SERVICES_RPC_SHARED_READS_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "services/base/mutex.h"
#include "services/base/timer_queue.h"
#include "services/rpc/call.h"

namespace consul::rpc {

class EventThread;

class SharedReads {
 public:
  struct Options {
    // Of a read that names none.
    std::chrono::milliseconds wait_default;
    // Reads that wait at once; above it REASON_OVERLOADED.
    size_t reads_max = 200'000;
  };

  // `forward` starts a call to a server (Backend::Start), with its request and reply as bytes.
  // `timers` outlives this.
  SharedReads(Options options, base::TimerQueue* timers, std::function<void(Call*)> forward);
  // REQUIRES: no read waits, and those that were forwarded end soon by themselves; it waits for
  // those.
  ~SharedReads();
  SharedReads(const SharedReads&) = delete;
  SharedReads& operator=(const SharedReads&) = delete;

  // REQUIRES: the call is a read whose options have an index.
  void Start(Call* call);

  // No forwarded read is under way when it returns. REQUIRES: they end soon by themselves.
  void AwaitEnd();

 private:
  class Upstream;
  class Member;
  struct Answer;

  // Lets `member` wait for the call that its key names, which is begun if there is none.
  void Join(const std::shared_ptr<Member>& member);
  void Leave(Member* member);
  // `upstream` has ended: its members are told.
  void Over(Upstream* upstream);

  const Options options_;
  base::TimerQueue* const timers_;
  const std::function<void(Call*)> forward_;
  base::Mutex mutex_;
  base::CondVar ended_;
  std::unordered_map<std::string, std::shared_ptr<Upstream>> upstreams_ GUARDED_BY(mutex_);
  size_t waiting_ GUARDED_BY(mutex_) = 0;   // members
  size_t under_way_ GUARDED_BY(mutex_) = 0;  // upstreams, those without members included
  std::unique_ptr<EventThread> thread_ GUARDED_BY(mutex_);
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_SHARED_READS_H_
