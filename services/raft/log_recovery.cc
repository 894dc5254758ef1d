#include "services/raft/log_recovery.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "services/base/strings.h"

namespace consul::raft {
namespace {

constexpr uint64_t kReadBytes = 1 << 20;
// Entries between two places are found by reading from the former on.
constexpr uint64_t kPlaceEveryBytes = 64 << 10;

// Something that is not a sound group and not zeros, in a segment where `expected` could stand.
struct Junk {
  size_t segment = 0;
  uint64_t offset = 0;         // where the sound part of the segment ends
  uint64_t problem_offset = 0;
  std::string problem;
  GroupSequence expected;
};

class Recovery {
 public:
  Recovery(base::FileSystem* file_system, std::string_view directory)
      : file_system_(file_system), directory_(directory) {}

  absl::StatusOr<RecoveredLog> Run() {
    absl::Status status = OpenSegments();
    for (size_t i = 0; status.ok() && i < log_.segments.size(); ++i) status = ReadSegment(i);
    if (status.ok() && junk_.has_value()) status = CutTornTail();
    if (!status.ok()) return status;
    return std::move(log_);
  }

 private:
  absl::Status Damaged(const Segment& segment, uint64_t offset, std::string_view what) const {
    return absl::DataLossError(
        base::StrCat("log ", segment.path(), " offset ", offset, ": ", what));
  }

  absl::Status OpenSegments() {
    const auto names = file_system_->List(directory_);
    if (!names.ok()) return names.status();
    std::optional<uint64_t> last;
    for (const std::string& name : *names) {
      if (name.ends_with(".new")) {  // a segment that was never finished
        absl::Status status = file_system_->Remove(base::JoinPath(directory_, name));
        if (!status.ok()) return status;
        continue;
      }
      const auto number = SegmentNumber(name);
      if (!number.has_value()) continue;
      if (last.has_value() && *number != *last + 1) {
        return absl::DataLossError(base::StrCat(
            "log ", base::JoinPath(directory_, SegmentName(*last + 1)), ": the file is missing"));
      }
      last = number;
      auto segment = Segment::Open(file_system_, directory_, *number);
      if (!segment.ok()) return segment.status();
      log_.segments.push_back(std::move(*segment));
    }
    log_.group_offset = log_.write_offset = kSegmentHeaderBytes;
    return absl::OkStatus();
  }

  // Replays the segment's sound groups, then looks at what is behind them.
  absl::Status ReadSegment(size_t index) {
    const Segment& segment = *log_.segments[index];
    if (junk_.has_value()) return RefuseLaterGroup(index, kSegmentHeaderBytes);
    SegmentReader reader(&segment, kSegmentHeaderBytes, kReadBytes);
    for (;;) {
      auto found = reader.Next();
      if (!found.ok()) return found.status();
      const bool numbered = *found == SegmentReader::Found::kGroup ||
                            *found == SegmentReader::Found::kMark;
      if (numbered && !started_) log_.next_sequence = reader.group().sequence;
      if (numbered && reader.group().sequence != log_.next_sequence) {
        return Damaged(segment, reader.group_offset(),
                       base::StrCat("group ", reader.group().sequence.value, " stands where group ",
                                    log_.next_sequence.value, " belongs"));
      }
      if (*found != SegmentReader::Found::kGroup) {
        return ReadRest(index, reader, *found);
      }
      const std::string problem =
          log_.state.Take(reader.records(), reader.group_offset(), index, &log_.segments);
      if (!problem.empty()) return Damaged(segment, reader.group_offset(), problem);
      started_ = true;
      log_.next_sequence = log_.next_sequence.Next();
      log_.active = index;
      log_.group_offset = reader.group_offset();
      log_.write_offset = reader.offset();
    }
  }

  absl::Status ReadRest(size_t index, const SegmentReader& reader, SegmentReader::Found found) {
    // Segments are only dropped from the front when a later one holds a synced group.
    if (!started_ && log_.segments[index]->header().number > 1) {
      return Damaged(*log_.segments[index], reader.group_offset(),
                     "the log's first segment does not begin with a sound group");
    }
    const bool mark = found == SegmentReader::Found::kMark;
    const uint64_t begin = reader.offset() + (mark ? kGroupHeaderBytes : 0);
    const auto junk_offset = FirstNotZero(*log_.segments[index], begin);
    if (!junk_offset.ok()) return junk_offset.status();
    if (!junk_offset->has_value()) return absl::OkStatus();
    const bool bad = found == SegmentReader::Found::kBad;
    junk_ = Junk{.segment = index,
                 .offset = reader.offset(),
                 .problem_offset = bad ? reader.problem_offset() : **junk_offset,
                 .problem = bad ? reader.problem() : "not zero behind the last group",
                 .expected = log_.next_sequence};
    return RefuseLaterGroup(index, begin);
  }

