// services/raft/log_segment.h
//
// One file of the log: how it is made (zeroed whole and durable under its name before the first
// group goes in), opened, and read group by group.
//
// Threads: a Segment belongs to one thread at a time.
// Background: services/raft/log_format.md.
#ifndef CONSUL_SERVICES_RAFT_LOG_SEGMENT_H_
#define CONSUL_SERVICES_RAFT_LOG_SEGMENT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/base/file.h"
#include "services/raft/log_format.h"

namespace consul::raft {

// "0000000000000007.log"; the number of such a name, nothing for other names.
std::string SegmentName(uint64_t number);
std::optional<uint64_t> SegmentNumber(std::string_view name);

// Where entries from `first` on stand: in the group at `offset` and in those that follow, up to the
// next place, whichever segment that is in.
struct Place {
  Index first;
  uint64_t offset = 0;
};

class Segment {
 public:
  // Makes the file: under another name first, then renamed, so that a segment's name always stands
  // for a whole one. RESOURCE_EXHAUSTED when the disk has no room for it; nothing remains then.
  // CANCELLED when `cancelled` became true meanwhile; likewise.
  static absl::StatusOr<std::unique_ptr<Segment>> Create(
      base::FileSystem* file_system, std::string_view directory, const SegmentHeader& header,
      const std::atomic<bool>* cancelled = nullptr);

  // DATA_LOSS when its header is damaged.
  static absl::StatusOr<std::unique_ptr<Segment>> Open(base::FileSystem* file_system,
                                                       std::string_view directory, uint64_t number);

  base::File* file() const { return file_.get(); }
  const SegmentHeader& header() const { return header_; }
  const std::string& path() const { return path_; }

  // Ascending; of entries that are still in the log.
  std::vector<Place> places;

 private:
  Segment(std::unique_ptr<base::File> file, SegmentHeader header, std::string path)
      : file_(std::move(file)), header_(header), path_(std::move(path)) {}

  const std::unique_ptr<base::File> file_;
  const SegmentHeader header_;
  const std::string path_;
};

// Reads a segment's groups in order through a buffer of its own.
class SegmentReader {
 public:
  enum class Found {
    kGroup,  // sound; records() are its records, until the next call of Next
    kMark,
    kEnd,  // zeros, or no room for another group
    kBad,  // anything else; problem() and problem_offset() say what and where
  };

  // REQUIRES: `segment` outlives the reader; `offset` is the begin of a group.
  SegmentReader(const Segment* segment, uint64_t offset, uint64_t buffer_bytes);

  // Looks at offset(). Only a kGroup moves on, to the end of the group.
  absl::StatusOr<Found> Next();

  uint64_t offset() const { return offset_; }
  uint64_t group_offset() const { return group_offset_; }
  const GroupHeader& group() const { return group_; }  // of a group or a mark
  const std::vector<Record>& records() const { return records_; }
  const std::string& problem() const { return problem_; }
  uint64_t problem_offset() const { return problem_offset_; }

 private:
  // The `bytes` at offset_, or fewer at the end of the file.
  absl::StatusOr<std::string_view> Peek(uint64_t bytes);
  Found Bad(std::string problem, uint64_t offset);

  const Segment* const segment_;
  const uint64_t buffer_bytes_;
  std::string buffer_;
  uint64_t buffer_offset_ = 0;  // of the buffer's begin in the file
  uint64_t buffer_used_ = 0;
  uint64_t offset_;
  uint64_t group_offset_ = 0;
  GroupHeader group_;
  std::vector<Record> records_;
  std::string problem_;
  uint64_t problem_offset_ = 0;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_LOG_SEGMENT_H_
