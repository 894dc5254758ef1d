// services/raft/log_format.h
//
// The bytes of the log on disk: segment headers, groups and records, encoded and checked. Nothing
// here touches a file. The format, and the argument by which a torn tail is told from damage, stand
// in log_format.md; numbers here are on disk and frozen.
//
// Threads: pure functions and values.
// Background: services/raft/log_format.md.
#ifndef CONSUL_SERVICES_RAFT_LOG_FORMAT_H_
#define CONSUL_SERVICES_RAFT_LOG_FORMAT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "services/raft/core/types.h"

namespace consul::raft {

// A page of its own, so that no later write shares a sector with it.
inline constexpr uint64_t kSegmentHeaderBytes = 4096;
inline constexpr uint64_t kGroupHeaderBytes = 24;
inline constexpr uint64_t kRecordHeaderBytes = 24;
// Groups and records begin at multiples of this.
inline constexpr uint64_t kLogAlignment = 8;
// A record's length has 24 bits on disk.
inline constexpr uint64_t kRecordPayloadBytesMax = (1 << 24) - 1;
inline constexpr uint32_t kLogFormatVersion = 1;

static_assert(kSegmentHeaderBytes % kLogAlignment == 0);
static_assert(kGroupHeaderBytes % kLogAlignment == 0 && kRecordHeaderBytes % kLogAlignment == 0);

// The first page of a segment.
struct SegmentHeader {
  uint64_t number = 0;      // 1, 2, ... as in the file's name
  uint64_t salt = 0;        // starts every checksum of this segment
  uint64_t size_bytes = 0;  // of the file
  friend bool operator==(const SegmentHeader&, const SegmentHeader&) = default;
};

std::string EncodeSegmentHeader(const SegmentHeader& header);
// Nothing unless `page` is exactly what EncodeSegmentHeader gives for some header.
std::optional<SegmentHeader> DecodeSegmentHeader(std::string_view page);

// Counts groups over the log's whole life, from 1. Two groups never carry one number, except that
// the next one reuses that of a group which was never synced.
struct GroupSequence {
  uint64_t value = 0;
  friend constexpr auto operator<=>(GroupSequence, GroupSequence) = default;
  constexpr GroupSequence Next() const { return GroupSequence{value + 1}; }
};

// The begin of a group. With body_bytes 0 it is a mark: it says that all before it was synced, and
// the group of this sequence will overwrite it.
struct GroupHeader {
  GroupSequence sequence;
  uint32_t body_bytes = 0;
  uint32_t records_count = 0;
  friend bool operator==(const GroupHeader&, const GroupHeader&) = default;
};

std::string EncodeGroupHeader(const GroupHeader& header, uint64_t salt);
// Nothing unless the first kGroupHeaderBytes of `bytes` are a header made with this salt.
std::optional<GroupHeader> DecodeGroupHeader(std::string_view bytes, uint64_t salt);

// Kinds of records. The entries' kinds are those of EntryKind.
enum class RecordKind : uint8_t {
  kNoOp = 1,
  kConfiguration = 2,
  kCommand = 3,
  // Begins every segment: term and vote as of here, and in `index` the log's last index as of here.
  kSegmentState = 16,
  kHardState = 17,  // term and vote; the payload is the vote's server id
  kTruncate = 18,   // entries from `index` on are gone
  kReset = 19,      // all entries are gone; the next one is index + 1
};

struct Record {
  RecordKind kind = RecordKind::kNoOp;
  Index index;
  Term term;
  std::string_view payload;  // of the bytes that were decoded
};

inline bool IsEntry(RecordKind kind) { return kind <= RecordKind::kCommand; }

// What a record takes on disk, padding included.
inline uint64_t RecordBytes(uint64_t payload_bytes) {
  return (kRecordHeaderBytes + payload_bytes + kLogAlignment - 1) / kLogAlignment * kLogAlignment;
}

// Collects the records of one group. One object is used again and again and keeps its buffer.
class GroupBuilder {
 public:
  void Clear();
  // REQUIRES: payload.size() <= kRecordPayloadBytesMax.
  void Add(const Record& record, uint64_t salt);
  uint64_t size_bytes() const { return bytes_.size(); }
  // The whole group. Valid until the next call of any other method.
  std::string_view Finish(GroupSequence sequence, uint64_t salt);
  // Gives a buffer that one large group blew up back to the system.
  void ShrinkTo(uint64_t bytes_max);

 private:
  std::string bytes_ = std::string(kGroupHeaderBytes, '\0');
  uint32_t records_count_ = 0;
};

// Replaces `records` by those of a group's body, whose payloads are views of `body`. Empty text
// when all are sound and fill the body, else what is wrong, with `bad_offset` the record's offset
// in the body. A sound record may be of a kind that this program does not know.
std::string ParseGroupBody(const GroupHeader& header, std::string_view body, uint64_t salt,
                           std::vector<Record>* records, uint64_t* bad_offset);

// The least offset >= `begin`, a multiple of kLogAlignment, at which `bytes` holds a group header
// of this salt with a sequence beyond `sequence`.
std::optional<uint64_t> FindLaterGroup(std::string_view bytes, uint64_t begin,
                                       GroupSequence sequence, uint64_t salt);

// How many bytes from the front are zero.
uint64_t CountZeros(std::string_view bytes);

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_LOG_FORMAT_H_
