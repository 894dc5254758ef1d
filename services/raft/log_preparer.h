// services/raft/log_preparer.h
//
// Makes the log's next segment ahead of its use, so that going over to it costs the writer nothing:
// a segment of 64 MB takes some 100 ms to be zeroed and synced.
//
// Threads: all methods on the log's thread; the work on a thread of its own, which lives only while
// there is something to make.
#ifndef CONSUL_SERVICES_RAFT_LOG_PREPARER_H_
#define CONSUL_SERVICES_RAFT_LOG_PREPARER_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "services/base/file.h"
#include "services/raft/log_segment.h"

namespace consul::raft {

class LogPreparer {
 public:
  LogPreparer(base::FileSystem* file_system, std::string directory)
      : file_system_(file_system), directory_(std::move(directory)) {}
  // Gives up the segment that is being made: a server that ends must not wait for 64 MB of zeros.
  ~LogPreparer();
  LogPreparer(const LogPreparer&) = delete;
  LogPreparer& operator=(const LogPreparer&) = delete;

  // Begins to make a segment. REQUIRES: !busy().
  void Start(const SegmentHeader& header);
  // A segment was started and not yet taken.
  bool busy() const { return thread_.joinable(); }
  // The segment or why there is none; waits for it. REQUIRES: busy().
  absl::StatusOr<std::unique_ptr<Segment>> Take();

 private:
  base::FileSystem* const file_system_;
  const std::string directory_;
  std::atomic<bool> cancelled_{false};
  std::thread thread_;
  std::optional<absl::StatusOr<std::unique_ptr<Segment>>> made_;  // by thread_, read after its join
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_LOG_PREPARER_H_
