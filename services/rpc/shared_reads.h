// services/rpc/shared_reads.h
//
// Blocking reads of a client agent that ask the same of a server share one call: ten thousand who
// watch one key through an agent are one at the server. The same is the same method, token and
// bytes, the index and the wait included.
//
// An answer is taken only from a call that began after its reader came, or it might not have what
// the reader knows to be written. So whoever came while a call was under way is answered by the
// next one, which begins when that ends, once for all of them; and when their own time is over,
// each asks by itself, without a wait.
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
    // Of a read that names none, and of any.
    std::chrono::milliseconds wait_default;
    std::chrono::milliseconds wait_max;
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
  void Join(Member* member);
  // Begins a call for `member` alone, which does not wait at the server.
  void AskAlone(Member* member);
  // A new call, with `member` waiting for it.
  std::shared_ptr<Upstream> MakeUpstream(Member* member, bool alone) REQUIRES_LOCK(mutex_);
  void Leave(Member* member);
  // It waits for no call any more; one that nobody waits for is given up.
  void Part(Member* member);
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
