// services/api/snapshot_saves.h
//
// SnapshotService.Save: an archive of the newest version, as a stream. Each save has a thread while
// it runs, which is no faster than its caller: it makes a part when the one before was taken.
//
// Threads: Start on the call's executor, Stop by the owner.
#ifndef CONSUL_SERVICES_API_SNAPSHOT_SAVES_H_
#define CONSUL_SERVICES_API_SNAPSHOT_SAVES_H_

#include <cstdint>
#include <functional>
#include <list>
#include <memory>

#include "absl/status/status.h"
#include "services/base/mutex.h"
#include "services/rpc/call.h"
#include "services/rpc/consensus.h"
#include "services/state/version_source.h"

namespace consul::api {

class SnapshotSaves {
 public:
  // At once: each keeps a version, and a processor busy.
  static constexpr size_t kRunningMax = 4;

  // All outlive it; `term` is that of this server's consensus.
  SnapshotSaves(rpc::Consensus* consensus, state::VersionSource* state,
                std::function<uint64_t()> term);
  ~SnapshotSaves();

  // Takes the call over. Unless it is a stale one, its state is not older than anything that was
  // acknowledged before.
  void Start(rpc::Call* call);
  // Those that run end with an error; later ones are refused. Idempotent.
  void Stop();

 private:
  class Save;

  // REASON_OVERLOADED, REASON_SHUTTING_DOWN: there is no room for one more.
  absl::Status Add(const std::shared_ptr<Save>& save);

  rpc::Consensus* const consensus_;
  state::VersionSource* const state_;
  const std::function<uint64_t()> term_;
  base::Mutex mutex_;
  std::list<std::shared_ptr<Save>> running_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;
};

}  // namespace consul::api

#endif  // CONSUL_SERVICES_API_SNAPSHOT_SAVES_H_
