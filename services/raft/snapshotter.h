// services/raft/snapshotter.h
//
// Keeps the log short: decides when a snapshot is due, has the state frozen on the apply thread and
// written on a thread of its own (`raft-snapshots`, which lives only while one is written), then
// lets go of the log before it, a segment at a time.
//
// A snapshot is due when the log since the last one exceeds its threshold and the size of the last
// one: by the latter, what is written for snapshots is never more than what was written to the log.
//
// The log leaves the next snapshot its room on the disk: as much as the last one takes and all that
// was written since. Where it has no more than half a segment before it is down to that, one is due
// at once, whatever the threshold and the interval say, if the log has grown by the last one's
// size; otherwise with the next interval. But a small state on a disk that others fill is not
// written after every few entries: between two there is some growth, or a pause.
//
// While another server's snapshot is received none is begun, and one that is under way is given up:
// what is received is newer.
//
// Threads: all methods in a turn at Core (node_turn.cc), Step on the thread `raft` alone; Stop by
// the owner once there are no more turns.
// Background: services/raft/README.md (Snapshots), services/raft/snapshot_format.md.
#ifndef CONSUL_SERVICES_RAFT_SNAPSHOTTER_H_
#define CONSUL_SERVICES_RAFT_SNAPSHOTTER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/base/metrics.h"
#include "services/base/mutex.h"
#include "services/raft/apply_thread.h"
#include "services/raft/core/core.h"
#include "services/raft/log_disk.h"
#include "services/raft/node.h"
#include "services/raft/snapshot_files.h"
#include "services/raft/state_machine.h"

namespace consul::raft {

class Snapshotter {
 public:
  struct Hooks {
    std::function<void(LogLevel, std::string_view)> log;
    std::function<void()> wake;  // the thread `raft`, to call Step; on any thread
    // In milliseconds: from the beginning to the end; of that, writing it; letting go of what it
    // covers, a segment at a time.
    base::MetricSeries* took;
    base::MetricSeries* wrote;
    base::MetricSeries* compacted;
  };

  // Core, disk and apply thread outlive what this calls of them, which is nothing after Stop.
  Snapshotter(const SnapshotOptions& options, std::unique_ptr<SnapshotFiles> files, Core* core,
              LogDisk* disk, ApplyThread* apply, Hooks hooks, Time now);
  ~Snapshotter() { Stop(); }
  Snapshotter(const Snapshotter&) = delete;
  Snapshotter& operator=(const Snapshotter&) = delete;

  // Entries up to `last`, of so many bytes, were pushed to the apply thread.
  void Handed(Index last, uint64_t bytes);

  // What came of the log's segment that was to go.
  void Dropped(const LogDisk::Dropped& dropped);

  // Between Hold(true) and Hold(false) none is begun, and one that is under way is given up; it is
  // until busy() is false.
  void Hold(bool held);
  bool busy() const { return phase_ == Phase::kFreezing || phase_ == Phase::kWriting; }
  // Another server's is now the newest, and the core knows. REQUIRES: held, not busy.
  void Installed(Time now);

  // Entries behind `index` are kept as long as this stands, for a server that was sent a snapshot
  // and wants those next: unless the disk is full, or the log takes more of it than `bytes_max`.
  void KeepBehind(std::optional<Index> index, uint64_t bytes_max = 0);

  // The disk is full: what the log keeps for servers that are behind goes as well, and what a new
  // snapshot covers, once that is there. Returns whether there may be something that goes soon;
  // then it does while giving_back().
  bool GiveBack();
  // There is room again without any of it.
  void RoomFound() { pressed_ = false; }
  bool giving_back() const { return (gives_back_ && phase_ == Phase::kDropping) || Hopeful(); }

  SnapshotFiles* files() const { return files_.get(); }

  // Does what is due. An error is fatal: the disk can no longer be trusted.
  absl::Status Step(Time now);
  // When Step has something to do next; Time::max() while only a wake or more entries bring it on.
  Time NextDeadline() const;

  // Gives up the snapshot that is being written. Idempotent.
  void Stop();

 private:
  enum class Phase : uint8_t { kWaiting, kFreezing, kWriting, kDropping };

  // Whether a snapshot would cover anything, and be whole.
  bool Possible() const;
  bool Due() const;
  // Whether one is to be taken for the sake of the room, and at once.
  bool Pressed() const { return pressed_ || disk_->tight(); }
  bool Pressing() const {
    return Pressed() && !failed_ && Possible() && Grown() &&
           (rested_ || bytes_ >= options_.room_bytes_min);
  }
  // Such a one is on its way, and has not taken long yet.
  bool Hopeful() const { return !failed_ && (busy() ? forced_ : Pressing()); }
  bool Grown() const { return bytes_ > core_->snapshot().size_bytes; }
  void LeaveRoom();
  void Begin(Time now);
  void StartWriting(std::unique_ptr<FrozenState> state);
  absl::Status Finish(Time now, const absl::StatusOr<SnapshotMeta>& written);
  void DropSegment();

  const SnapshotOptions options_;
  const std::unique_ptr<SnapshotFiles> files_;
  Core* const core_;
  LogDisk* const disk_;
  ApplyThread* const apply_;
  const Hooks hooks_;

  Phase phase_ = Phase::kWaiting;
  bool held_ = false;
  std::optional<Index> sent_;  // KeepBehind
  uint64_t sent_bytes_max_ = 0;
  Time check_at_;
  Index handed_;
  uint64_t bytes_ = 0;         // of entries handed since the last snapshot
  uint64_t frozen_bytes_ = 0;  // of those, what the one under way covers
  SnapshotMeta at_;            // of the one under way
  Time begun_at_;
  bool pressed_ = false;       // the disk is full, whatever the log gave back
  bool failed_ = false;        // nothing came of the last one
  bool forced_ = false;        // the one under way is for the sake of the room
  bool rested_ = true;         // the last one began SnapshotOptions::room_pause ago, or longer
  bool dropping_ = false;      // a segment is on its way out
  std::optional<base::MetricTimer> dropping_since_;
  bool gives_back_ = false;    // all that the snapshot covers is to go
  bool gives_segment_ = false; // so was the one on its way out chosen
  Index gave_back_;            // the snapshot of which all that it covers is gone
  std::thread thread_;
  std::atomic<bool> cancelled_{false};

  // From the other threads.
  base::Mutex mutex_;
  std::unique_ptr<FrozenState> frozen_ GUARDED_BY(mutex_);
  std::optional<absl::StatusOr<SnapshotMeta>> written_ GUARDED_BY(mutex_);
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_SNAPSHOTTER_H_
