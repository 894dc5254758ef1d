// services/api/snapshot_restores.h
//
// SnapshotService.Restore: takes an archive apart, on a thread of its own, and brings its state to
// the servers by the agent's own calls. One at a time: an archive is large.
//
// Threads: Start on the call's executor, AskToStop from any, Stop by the owner.
#ifndef CONSUL_SERVICES_API_SNAPSHOT_RESTORES_H_
#define CONSUL_SERVICES_API_SNAPSHOT_RESTORES_H_

#include <functional>
#include <memory>

#include "services/base/mutex.h"
#include "services/rpc/backend.h"
#include "services/rpc/waited_calls.h"

namespace consul::api {

class SnapshotRestores {
 public:
  // `backend` is asked for when there is a call.
  explicit SnapshotRestores(std::function<rpc::Backend*()> backend);
  // REQUIRES: the backend is at rest.
  ~SnapshotRestores();

  // Takes the call over. A caller that goes away ends it, unless its commit is on the way.
  void Start(rpc::Call* call);
  // The calls of the one that runs are cancelled, and none begins any more.
  void AskToStop();
  // Returns when the one that runs has ended. Idempotent.
  void Stop();

 private:
  class Restore;

  const std::function<rpc::Backend*()> backend_;
  rpc::WaitedCalls calls_;  // of the one that runs
  base::Mutex mutex_;
  std::shared_ptr<Restore> running_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;
};

}  // namespace consul::api

#endif  // CONSUL_SERVICES_API_SNAPSHOT_RESTORES_H_
