// services/raft/snapshot_files.h
//
// The snapshots on disk: a file each, beside the log, written whole under another name before it
// counts. There is one, the newest; the one before goes when its successor is durable.
//
// Threads: one at a time, but Open, which any thread may call beside the rest.
// Background: services/raft/snapshot_format.md.
#ifndef CONSUL_SERVICES_RAFT_SNAPSHOT_FILES_H_
#define CONSUL_SERVICES_RAFT_SNAPSHOT_FILES_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/base/file.h"
#include "services/raft/core/configuration.h"
#include "services/raft/core/types.h"
#include "services/raft/snapshot_reader.h"
#include "services/raft/state_machine.h"

namespace consul::raft {

class SnapshotFiles {
 public:
  // `directory` is the log's, whose lock the caller holds. `salt_seed` is chance, for ids. A
  // snapshot is given up rather than leave less than `left_free_bytes` on the disk: the log goes on
  // beside it, and may need a file of its own.
  SnapshotFiles(base::FileSystem* file_system, std::string directory, uint64_t salt_seed,
                uint64_t left_free_bytes = 0);

  using Restore = std::function<absl::Status(Index index, const SnapshotSource& source)>;

  // Gives the newest sound snapshot to `restore` and returns what it is; index 0 when there is
  // none. A damaged one is passed over while the log, which begins at `log_first`, has every entry
  // that the next older one (or the empty state) wants; otherwise DATA_LOSS names its file. Other
  // errors: what `restore` or the file system said, and FAILED_PRECONDITION for a file that a newer
  // program wrote. Unfinished files are removed.
  absl::StatusOr<SnapshotMeta> Load(Index log_first, const Restore& restore);

  // The damage that Load has passed over, a line for each file.
  const std::vector<std::string>& passed_over() const { return passed_over_; }

  // Makes `state` at `at` (its index, term and configuration) the newest snapshot, durably, and
  // removes all others. RESOURCE_EXHAUSTED: no room on the disk; CANCELLED: `cancelled` became
  // true; in both cases nothing has changed and nothing remains. After any other error what is on
  // the disk is not known: FileSystem::Fatal is due.
  absl::StatusOr<SnapshotMeta> Write(const SnapshotMeta& at, const FrozenState& state,
                                     const std::atomic<bool>& cancelled);

  // Opens the file of `meta`. NOT_FOUND when it has made way for a newer one; DATA_LOSS and so on
  // as SnapshotReader::Open.
  absl::StatusOr<std::unique_ptr<SnapshotReader>> Open(const SnapshotMeta& meta) const;

  // Of the snapshot that is being written, what is on the disk already. Any thread.
  uint64_t written_bytes() const { return written_bytes_.load(std::memory_order_relaxed); }
  // What a snapshot leaves to the log.
  uint64_t left_free_bytes() const { return left_free_bytes_; }
  // RESOURCE_EXHAUSTED unless `bytes` more leave the log its room.
  absl::Status CheckRoom(uint64_t bytes) const;

  // Gives the file `unfinished`, whose bytes are durable, the name of the snapshot at `index`,
  // durably, and removes all others. After an error FileSystem::Fatal is due.
  absl::Status Keep(const std::string& unfinished, Index index) const;

  // Where a snapshot that another server sends is put until it is whole.
  std::string StagedPath(Index index) const;
  base::FileSystem* file_system() const { return file_system_; }

 private:
  // Indexes of the files, ascending.
  absl::StatusOr<std::vector<Index>> List() const;
  absl::Status RemoveUnfinished() const;
  absl::StatusOr<SnapshotMeta> LoadOne(Index index, Index log_first, const Restore& restore) const;
  absl::StatusOr<SnapshotMeta> WriteFile(const std::string& path, const SnapshotMeta& at,
                                         const FrozenState& state,
                                         const std::atomic<bool>& cancelled);
  absl::Status RemoveOthers(Index newest) const;

  base::FileSystem* const file_system_;
  const std::string directory_;
  const uint64_t left_free_bytes_;
  uint64_t salt_;
  std::atomic<uint64_t> written_bytes_{0};
  std::vector<std::string> passed_over_;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_SNAPSHOT_FILES_H_
