// services/state/snapshot.h
//
// A version as a stream of bytes, and back: what raft keeps on disk and sends to a server that is
// far behind. The stream is a sequence of frames, each with its length and checksum, so that a
// torn, cut or flipped byte is found and named before anything of it is used.
//
// Format (on disk: frozen; numbers are little-endian):
//   frame   = length u32, CRC-32C of the payload u32, payload of `length` bytes: whole records
//   record  = kind u8, map u16, index u64, key length u32, value length u32, key, value
//   kinds   1 header: map = format version, index = last index applied, key = cluster id,
//             value = clock u64, index of the cluster id u64, since format 2 index of the last
//             restore u64, and since format 3 version of the cluster u32; the first record
//           2 row: map = of the table, value = the message; in the order of the map
//           3 tombstone: map, index, key; behind the rows of its map
//           4 floor: map, index
//           5 left generation: index, key, value = time u64
//           6 end: index = number of records before it; the last record
//           7 next chunk of the restore that is under way: index = clock at its last one, key = id,
//             value = the chunk; since format 2
// Equal versions give equal bytes. Records stand in one order: the tables in theirs, of each the
// rows, then for each of its maps the tombstones and the floor; then the left generations, then
// the restore that is under way. Keys rise. What needs no format 2 is written in format 1, and what
// needs no format 3 in one of the two. What no state machine writes is refused, whatever its
// checksum says: a server that took it would fall over it later, or part from the others.
//
// A stream has a new table, kind of record or member of a row in a new format alone, which is known
// since a version of the state machine (VersionOfFormat): a restore is refused by all servers, or
// read by all in the same way, whatever programs they run (README.md, Versions of the program).
//
// Threads: WriteSnapshot on any thread that holds the version. A SnapshotReader and the Tables that
// it makes belong to one thread at a time (held.h).
#ifndef CONSUL_SERVICES_STATE_SNAPSHOT_H_
#define CONSUL_SERVICES_STATE_SNAPSHOT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/state/staged_restore.h"
#include "services/state/tables.h"
#include "services/state/version.h"

namespace consul::state {

inline constexpr uint16_t kSnapshotFormat = 3;
// The newest one that an archive is in.
inline constexpr uint16_t kArchivedFormat = 2;
// The first version of the state machine that knows a format. REQUIRES: it is one of 1 to
// kSnapshotFormat.
constexpr uint32_t VersionOfFormat(uint16_t format) {
  return format == 1 ? 1 : format == 2 ? 3 : 4;
}
// A frame is closed when its payload reaches this.
inline constexpr size_t kSnapshotFrameBytes = 128 << 10;
// The longest payload that is read: one frame's worth and the largest row that the log can hold.
inline constexpr size_t kSnapshotFrameBytesMax = 64 << 20;

using SnapshotSink = std::function<absl::Status(std::string_view frame)>;

// Gives the frames of `version` to `sink`, in order, with the restore that was under way then.
// Stops at its first error and returns that.
absl::Status WriteSnapshot(const Version& version, const StagedRestore& staged,
                           const SnapshotSink& sink);
// For an archive: without one, and without the cluster's version, which is no matter of an archive
// and would keep older programs from reading it.
absl::Status WriteSnapshot(const Version& version, const SnapshotSink& sink);

// FAILED_PRECONDITION where `bytes` begin a stream in a format that is newer than this program, or
// than the version `version_max` of the state machine. Looks at the header alone; whatever else is
// wrong, a SnapshotReader finds.
absl::Status CheckSnapshotFormat(std::string_view bytes, uint32_t version_max);

// Reads a stream in pieces of any size.
class SnapshotReader {
 public:
  // With `index_max` a row of a higher index gets that one: what another log has written is to be
  // the state of one that has not come so far. Formats that are newer than the version
  // `version_max` of the state machine are not known to it.
  explicit SnapshotReader(uint64_t index_max = std::numeric_limits<uint64_t>::max(),
                          uint32_t version_max = std::numeric_limits<uint32_t>::max())
      : index_max_(index_max), version_max_(version_max) {}
  SnapshotReader(const SnapshotReader&) = delete;
  SnapshotReader& operator=(const SnapshotReader&) = delete;

  // Takes the next piece. DATA_LOSS names the frame and the byte at which the stream is damaged;
  // FAILED_PRECONDITION a format that is newer than this program, or than `version_max`. After an
  // error nothing more is taken.
  absl::Status Add(std::string_view bytes);

  // Returns the tables once the whole stream was added; DATA_LOSS if it is not whole.
  absl::StatusOr<Tables> Finish();
  // The restore that was under way. REQUIRES: Finish has succeeded.
  StagedRestore TakeStaged() { return std::move(staged_); }

 private:
  struct Record;
  absl::Status Frame(std::string_view payload);
  absl::Status Apply(const Record& record);
  absl::Status ApplyHeader(const Record& record);
  absl::Status ApplyToTables(const Record& record);
  absl::Status ApplyStaged(const Record& record);
  template <typename Spec>
  absl::Status ApplyRow(const Record& record, int place, Table<Spec>* table);
  // DATA_LOSS for an index that no entry up to the snapshot's has.
  absl::Status CheckIndex(uint64_t index) const;
  // Takes note that a record of `place` and `key` comes next. DATA_LOSS if it stands too late.
  absl::Status Advance(int place, std::string_view key);
  absl::Status Damaged(std::string_view what) const;

  const uint64_t index_max_;
  const uint32_t version_max_;
  uint16_t format_ = 0;
  std::string pending_;  // the beginning of a frame that is not whole yet
  uint64_t frame_ = 0;   // number of frames read
  uint64_t offset_ = 0;  // of the frame being read
  uint64_t records_ = 0;
  bool ended_ = false;
  absl::Status failure_;
  // Of the last record: its place in the order of the stream, and its key there.
  int place_ = 0;
  std::string key_;
  Tables tables_;
  StagedRestore staged_;
};

}  // namespace consul::state

#endif  // CONSUL_SERVICES_STATE_SNAPSHOT_H_
