// services/rpc/shared_barriers.h
//
// Reads that come to an event loop together, and may be answered only once the leader has vouched
// for a state, ask for that together: it is one question to consensus and one wake of the loop,
// however many they are. Consensus counts and refuses them as one; the face limits their number.
//
// Threads: Await on the executor's thread of each read.
#ifndef CONSUL_SERVICES_RPC_SHARED_BARRIERS_H_
#define CONSUL_SERVICES_RPC_SHARED_BARRIERS_H_

#include <map>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "services/base/mutex.h"
#include "services/rpc/consensus.h"
#include "services/rpc/executor.h"

namespace consul::rpc {

class SharedBarriers {
 public:
  class Read {
   public:
    virtual ~Read() = default;
    // As Consensus::ReadBarrier says it. On the executor's thread, never inside Await.
    virtual void Answered(const absl::Status& status) = 0;
  };

  // `consensus` outlives this, and this every read.
  explicit SharedBarriers(Consensus* consensus) : consensus_(consensus) {}
  SharedBarriers(const SharedBarriers&) = delete;
  SharedBarriers& operator=(const SharedBarriers&) = delete;

  // Tells `read` once, when it may go on. The question is asked after this, so what was
  // acknowledged before is seen: at once for an executor that does not gather, else once the
  // executor has begun what had come in by then.
  void Await(Executor* executor, ReadMode mode, std::shared_ptr<Read> read);

 private:
  class Group;
  using Key = std::pair<Executor*, ReadMode>;

  Consensus* const consensus_;
  base::Mutex mutex_;
  std::map<Key, std::shared_ptr<Group>> gathering_ GUARDED_BY(mutex_);
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_SHARED_BARRIERS_H_