  // The offset of the first byte from `begin` on that is not zero.
  absl::StatusOr<std::optional<uint64_t>> FirstNotZero(const Segment& segment, uint64_t begin) {
    buffer_.resize(kReadBytes);
    for (uint64_t offset = begin; offset < segment.header().size_bytes;) {
      const auto read = segment.file()->ReadAt(offset, buffer_);
      if (!read.ok()) return read.status();
      const uint64_t zeros = CountZeros(std::string_view(buffer_).substr(0, *read));
      if (zeros < *read) return offset + zeros;
      if (*read == 0) break;
      offset += *read;
    }
    return std::optional<uint64_t>();
  }

  // Junk is a torn tail unless a group that was written later exists: that group's write began only
  // when the sync of everything before it had returned.
  absl::Status RefuseLaterGroup(size_t index, uint64_t begin) {
    const Segment& segment = *log_.segments[index];
    buffer_.resize(kReadBytes);
    for (uint64_t offset = begin; offset < segment.header().size_bytes;) {
      const auto read = segment.file()->ReadAt(offset, buffer_);
      if (!read.ok()) return read.status();
      const std::string_view bytes = std::string_view(buffer_).substr(0, *read);
      const bool zeros = CountZeros(bytes) == bytes.size();
      // In a later segment even the expected group is proof: it was begun behind the junk.
      const GroupSequence beyond{junk_->expected.value - (index > junk_->segment ? 1 : 0)};
      const auto found = zeros ? std::nullopt
                               : FindLaterGroup(bytes, 0, beyond, segment.header().salt);
      if (found.has_value()) {
        return Damaged(*log_.segments[junk_->segment], junk_->problem_offset,
                       base::StrCat(junk_->problem, "; this had been synced, since ",
                                    segment.path(), " offset ", offset + *found,
                                    " was written after it. The disk has damaged it. "
                                    "Refusing to start on this log"));
      }
      if (*read < kReadBytes) break;
      offset += *read - kGroupHeaderBytes;  // a header may lie across two reads
      offset -= offset % kLogAlignment;
    }
    return absl::OkStatus();
  }

  // Zeros from the end of the sound part on, so that what is written next is followed by zeros
  // again.
  absl::Status CutTornTail() {
    log_.cut = base::StrCat(log_.segments[junk_->segment]->path(), " offset ",
                            junk_->problem_offset, ": ", junk_->problem);
    for (size_t i = junk_->segment; i < log_.segments.size(); ++i) {
      const uint64_t begin = i == junk_->segment ? junk_->offset : kSegmentHeaderBytes;
      absl::Status status = Wipe(*log_.segments[i], begin);
      if (!status.ok()) {
        file_system_->Fatal(status);
        return status;
      }
    }
    return absl::OkStatus();
  }

  absl::Status Wipe(const Segment& segment, uint64_t begin) {
    static constexpr std::array<char, 4096> kZeros{};
    bool wiped = false;
    for (uint64_t offset = begin;;) {
      const auto found = FirstNotZero(segment, offset);
      if (!found.ok()) return found.status();
      if (!found->has_value()) break;
      offset = **found;
      const uint64_t size =
          std::min<uint64_t>(kZeros.size(), segment.header().size_bytes - offset);
      absl::Status status = segment.file()->WriteAt(offset, {kZeros.data(), size});
      if (!status.ok()) return status;
      wiped = true;
      offset += size;
    }
    return wiped ? segment.file()->SyncData() : absl::OkStatus();
  }

