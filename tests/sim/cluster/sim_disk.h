// tests/sim/cluster/sim_disk.h
//
// One server's disk: the real log and the real snapshot files over a faulty file system, with the
// time that a disk takes. What is handed to it while it is busy waits and becomes one group. What
// was reported durable is kept beside it, and compared with what the next start finds.
//
// Threads: none; a run owns it.
// Background: services/raft/log_format.md, services/raft/snapshot_format.md.
#ifndef CONSUL_TESTS_SIM_CLUSTER_SIM_DISK_H_
#define CONSUL_TESTS_SIM_CLUSTER_SIM_DISK_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/base/faulty_file_system.h"
#include "services/raft/core/invariants.h"
#include "services/raft/core/options.h"
#include "services/raft/core/output.h"
#include "services/raft/log_store.h"
#include "services/raft/snapshot_files.h"
#include "services/raft/staged_snapshot.h"
#include "services/raft/state_machine.h"
#include "tests/sim/cluster/sim_options.h"
#include "tests/sim/cluster/sim_world.h"

namespace consul::sim {

class SimDisk {
 public:
  struct Hooks {
    // Runs `event` later, if the process still runs then and is not paused.
    std::function<void(Duration, std::function<void()>)> after;
    std::function<void(raft::PersistId)> persisted;
    // A snapshot of this server's own is durable, and the log begins at `log_first`.
    std::function<void(const raft::SnapshotMeta&, raft::Index log_first)> snapshot_taken;
    // The disk can no longer be trusted: the process ends.
    std::function<void(const absl::Status&)> fatal;
    // What was durable is gone.
    std::function<void(std::string)> broken;
  };

  SimDisk(SimWorld* world, const SimOptions& options, uint64_t seed, Hooks hooks);

  // ---- The process.

  // What a start finds. After an error, RESOURCE_EXHAUSTED for a full disk, Stop is due.
  absl::StatusOr<raft::Restart> Open(raft::StateMachine* state_machine);
  // The process ends, in the midst of whatever the disk was doing.
  void Stop(base::Unsynced unsynced);

  // ---- For the driver, while open.

  absl::Status Reserve(uint64_t records_bytes);
  void Persist(raft::Persist persist);
  // Whether everything handed to Persist is durable.
  bool idle() const { return waiting_.empty() && writing_.empty(); }
  std::vector<raft::Entry> Read(const raft::LoadRequest& request);

  bool writing_snapshot() const { return frozen_ != nullptr; }
  void WriteSnapshot(raft::SnapshotMeta at, std::unique_ptr<raft::FrozenState> state);
  // Nothing when that snapshot has made way for a newer one.
  std::optional<raft::Buffer> LoadChunk(const raft::SnapshotLoadRequest& request);
  // Returns how much of the staged snapshot there is.
  absl::StatusOr<uint64_t> StoreChunk(const raft::SnapshotStore& store);
  // A whole one waits for its turn: until the term that it may bring is durable, and no snapshot of
  // this server's own is being written.
  bool restoring_due() const { return whole_ && !writing_snapshot(); }
  bool restoring() const { return restoring_; }
  // Gives it to `state_machine`; then, a moment later, it is this server's newest: `installed`.
  absl::Status Restore(raft::StateMachine* state_machine,
                       std::function<void(const raft::SnapshotMeta&)> installed);

  // ---- Faults.

  base::FaultyFileSystem& files() { return files_; }
  void SetLatency(Duration min, Duration max) {
    latency_min_ = min;
    latency_max_ = max;
  }
  Duration Latency() { return world_->Between(latency_min_, latency_max_); }
  void SetFull(bool full);

  // What was reported durable.
  const raft::DurableState& durable() const { return durable_; }

 private:
  void StartWriting();
  void FinishWriting();
  void FinishSnapshot();
  void DropOldSegments();
  void Fail(const absl::Status& why);
  std::string Compare(const raft::DurableState& expected, const raft::DurableState& found) const;

  SimWorld* const world_;
  const SimOptions& options_;
  const Hooks hooks_;
  base::FaultyFileSystem files_;
  uint64_t salt_seed_;
  Duration latency_min_ = std::chrono::microseconds(100);
  Duration latency_max_ = Milliseconds(2);

  std::unique_ptr<raft::LogStore> log_;
  std::unique_ptr<raft::SnapshotFiles> snapshots_;
  std::unique_ptr<raft::StagedSnapshot> staged_;  // coming from another server
  bool whole_ = false;
  bool restoring_ = false;
  bool failed_ = false;
  std::vector<raft::Persist> waiting_;
  std::vector<raft::Persist> writing_;  // under way, or waiting for room
  raft::SnapshotMeta frozen_at_;
  std::unique_ptr<raft::FrozenState> frozen_;  // being written

  raft::DurableState durable_;
  // The same with the group that was under way when the process ended.
  std::optional<raft::DurableState> perhaps_durable_;
};

}  // namespace consul::sim

#endif  // CONSUL_TESTS_SIM_CLUSTER_SIM_DISK_H_
