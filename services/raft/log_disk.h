// services/raft/log_disk.h
//
// Who writes the log. A server that is its cluster's only member writes on the raft thread: a
// hand-over would cost more than it brings. Where others wait for its word, a thread `disk` owns
// the log, so that a sync that takes long delays neither a heartbeat nor any reply that promises
// nothing: the raft thread hands over what is to be done, goes on, and is told. All that waits when
// the disk is free is one group, with one write and one sync.
//
// Threads: all methods in a turn at Core (node_turn.cc), SetThreaded on the thread `raft` alone;
// Stop by the owner once there are no more turns. `spoke` is called on the thread `disk`.
// Background: services/raft/README.md (The disk).
#ifndef CONSUL_SERVICES_RAFT_LOG_DISK_H_
#define CONSUL_SERVICES_RAFT_LOG_DISK_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/base/mutex.h"
#include "services/raft/core/output.h"
#include "services/raft/core/types.h"
#include "services/raft/log_store.h"

namespace consul::raft {

class LogDisk {
 public:
  // Everything up to `id` is durable, after a write of so many milliseconds.
  struct Written {
    PersistId id;
    double ms = 0;
  };
  // No room: nothing more is written until RetryWrite.
  struct Full {
    absl::Status why;
  };
  struct Loaded {
    LoadRequest request;
    absl::StatusOr<std::vector<Entry>> entries;
  };
  // There was a segment to remove, and the log began at `first_before` until then.
  struct Dropped {
    bool dropped = false;
    Index first_before;
  };
  // The disk can no longer be trusted.
  struct Failed {
    absl::Status why;
  };
  using Event = std::variant<Written, Full, Loaded, Dropped, Failed>;

  // `spoke`: there are events, and nothing more to do if it is said to be idle.
  LogDisk(std::unique_ptr<LogStore> log, uint64_t group_bytes_max,
          std::function<void(bool idle)> spoke);
  ~LogDisk() { Stop().IgnoreError(); }
  LogDisk(const LogDisk&) = delete;
  LogDisk& operator=(const LogDisk&) = delete;

  // Whether the thread `disk` works, or the caller of each method below before it returns. Nothing
  // changes while anything is under way.
  void SetThreaded(bool threaded);
  bool threaded() const { return thread_.joinable(); }

  // What has happened since the last call.
  std::vector<Event> Take();

  // Makes `persist` durable behind the earlier ones.
  void Write(Persist persist);
  void RetryWrite();
  // Full was told, and nothing has been written since.
  bool full() const { return full_told_; }

  // Room for records of `bytes`, beyond all that was handed over. OK: there is; a Write of so many
  // will not meet a full disk. Nothing: it is being made, `wake` tells when to ask again.
  // RESOURCE_EXHAUSTED: the disk is full; a later call may succeed. Whoever asks for as much in the
  // same turn hears the same: one who always comes first must not keep the others waiting for ever.
  std::optional<absl::Status> Reserve(uint64_t bytes);
  // The same without more disk space, now.
  bool HasRoom(uint64_t bytes) const;
  // Reserve leaves so much of the disk to the next snapshot.
  void LeaveFree(uint64_t bytes) { log_->LeaveFree(bytes); }
  // There is no room for the next segment; said once for each.
  bool tight() const { return log_->tight(); }
  void ClearTight() { log_->ClearTight(); }
  // An answer is for those who ask in one turn, and is kept for the next one only where somebody
  // waits for it that has not asked since it came.
  void EndTurn(bool anybody_waits);
  // Reserve is to be called again once there are events.
  bool reserving() const { return reserving_; }

  void Load(LoadRequest request);
  // Syncs the last group's mark.
  void Settle();
  // Removes the oldest segment if all of it is before `index`, and `trailing_bytes` of the log are
  // kept at most from before that: entries from `wanted` on stay if they are within.
  void DropSegment(Index index, Index wanted, uint64_t trailing_bytes);

  // The log's first entry, as of the last Take.
  Index first() const { return first_; }

  // Writes what was handed over, ends the thread and settles the log. Idempotent.
  absl::Status Stop();

 private:
  struct ReserveJob {
    uint64_t bytes = 0;
  };
  struct SettleJob {};
  struct DropJob {
    Index index;
    Index wanted;
    uint64_t trailing_bytes = 0;
  };
  using Job = std::variant<LoadRequest, ReserveJob, SettleJob, DropJob>;

  // The answer to a Reserve of so many bytes.
  struct NoRoom {
    uint64_t bytes = 0;
    absl::Status why;
    bool told = false;  // somebody has asked since it came
  };

  // Of the log, as of some moment.
  struct Standing {
    uint64_t room = 0;        // of the active segment
    uint64_t costs_done = 0;  // of all that was written until then
    Index first;
  };

  void Give(Job job);
  // Has it done, here or there.
  void GetGoing();
  bool HasWork() const REQUIRES_LOCK(mutex_) {
    return (!writes_.empty() && !full_) || !jobs_.empty();
  }
  bool idle() const;
  uint64_t RoomFor(uint64_t bytes) const;
  static uint64_t CostOf(const Persist& persist);

  // On the thread that works.
  void Run();
  void WorkOnce();
  void WriteGroup(std::vector<Persist> group);
  void Do(const Job& job);
  void Tell(Event event);
  absl::Status ReserveNow(uint64_t bytes);

  const std::unique_ptr<LogStore> log_;  // of the thread that works
  const uint64_t group_bytes_max_;
  const std::function<void(bool idle)> spoke_;

  // Of whoever has the turn.
  PersistId handed_;
  PersistId written_;
  uint64_t costs_handed_ = 0;
  Standing standing_;
  Index first_;
  bool full_told_ = false;
  bool reserving_ = false;
  uint64_t reserve_bytes_ = 0;  // that are looked for
  std::optional<NoRoom> no_room_;
  uint64_t jobs_given_ = 0;
  uint64_t jobs_seen_ = 0;  // done, as of the last Take

  // Of the thread that works.
  uint64_t costs_done_ = 0;

  base::Mutex mutex_;
  base::CondVar wake_;
  std::deque<Persist> writes_ GUARDED_BY(mutex_);
  std::deque<Job> jobs_ GUARDED_BY(mutex_);
  std::vector<Event> events_ GUARDED_BY(mutex_);
  std::optional<absl::Status> reserved_ GUARDED_BY(mutex_);
  Standing now_ GUARDED_BY(mutex_);
  uint64_t jobs_done_ GUARDED_BY(mutex_) = 0;
  bool full_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_LOG_DISK_H_
