// services/raft/log_recovery.h
//
// Reads the log back after a start: replays every record, cuts a torn tail, and refuses a log that
// was damaged after it had been synced. The argument by which the two are told apart is in
// log_format.md.
//
// Threads: one.
// Background: services/raft/log_format.md (Recovery).
#ifndef CONSUL_SERVICES_RAFT_LOG_RECOVERY_H_
#define CONSUL_SERVICES_RAFT_LOG_RECOVERY_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/base/file.h"
#include "services/raft/core/configuration.h"
#include "services/raft/core/options.h"
#include "services/raft/core/types.h"
#include "services/raft/log_format.h"
#include "services/raft/log_segment.h"

namespace consul::raft {

// What the records say, taken one after the other; the same rules for recovery and for the writer.
class LogState {
 public:
  // Takes a group's records, which stand at `offset` in `segment`, and keeps its places. Empty
  // text, or why the records cannot follow those before; then the state is of no further use.
  std::string Take(std::span<const Record> records, uint64_t offset, size_t segment,
                   std::vector<std::unique_ptr<Segment>>* segments);

  const HardState& hard_state() const { return hard_state_; }
  Index first() const { return first_; }
  Index last() const { return last_; }
  const std::vector<TermRun>& term_runs() const { return term_runs_; }
  const std::vector<PlacedConfiguration>& configurations() const { return configurations_; }

  // The entries before `first` are gone with their segments. REQUIRES: first <= last() + 1.
  void DropBefore(Index first);

 private:
  std::string TakeState(const Record& record, bool first_segment);
  std::string TakeEntry(const Record& record);
  std::string DropFrom(Index first);

  HardState hard_state_;
  Index first_{1};
  Index last_{0};
  std::vector<TermRun> term_runs_;
  std::vector<PlacedConfiguration> configurations_;
  bool must_place_ = false;  // entries were cut: the next one begins a place
};

struct RecoveredLog {
  LogState state;
  std::vector<std::unique_ptr<Segment>> segments;  // ascending, without gaps; at least one
  size_t active = 0;           // the one written last; those behind it are empty
  uint64_t group_offset = 0;   // of its last group; no less than write_offset where it has none
  uint64_t write_offset = 0;   // in the active one
  GroupSequence next_sequence{1};
  std::string cut;  // "PATH offset N: what" when a torn tail was cut
};

// Reads the segments in `directory`; with none, the log is empty and `segments` too. DATA_LOSS
// names file and offset.
absl::StatusOr<RecoveredLog> RecoverLog(base::FileSystem* file_system, std::string_view directory);

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_LOG_RECOVERY_H_
