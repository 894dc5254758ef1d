// services/raft/snapshot_transfers.h
//
// Snapshots between servers, as raft::Core asks for them: a leader's is read for followers that
// are too far behind, a follower's is staged, proven, put in place of its state and of its older
// snapshot. All of its disk work is done by a thread of its own (`raft-transfers`, there from the
// first transfer on), and the decoding by the apply thread; raft's turns hand over and are told.
//
// An install is, in this order: the whole file durable under another name; the term durable under
// which it came; no own snapshot under way; the state switched, if every byte is sound; the file
// renamed, durably; and only then does the core hear of it and drop the log. Whatever the process
// dies between, the next start finds either the old snapshot with the old log, or the new one.
//
// Threads: all methods in a turn at Core (node_turn.cc), Step on the thread `raft` alone; Stop by
// the owner once there are no more turns.
// Background: services/raft/README.md (Snapshots), services/raft/snapshot_format.md (Receiving).
#ifndef CONSUL_SERVICES_RAFT_SNAPSHOT_TRANSFERS_H_
#define CONSUL_SERVICES_RAFT_SNAPSHOT_TRANSFERS_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/base/mutex.h"
#include "services/raft/apply_thread.h"
#include "services/raft/core/core.h"
#include "services/raft/core/output.h"
#include "services/raft/node.h"
#include "services/raft/snapshot_files.h"
#include "services/raft/snapshot_reader.h"
#include "services/raft/snapshotter.h"
#include "services/raft/staged_snapshot.h"

namespace consul::raft {

class SnapshotTransfers {
 public:
  // Files that are open for being sent. A cluster sends one or two at a time; the one that was not
  // read for longest is closed for another.
  static constexpr size_t kOpenMax = 4;

  struct Hooks {
    std::function<void(LogLevel, std::string_view)> log;
    std::function<void()> wake;  // the thread `raft`, to call Step; on any thread
    std::function<void(Index)> installed;  // the state is that at this index; the core knows
  };

  // The others outlive what this calls of them, which is nothing after Stop.
  SnapshotTransfers(const SnapshotOptions& options, Core* core, ApplyThread* apply,
                    Snapshotter* snapshotter, Hooks hooks);
  ~SnapshotTransfers() { Stop(); }
  SnapshotTransfers(const SnapshotTransfers&) = delete;
  SnapshotTransfers& operator=(const SnapshotTransfers&) = delete;

  // Serves Output::snapshot_loads.
  void Load(const SnapshotLoadRequest& request, Time now);
  // Serves Output::snapshot_stores. What was committed before it has been pushed to the apply
  // thread.
  void Store(SnapshotStore store);

  // Does what is due. Returns whether the core was told something, and so has more to say. An error
  // is fatal: the disk can no longer be trusted.
  absl::StatusOr<bool> Step(Time now);
  // When Step has something to do next; Time::max() while only a wake or the core's progress brings
  // it on.
  Time NextDeadline() const;
  // One comes in, or somebody was sent one: each turn has a Step.
  bool busy() const { return phase_ != Phase::kNone || !sending_.empty(); }

  // Gives up what is under way; a state machine that takes over a state is told so and ends soon.
  // Idempotent.
  void Stop();

 private:
  // Of the one that is received.
  enum class Phase : uint8_t {
    kNone,
    kPartial,    // waits for the next chunk
    kStoring,    // a chunk is being written
    kWhole,      // waits for what an install waits for
    kRestoring,  // the state machine takes it over
    kKeeping,    // the file gets its name
    kRefused,    // the core is told after a pause
  };
  // A peer that is sent one, or is still catching up with the log behind it.
  struct Sending {
    Index index;          // what it has, or will have
    uint64_t size_bytes = 0;  // of the snapshot
    uint64_t offset = 0;      // of the farthest chunk that it came to
    Time at;              // when it last came on
    bool installs = false;
    Time heard_at;  // of who installs
    bool has_it = false;
    // It did not come on for too long: the log is not kept for it, however often it is asked.
    bool given_up = false;
  };
  // A file that is open for being sent; the transfer thread's.
  struct Open {
    std::unique_ptr<SnapshotReader> reader;
    std::chrono::steady_clock::time_point used;
  };
  using Job = absl::AnyInvocable<void()>;
  using News = absl::AnyInvocable<void(Time now)>;

  // In a turn.
  void SetPhase(Phase phase);
  void Stored(Time now, const absl::Status& status, bool last, uint64_t next_offset);
  void BeginRestore();
  void Restored(Time now, const absl::Status& status);
  void Kept(Time now, const absl::Status& status);
  void Refuse(Time now, const absl::Status& status);
  void DropStaged();
  void ForgetSent(Time now);
  const Sending* OldestSent() const;
  Time KeptUntil(const Sending& sent) const;
  void Post(Job job);

  // On the transfer thread.
  void Run();
  absl::StatusOr<std::string> Read(const SnapshotLoadRequest& request);
  absl::Status Take(const SnapshotStore& store);
  void CloseUnused();

  // On any: `news` runs in the next Step.
  void Tell(News news);

  const SnapshotOptions options_;
  Core* const core_;
  ApplyThread* const apply_;
  Snapshotter* const snapshotter_;
  SnapshotFiles* const files_;
  const Hooks hooks_;

  // Of whoever has the turn.
  Phase phase_ = Phase::kNone;
  SnapshotMeta incoming_;  // unless kNone
  Time refused_until_;
  absl::Status failed_;
  std::map<ServerId, Sending> sending_;

  // Of the transfer thread. The staged one is the apply thread's while in kRestoring.
  std::map<std::string, Open> open_;  // by SnapshotMeta::id
  std::unique_ptr<StagedSnapshot> staged_;

  std::atomic<bool> cancelled_{false};
  base::Mutex mutex_;
  base::CondVar wake_;
  std::deque<Job> jobs_ GUARDED_BY(mutex_);  // one a peer and one more, for the core waits for each
  std::vector<News> news_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_SNAPSHOT_TRANSFERS_H_