  base::FileSystem* const file_system_;
  const std::string directory_;
  RecoveredLog log_;
  bool started_ = false;  // a group was seen
  std::optional<Junk> junk_;
  std::string buffer_;
};

}  // namespace

std::string LogState::Take(std::span<const Record> records, uint64_t offset, size_t segment,
                           std::vector<std::unique_ptr<Segment>>* segments) {
  Index place;  // of the first entry here that is still in the log; 0 for none
  bool forced = false;
  const bool state_due = offset == kSegmentHeaderBytes;
  if (state_due != (!records.empty() && records[0].kind == RecordKind::kSegmentState)) {
    return "the segment does not begin with the state before it";
  }
  for (const Record& record : records) {
    std::optional<std::string> problem;  // nothing: there is no such kind
    switch (record.kind) {
      case RecordKind::kSegmentState:
        problem = &record == &records[0] ? TakeState(record, segment == 0)
                                         : "a segment's state stands within the segment";
        break;
      case RecordKind::kHardState:
        problem = record.term < hard_state_.term ? "the term goes back" : "";
        hard_state_ = {record.term, {std::string(record.payload)}};
        break;
      case RecordKind::kTruncate:
      case RecordKind::kReset: {
        const bool reset = record.kind == RecordKind::kReset;
        problem = DropFrom(reset ? Index{0} : record.index);
        if (reset) {
          first_ = record.index.Next();
          last_ = record.index;
        }
        for (auto& other : *segments) {
          std::erase_if(other->places, [&](const Place& p) {
            return reset || p.first >= record.index;
          });
        }
        if (reset || place >= record.index) place = Index{0};
        forced = true;
        break;
      }
      case RecordKind::kNoOp:
      case RecordKind::kConfiguration:
      case RecordKind::kCommand:
        problem = TakeEntry(record);
        if (place == Index{0}) place = record.index;
        break;
    }
    // No torn write, for its checksum is right: what it says must not be passed over.
    if (!problem.has_value()) {
      return base::StrCat("a record of kind ", static_cast<int>(record.kind),
                          ", which a newer version of this program wrote: this one does not know "
                          "it. Refusing to start on this log");
    }
    if (!problem->empty()) return *std::move(problem);
  }
  std::vector<Place>& places = (*segments)[segment]->places;
  if (place > Index{0} && (forced || places.empty() || must_place_ ||
                           offset - places.back().offset >= kPlaceEveryBytes)) {
    places.push_back({place, offset});
    must_place_ = false;
  } else if (forced) {
    must_place_ = true;
  }
  return "";
}

std::string LogState::TakeState(const Record& record, bool first_segment) {
  HardState state{record.term, {std::string(record.payload)}};
  if (first_segment) {
    first_ = record.index.Next();
    last_ = record.index;
    hard_state_ = std::move(state);
    return "";
  }
  if (record.index != last_ || state != hard_state_) {
    return base::StrCat("the segment continues a log that ends at ", record.index.value,
                        ", the one before it ends at ", last_.value);
  }
  return "";
}

std::string LogState::TakeEntry(const Record& record) {
  if (record.index != last_.Next()) {
    return base::StrCat("entry ", record.index.value, " follows entry ", last_.value);
  }
  if (!term_runs_.empty() && record.term < term_runs_.back().term) {
    return base::StrCat("entry ", record.index.value, " has an older term than the one before it");
  }
  if (term_runs_.empty() || record.term != term_runs_.back().term) {
    term_runs_.push_back({record.index, record.term});
  }
  if (record.kind == RecordKind::kConfiguration) {
    auto configuration = Configuration::Decode(record.payload);
    if (!configuration.has_value()) {
      return base::StrCat("entry ", record.index.value, " is no readable configuration");
    }
    configurations_.push_back({record.index, std::move(*configuration)});
  }
  last_ = record.index;
  return "";
}

std::string LogState::DropFrom(Index first) {
  if (first > last_.Next()) {
    return base::StrCat("entries from ", first.value, " on are cut from a log that ends at ",
                        last_.value);
  }
  while (!term_runs_.empty() && term_runs_.back().first >= first) term_runs_.pop_back();
  while (!configurations_.empty() && configurations_.back().index >= first) {
    configurations_.pop_back();
  }
  // Below first_ only when the segments that held those entries are gone.
  first_ = std::min(first_, std::max(first, Index{1}));
  last_ = std::max(first, Index{1}).Previous();
  return "";
}

void LogState::DropBefore(Index first) {
  first_ = std::max(first_, first);
  while (term_runs_.size() > 1 && term_runs_[1].first <= first_) {
    term_runs_.erase(term_runs_.begin());
  }
  if (last_ < first_) term_runs_.clear();
  if (!term_runs_.empty()) term_runs_[0].first = std::max(term_runs_[0].first, first_);
  std::erase_if(configurations_,
                [&](const PlacedConfiguration& placed) { return placed.index < first_; });
}

absl::StatusOr<RecoveredLog> RecoverLog(base::FileSystem* file_system,
                                        std::string_view directory) {
  return Recovery(file_system, directory).Run();
}

}  // namespace consul::raft
