// services/raft/core/log_tail.h
//
// What the core keeps of the log: the term of every index from the log's base on, as runs, and the
// last entries themselves up to a limit of bytes. Entries that fell off the front are on disk;
// whoever needs them asks the driver.
//
// Threads: pure value type; raft::Core owns it.
// Background: services/raft/README.md (Log in memory).
#ifndef CONSUL_SERVICES_RAFT_CORE_LOG_TAIL_H_
#define CONSUL_SERVICES_RAFT_CORE_LOG_TAIL_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "services/raft/core/options.h"
#include "services/raft/core/types.h"

namespace consul::raft {

// A position in some server's log, which two logs share or do not.
struct LogPosition {
  Index index;
  Term term;
  friend bool operator==(const LogPosition&, const LogPosition&) = default;
};

class LogTail {
 public:
  // REQUIRES: `restart` is consistent as its comments say; its log is empty or reaches the
  // snapshot.
  explicit LogTail(const Restart& restart);

  // The position before the first entry that can still be had, from memory or disk.
  LogPosition base() const { return base_; }
  Index last_index() const { return last_index_; }
  Term last_term() const { return runs_.empty() ? base_.term : runs_.back().term; }
  // The first index held in memory; last_index() + 1 when none is.
  Index memory_first() const { return last_index_ + 1 - entries_.size(); }
  uint64_t memory_bytes() const { return bytes_; }

  // Nothing when `index` is before the base or after the end.
  std::optional<Term> TermAt(Index index) const;
  bool Matches(LogPosition position) const { return TermAt(position.index) == position.term; }
  // The last position at or before `index` whose term is at most `term`, never before the base:
  // where a log of such a position may still be equal to this one.
  LogPosition LastAtMost(Index index, Term term) const;

  // REQUIRES: entry.index is last_index() + 1; entry.term is not below last_term().
  void Append(Entry entry);
  // Drops `first` and all after it. REQUIRES: base < first <= last_index().
  void TruncateFrom(Index first);
  // Forgets everything; the log begins after `base`.
  void Reset(LogPosition base);
  // The disk no longer has entries up to `index`. Does nothing when that is no news.
  // REQUIRES: index <= last_index().
  void Compact(Index index);
  // Drops entries from the front of memory until at most `bytes_max` remain, but none after
  // `durable`.
  void Evict(uint64_t bytes_max, Index durable);

  // Appends to `out` entries from `first` to `last` while they fit `bytes_max`, at least one;
  // returns their bytes. REQUIRES: memory_first() <= first <= last <= last_index().
  uint64_t Copy(Index first, Index last, uint64_t bytes_max, std::vector<Entry>* out) const;

 private:
  LogPosition base_;
  Index last_index_;
  std::vector<TermRun> runs_;  // ascending; the first one's `first` is base + 1
  std::deque<Entry> entries_;  // contiguous, the last one is last_index_
  uint64_t bytes_ = 0;         // of entries_
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_CORE_LOG_TAIL_H_
