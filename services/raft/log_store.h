// services/raft/log_store.h
//
// The log on disk: entries, term and vote, made durable a group at a time. It is a sequence of
// segment files in one directory, written at the end, read anywhere, cut at either end. It knows
// nothing of who leads or what is committed.
//
// Disk space is taken before it is needed, segment by segment, so that a full disk is met in
// Reserve, where nothing has been promised yet, and never in the middle of a write. Any other error
// of a write or a sync ends the process through FileSystem::Fatal: what the disk then holds is not
// known.
//
// Threads: one thread at a time. Open may be called on another thread than the rest.
// Background: services/raft/log_format.md.
#ifndef CONSUL_SERVICES_RAFT_LOG_STORE_H_
#define CONSUL_SERVICES_RAFT_LOG_STORE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/base/file.h"
#include "services/raft/core/options.h"
#include "services/raft/core/output.h"
#include "services/raft/core/types.h"
#include "services/raft/log_format.h"
#include "services/raft/log_preparer.h"
#include "services/raft/log_recovery.h"
#include "services/raft/log_segment.h"

namespace consul::raft {

struct LogOptions {
  base::FileSystem* file_system = base::FileSystem::Posix();
  std::string directory;  // made where it is missing
  // The first segment's size, and the greatest; each is twice the one before. A group that needs
  // more gets a segment of its own size.
  uint64_t segment_bytes_min = 1 << 20;
  uint64_t segment_bytes_max = 64 << 20;
  // The next segment is made on another thread when the current one is half full; otherwise when it
  // is needed, which keeps the order of all disk operations fixed.
  bool prepare_ahead = true;
  // Salts come from this. Must not be known to those who propose entries; see log_format.md.
  uint64_t salt_seed = 0;
};

class LogStore {
 public:
  // Takes the directory's lock, replays the log and cuts a torn tail. FAILED_PRECONDITION when the
  // directory is another agent's, DATA_LOSS naming file and offset when the log is damaged.
  static absl::StatusOr<std::unique_ptr<LogStore>> Open(LogOptions options);

  // Ends with a mark that is synced, so that the next start knows all of the log to be durable.
  ~LogStore();

  // What the log holds, as Core wants to be told: all but the snapshot and the tail.
  Restart TakeRestart() const;
  // Where and why a torn tail was cut by Open; empty when there was none.
  const std::string& cut() const { return cut_; }

  // Makes sure that a group of these records fits without more disk space. RESOURCE_EXHAUSTED: the
  // disk is full, but for what is to be left free; nothing has changed, and a later call may
  // succeed.
  absl::Status Reserve(uint64_t records_bytes);
  // Reserve, and whatever is made ahead, leave so much of the disk to the next snapshot, which will
  // let the log be shorter. Any thread.
  void LeaveFree(uint64_t bytes) { left_free_bytes_.store(bytes, std::memory_order_relaxed); }
  // There is no room for the next segment: a good time to make some. Said once for each segment,
  // until it is cleared. Any thread.
  bool tight() const { return tight_.load(std::memory_order_relaxed); }
  void ClearTight() { tight_.store(false, std::memory_order_relaxed); }

  // The records that one more group may hold without a new segment.
  uint64_t room() const;

  // What one Persist, or its entries, takes of a group at most.
  static uint64_t RecordsBytes(const Persist& persist);

  // Makes all of `group` durable, in order, with one write and one sync. Finds room by itself, to
  // the disk's last byte; an error other than RESOURCE_EXHAUSTED was fatal, and every later call
  // returns it.
  absl::Status Append(std::span<const Persist> group);

  // Entries from `first` on up to `last`, until their Entry::bytes exceed `bytes_max`, but at least
  // one. None when `first` is not in the log. DATA_LOSS when what was sound has become damaged.
  absl::StatusOr<std::vector<Entry>> Read(Index first, Index last, uint64_t bytes_max);

  // Syncs the mark behind the last group, for a quiet moment. Cheap when nothing was appended
  // since.
  absl::Status Settle();

  // Entries before `index` are no longer wanted: removes the segments that hold no others, oldest
  // first. The last entry's segment stays. first() tells what remains.
  absl::Status DropBefore(Index index);
  // The same for one segment, so that a thread with other duties can do it bit by bit. Returns
  // whether there was one to remove.
  absl::StatusOr<bool> DropSegmentBefore(Index index);

  // The first entry of the newest segments that together take no more than `bytes` on disk; behind
  // the last one when not even the active segment does.
  Index FirstWithin(uint64_t bytes) const;

  Index first() const { return state_.first(); }
  Index last() const { return state_.last(); }
  size_t segments_count() const { return segments_.size(); }
  uint64_t disk_bytes() const;

 private:
  // Where to read an entry: from the group at `offset` on, up to the entry `last`.
  struct Stretch {
    const Segment* segment = nullptr;
    uint64_t offset = 0;
    Index last;
  };
  // What a Read has gathered.
  struct Loaded {
    Index first;
    uint64_t bytes_max = 0;
    uint64_t bytes = 0;
    std::vector<Entry> entries;
    Index next() const { return first + entries.size(); }
  };

  explicit LogStore(LogOptions options);

  // REQUIRES: `index` is in the log.
  Stretch Locate(Index index) const;
  static void TakeEntries(const std::vector<Record>& records, Index last, Loaded* loaded);
  absl::Status SecureRecovered(uint64_t group_offset);
  Segment* active() const { return segments_.back().get(); }
  uint64_t NextSalt();
  bool Fits(const Segment& segment, uint64_t offset, uint64_t records_bytes) const;
  absl::Status MakeSegment(uint64_t size_bytes);
  // RESOURCE_EXHAUSTED unless a file of `size_bytes` leaves so much.
  absl::Status CheckLeftFree(uint64_t size_bytes, uint64_t left_free_bytes) const;
  absl::Status RollFor(uint64_t records_bytes, uint64_t left_free_bytes);
  absl::Status TakePrepared();
  void PrepareAhead();
  absl::Status DiscardSpare();
  void BuildGroup(std::span<const Persist> group);
  void AddRecord(const Record& record);
  absl::Status WriteMark();
  absl::Status Fail(absl::Status status);

  const LogOptions options_;
  std::unique_ptr<base::FileLock> lock_;
  LogState state_;
  std::vector<std::unique_ptr<Segment>> segments_;  // the last is the active one
  std::deque<std::unique_ptr<Segment>> spares_;     // those behind it, empty
  LogPreparer preparer_;
  uint64_t write_offset_ = kSegmentHeaderBytes;
  GroupSequence next_sequence_{1};
  uint64_t salts_made_ = 0;
  std::atomic<uint64_t> left_free_bytes_{0};
  std::atomic<bool> tight_{false};
  uint64_t tight_at_ = 0;  // the segment for which it was said
  bool settled_ = true;
  std::string cut_;
  absl::Status failed_;
  GroupBuilder builder_;
  std::vector<Record> records_;  // of the group being built
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_LOG_STORE_H_
