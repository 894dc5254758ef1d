// services/raft/staged_snapshot.h
//
// A snapshot that another server sends, on its way to becoming this one's newest: a file under a
// name that no start takes for a snapshot, written chunk by chunk, looked at when it is whole, then
// renamed. What comes is not trusted: neither the announcement nor the bytes.
//
// Errors, but for what the file system says of itself (then FileSystem::Fatal is due): DATA_LOSS
// for what is damaged or makes no sense, FAILED_PRECONDITION for a file that a newer program wrote,
// RESOURCE_EXHAUSTED for a full disk. They name the file.
//
// Threads: one at a time.
// Background: services/raft/snapshot_format.md (Receiving).
#ifndef CONSUL_SERVICES_RAFT_STAGED_SNAPSHOT_H_
#define CONSUL_SERVICES_RAFT_STAGED_SNAPSHOT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/base/file.h"
#include "services/raft/core/configuration.h"
#include "services/raft/snapshot_files.h"
#include "services/raft/snapshot_reader.h"

namespace consul::raft {

class StagedSnapshot {
 public:
  // Begins the file of the announced `meta`, anew where there is one. Refuses what no snapshot is,
  // and one that is larger than the disk has room for. `files` outlives this.
  static absl::StatusOr<std::unique_ptr<StagedSnapshot>> Begin(const SnapshotFiles* files,
                                                               const SnapshotMeta& meta);
  // Removes the file, unless it was kept.
  ~StagedSnapshot();
  StagedSnapshot(const StagedSnapshot&) = delete;
  StagedSnapshot& operator=(const StagedSnapshot&) = delete;

  const SnapshotMeta& meta() const { return meta_; }
  uint64_t next_offset() const { return next_offset_; }

  // Puts `bytes` at `offset`, which is next_offset(). After an error nothing more is taken. With
  // `last` the file must be whole: it is made durable, and its header, size and end must be those
  // announced. Its body is proven only by Next.
  absl::Status Append(uint64_t offset, std::string_view bytes, bool last);

  // The body of a whole one, as a SnapshotSource gives it.
  absl::StatusOr<std::string_view> Next();

  // Makes it the newest snapshot, durably, in place of all others.
  // REQUIRES: Next has given all of the body.
  absl::Status Keep();

 private:
  StagedSnapshot(const SnapshotFiles* files, SnapshotMeta meta, std::unique_ptr<base::File> file);

  absl::Status Take(uint64_t offset, std::string_view bytes, bool last);
  absl::Status Finish();
  absl::Status About(const absl::Status& status) const;

  const SnapshotFiles* const files_;
  const SnapshotMeta meta_;
  const std::string path_;
  std::unique_ptr<base::File> file_;  // until it is whole
  std::unique_ptr<SnapshotReader> reader_;  // from then on
  uint64_t next_offset_ = 0;
  uint64_t unsynced_ = 0;
  bool kept_ = false;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_STAGED_SNAPSHOT_H_
