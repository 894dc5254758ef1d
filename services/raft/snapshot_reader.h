// services/raft/snapshot_reader.h
//
// One snapshot file that is open for reading: what its header says, its body in order for a state
// machine, or any stretch of the whole for another server. An open one stays readable when its file
// is removed, so a newer snapshot disturbs no one who reads an older.
//
// Threads: one at a time.
// Background: services/raft/snapshot_format.md (Reading).
#ifndef CONSUL_SERVICES_RAFT_SNAPSHOT_READER_H_
#define CONSUL_SERVICES_RAFT_SNAPSHOT_READER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/base/file.h"
#include "services/raft/snapshot_format.h"

namespace consul::raft {

// The same error, and which snapshot it is about.
absl::Status AboutSnapshot(std::string_view path, const absl::Status& status);

class SnapshotReader {
 public:
  // DATA_LOSS when the file has not the header, the end and the size of a snapshot;
  // FAILED_PRECONDITION when a newer program wrote it; else what the file system said.
  static absl::StatusOr<std::unique_ptr<SnapshotReader>> Open(std::unique_ptr<base::File> file);

  const SnapshotHeader& header() const { return header_; }

  // The next piece of the body, as a SnapshotSource gives it: empty at the end, and the last one
  // only when the checksum of all is right.
  absl::StatusOr<std::string_view> Next();
  // Next has given all of the body.
  bool ended() const { return left_ == 0; }

  // Bytes of the whole file from `offset` on, `bytes_max` or up to its end. DATA_LOSS where it
  // ends before it should.
  absl::StatusOr<std::string> ReadAt(uint64_t offset, uint64_t bytes_max);

 private:
  SnapshotReader(std::unique_ptr<base::File> file, SnapshotHeader header);

  const std::unique_ptr<base::File> file_;
  const SnapshotHeader header_;
  // Of the body.
  uint64_t offset_;
  uint64_t left_;
  uint32_t crc_ = 0;
  std::string buffer_;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_SNAPSHOT_READER_H_
