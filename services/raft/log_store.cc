#include "services/raft/log_store.h"

#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"

namespace consul::raft {
namespace {

constexpr uint64_t kLoadBufferBytes = 256 << 10;
// A builder or reader that one large group blew up is given back above this.
constexpr uint64_t kKeptBufferBytes = 256 << 10;
constexpr uint64_t kSegmentSizeUnitBytes = 4096;
constexpr uint64_t kServerIdBytesMax = Configuration::kIdBytesMax;

// Begins every segment, and is part of its first group.
uint64_t StateRecordBytes() { return RecordBytes(kServerIdBytesMax); }

std::string_view PayloadOf(const Entry& entry) {
  return entry.payload == nullptr ? std::string_view() : std::string_view(*entry.payload);
}

// Of splitmix64: every output depends on every bit of the input.
uint64_t Mix(uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

}  // namespace

LogStore::LogStore(LogOptions options)
    : options_(std::move(options)), preparer_(options_.file_system, options_.directory) {}

absl::StatusOr<std::unique_ptr<LogStore>> LogStore::Open(LogOptions options) {
  CONSUL_CHECK(options.segment_bytes_min >= 2 * kSegmentHeaderBytes);
  CONSUL_CHECK(options.segment_bytes_min <= options.segment_bytes_max);
  std::unique_ptr<LogStore> store(new LogStore(std::move(options)));
  base::FileSystem* const file_system = store->options_.file_system;
  const std::string& directory = store->options_.directory;
  absl::Status status = file_system->CreateDirectories(directory);
  if (!status.ok()) return status;
  auto lock = file_system->Lock(base::JoinPath(directory, "LOCK"));
  if (!lock.ok()) return lock.status();
  store->lock_ = std::move(*lock);
  auto recovered = RecoverLog(file_system, directory);
  if (!recovered.ok()) return recovered.status();
  store->state_ = std::move(recovered->state);
  store->next_sequence_ = recovered->next_sequence;
  store->write_offset_ = recovered->write_offset;
  store->cut_ = std::move(recovered->cut);
  for (size_t i = 0; i < recovered->segments.size(); ++i) {
    auto& segment = recovered->segments[i];
    if (i <= recovered->active) {
      store->segments_.push_back(std::move(segment));
    } else {
      store->spares_.push_back(std::move(segment));
    }
  }
  if (store->segments_.empty()) {
    status = store->MakeSegment(store->options_.segment_bytes_min);
  } else {
    status = store->SecureRecovered(recovered->group_offset);
  }
  if (!status.ok()) return status;
  return store;
}

// What was read may be known to the system's cache alone: the process before this one may have
// ended between a write and its sync, or because that sync failed. From here on it counts as
// durable, so it must be. A sync alone would not do after one that failed: the system takes the
// last group, the only one that no sync stands behind, for written. So it is written again.
absl::Status LogStore::SecureRecovered(uint64_t group_offset) {
  base::File* const file = active()->file();
  absl::Status status;
  std::string bytes;
  for (uint64_t offset = group_offset; status.ok() && offset < write_offset_;
       offset += bytes.size()) {
    bytes.resize(std::min(write_offset_ - offset, kLoadBufferBytes));
    const auto read = file->ReadAt(offset, bytes);
    if (!read.ok()) return read.status();
    CONSUL_CHECK(*read == bytes.size());
    status = file->WriteAt(offset, bytes);
  }
  if (status.ok()) status = file->SyncData();
  if (status.ok()) status = options_.file_system->SyncDirectory(options_.directory);
  if (!status.ok()) return Fail(status);
  if (write_offset_ == kSegmentHeaderBytes) return status;
  settled_ = false;
  return WriteMark();
}

LogStore::~LogStore() {
  // An error here is no news for anybody: all that was promised is durable without the mark.
  if (!segments_.empty()) Settle().IgnoreError();
}

Restart LogStore::TakeRestart() const {
  Restart restart;
  restart.hard_state = state_.hard_state();
  restart.log_first = state_.first();
  restart.log_last = state_.last();
  restart.term_runs = state_.term_runs();
  restart.configurations = state_.configurations();
  return restart;
}

uint64_t LogStore::NextSalt() { return Mix(options_.salt_seed ^ Mix(++salts_made_)); }

absl::Status LogStore::Fail(absl::Status status) {
  failed_ = status;
  options_.file_system->Fatal(status);
  return status;
}

// --- Room. ---

bool LogStore::Fits(const Segment& segment, uint64_t offset, uint64_t records_bytes) const {
  const uint64_t state = offset == kSegmentHeaderBytes ? StateRecordBytes() : 0;
  return offset + kGroupHeaderBytes + state + records_bytes <= segment.header().size_bytes;
}

absl::Status LogStore::MakeSegment(uint64_t size_bytes) {
  const uint64_t number = segments_.empty() ? 1 : active()->header().number + 1;
  auto segment = Segment::Create(
      options_.file_system, options_.directory,
      {.number = number, .salt = NextSalt(), .size_bytes = size_bytes});
  if (!segment.ok()) return segment.status();
  segments_.push_back(std::move(*segment));
  write_offset_ = kSegmentHeaderBytes;
  return absl::OkStatus();
}

absl::Status LogStore::CheckLeftFree(uint64_t size_bytes, uint64_t left_free_bytes) const {
  if (left_free_bytes == 0) return absl::OkStatus();
  const auto free = options_.file_system->FreeBytes(options_.directory);
  // Where nobody knows, the disk says it when the file is made.
  if (!free.ok()) return absl::OkStatus();
  if (*free >= left_free_bytes && *free - left_free_bytes >= size_bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      base::StrCat("make log segment in ", options_.directory, ": No space left: ", size_bytes,
                   " bytes are wanted and ", *free, " are free, of which ", left_free_bytes,
                   " are left to the next snapshot"));
}

absl::Status LogStore::DiscardSpare() {
  // The last one first: a gap in the numbers would look like damage.
  const std::string path = spares_.back()->path();
  spares_.pop_back();
  absl::Status status = options_.file_system->Remove(path);
  if (status.ok()) status = options_.file_system->SyncDirectory(options_.directory);
  return status.ok() ? status : Fail(status);
}

absl::Status LogStore::TakePrepared() {
  if (!preparer_.busy()) return absl::OkStatus();
  auto segment = preparer_.Take();
  if (segment.ok()) {
    spares_.push_back(std::move(*segment));
  } else if (segment.status().code() != absl::StatusCode::kResourceExhausted) {
    return Fail(segment.status());
  }
  return absl::OkStatus();
}

absl::Status LogStore::RollFor(uint64_t records_bytes, uint64_t left_free_bytes) {
  // The mark that stays behind: were it torn by a crash once the next segment has a group, it would
  // look like a group that had been synced and is damaged.
  absl::Status status = Settle();
  if (status.ok()) status = TakePrepared();
  if (!status.ok()) return status;
  if (!spares_.empty() && !Fits(*spares_.front(), kSegmentHeaderBytes, records_bytes)) {
    while (!spares_.empty()) {
      if (status = DiscardSpare(); !status.ok()) return status;
    }
  }
  if (!spares_.empty()) {
    segments_.push_back(std::move(spares_.front()));
    spares_.pop_front();
    write_offset_ = kSegmentHeaderBytes;
    return absl::OkStatus();
  }
  const uint64_t needed =
      (kSegmentHeaderBytes + kGroupHeaderBytes + StateRecordBytes() + records_bytes +
       kSegmentSizeUnitBytes - 1) / kSegmentSizeUnitBytes * kSegmentSizeUnitBytes;
  const uint64_t least = std::max(needed, options_.segment_bytes_min);
  uint64_t planned = std::max(
      least, std::min(options_.segment_bytes_max, 2 * active()->header().size_bytes));
  const auto make = [&] {
    absl::Status left = CheckLeftFree(planned, left_free_bytes);
    return left.ok() ? MakeSegment(planned) : left;
  };
  status = make();
  // Where there is no room for a large one, a small one still lets things go on.
  for (const uint64_t smaller : {least, needed}) {
    if (status.code() != absl::StatusCode::kResourceExhausted || smaller == planned) continue;
    planned = smaller;
    status = make();
  }
  if (!status.ok() && status.code() != absl::StatusCode::kResourceExhausted) failed_ = status;
  return status;
}

absl::Status LogStore::Reserve(uint64_t records_bytes) {
  if (!failed_.ok()) return failed_;
  if (Fits(*active(), write_offset_, records_bytes)) return absl::OkStatus();
  return RollFor(records_bytes, left_free_bytes_.load(std::memory_order_relaxed));
}

uint64_t LogStore::room() const {
  const uint64_t state = write_offset_ == kSegmentHeaderBytes ? StateRecordBytes() : 0;
  const uint64_t used = write_offset_ + kGroupHeaderBytes + state;
  const uint64_t size = active()->header().size_bytes;
  return size > used ? size - used : 0;
}

void LogStore::PrepareAhead() {
  const uint64_t size = active()->header().size_bytes;
  if (!options_.prepare_ahead || preparer_.busy() || !spares_.empty() ||
      write_offset_ < size / 2) {
    return;
  }
  const uint64_t planned =
      std::max(options_.segment_bytes_min, std::min(options_.segment_bytes_max, 2 * size));
  const uint64_t left = left_free_bytes_.load(std::memory_order_relaxed);
  if (!CheckLeftFree(planned, left).ok()) {
    const uint64_t number = active()->header().number;
    if (std::exchange(tight_at_, number) != number) tight_.store(true, std::memory_order_relaxed);
    return;
  }
  ClearTight();
  preparer_.Start({.number = active()->header().number + 1,
                   .salt = NextSalt(),
                   .size_bytes = planned});
}

// --- Writing. ---

uint64_t LogStore::RecordsBytes(const Persist& persist) {
  uint64_t bytes = 0;
  if (persist.reset_to.has_value()) bytes += RecordBytes(0);
  if (!persist.entries.empty()) bytes += RecordBytes(0);  // the cut before them
  for (const Entry& entry : persist.entries) bytes += RecordBytes(entry.payload_bytes());
  if (persist.hard_state.has_value()) {
    bytes += RecordBytes(persist.hard_state->voted_for.value.size());
  }
  return bytes;
}

void LogStore::AddRecord(const Record& record) {
  builder_.Add(record, active()->header().salt);
  records_.push_back(record);
}

void LogStore::BuildGroup(std::span<const Persist> group) {
  builder_.Clear();
  records_.clear();
  if (write_offset_ == kSegmentHeaderBytes) {
    AddRecord({RecordKind::kSegmentState, state_.last(), state_.hard_state().term,
               state_.hard_state().voted_for.value});
  }
  Index last = state_.last();
  for (const Persist& persist : group) {
    if (persist.reset_to.has_value()) {
      AddRecord({RecordKind::kReset, *persist.reset_to, {}, {}});
      last = *persist.reset_to;
    }
    if (!persist.entries.empty() && persist.entries.front().index <= last) {
      AddRecord({RecordKind::kTruncate, persist.entries.front().index, {}, {}});
      last = persist.entries.front().index.Previous();
    }
    for (const Entry& entry : persist.entries) {
      CONSUL_CHECK(entry.index == last.Next());
      AddRecord({static_cast<RecordKind>(entry.kind), entry.index, entry.term, PayloadOf(entry)});
      last = entry.index;
    }
    if (persist.hard_state.has_value()) {
      AddRecord({RecordKind::kHardState, {}, persist.hard_state->term,
                 persist.hard_state->voted_for.value});
    }
  }
}

absl::Status LogStore::Append(std::span<const Persist> group) {
  uint64_t bytes = 0;
  for (const Persist& persist : group) bytes += RecordsBytes(persist);
  if (!failed_.ok() || bytes == 0) return failed_;
  if (!Fits(*active(), write_offset_, bytes)) {
    if (absl::Status status = RollFor(bytes, 0); !status.ok()) return status;
  }
  BuildGroup(group);
  const std::string_view written = builder_.Finish(next_sequence_, active()->header().salt);
  absl::Status status = active()->file()->WriteAt(write_offset_, written);
  if (status.ok()) status = active()->file()->SyncData();
  if (!status.ok()) return Fail(status);
  const std::string problem =
      state_.Take(records_, write_offset_, segments_.size() - 1, &segments_);
  CONSUL_CHECK(problem.empty());
  write_offset_ += written.size();
  next_sequence_ = next_sequence_.Next();
  settled_ = false;
  builder_.ShrinkTo(kKeptBufferBytes);
  PrepareAhead();
  return WriteMark();
}

// Not synced: where only the process dies the system keeps it, and the next sync takes it along.
absl::Status LogStore::WriteMark() {
  if (write_offset_ + kGroupHeaderBytes > active()->header().size_bytes) return absl::OkStatus();
  absl::Status status = active()->file()->WriteAt(
      write_offset_,
      EncodeGroupHeader({.sequence = next_sequence_, .body_bytes = 0, .records_count = 0},
                        active()->header().salt));
  return status.ok() ? status : Fail(status);
}

absl::Status LogStore::Settle() {
  if (!failed_.ok() || settled_) return failed_;
  absl::Status status = active()->file()->SyncData();
  if (!status.ok()) return Fail(status);
  settled_ = true;
  return absl::OkStatus();
}

// --- Reading and dropping. ---

LogStore::Stretch LogStore::Locate(Index index) const {
  Stretch stretch;
  stretch.last = state_.last();
  size_t s = segments_.size();
  while (s > 0 && (segments_[s - 1]->places.empty() ||
                   segments_[s - 1]->places.front().first > index)) {
    --s;
    if (!segments_[s]->places.empty()) {
      stretch.last = segments_[s]->places.front().first.Previous();
    }
  }
  CONSUL_CHECK(s > 0);
  stretch.segment = segments_[s - 1].get();
  const std::vector<Place>& places = stretch.segment->places;
  const auto after = std::upper_bound(
      places.begin(), places.end(), index,
      [](Index wanted, const Place& place) { return wanted < place.first; });
  if (after != places.end()) stretch.last = after->first.Previous();
  stretch.offset = std::prev(after)->offset;
  return stretch;
}

// Takes those of a group's entries that follow the ones in `loaded`. A group may cut what it holds
// itself; entries that a later group cut are behind `last` and are not taken.
void LogStore::TakeEntries(const std::vector<Record>& records, Index last, Loaded* loaded) {
  const size_t begin = loaded->entries.size();
  for (const Record& record : records) {
    if (record.kind == RecordKind::kTruncate || record.kind == RecordKind::kReset) {
      while (loaded->entries.size() > begin &&
             (record.kind == RecordKind::kReset ||
              loaded->entries.back().index >= record.index)) {
        loaded->bytes -= loaded->entries.back().bytes();
        loaded->entries.pop_back();
      }
    }
    if (!IsEntry(record.kind) || record.index != loaded->next() || record.index > last) continue;
    if (loaded->bytes >= loaded->bytes_max) continue;
    loaded->entries.push_back({.term = record.term,
                               .index = record.index,
                               .kind = static_cast<EntryKind>(record.kind),
                               .payload = record.payload.empty()
                                              ? nullptr
                                              : MakeBuffer(std::string(record.payload))});
    loaded->bytes += loaded->entries.back().bytes();
  }
}

absl::StatusOr<std::vector<Entry>> LogStore::Read(Index first, Index last, uint64_t bytes_max) {
  Loaded loaded{.first = first, .bytes_max = bytes_max, .bytes = 0, .entries = {}};
  last = std::min(last, state_.last());
  if (first < state_.first()) return std::move(loaded.entries);
  while (loaded.next() <= last && loaded.bytes < bytes_max) {
    const Stretch stretch = Locate(loaded.next());
    const Index stop = std::min(last, stretch.last);
    SegmentReader reader(stretch.segment, stretch.offset, kLoadBufferBytes);
    while (loaded.next() <= stop && loaded.bytes < bytes_max) {
      const auto found = reader.Next();
      if (!found.ok()) return found.status();
      if (*found != SegmentReader::Found::kGroup) {
        return absl::DataLossError(base::StrCat(
            "log ", stretch.segment->path(), " offset ", reader.group_offset(), ": ",
            reader.problem(), "; the group was sound before, with entry ", loaded.next().value));
      }
      TakeEntries(reader.records(), stop, &loaded);
    }
  }
  if (loaded.entries.size() > 1 && loaded.bytes > bytes_max) loaded.entries.pop_back();
  return std::move(loaded.entries);
}

absl::Status LogStore::DropBefore(Index index) {
  for (;;) {
    const auto dropped = DropSegmentBefore(index);
    if (!dropped.ok()) return dropped.status();
    if (!*dropped) return absl::OkStatus();
  }
}

absl::StatusOr<bool> LogStore::DropSegmentBefore(Index index) {
  if (!failed_.ok()) return failed_;
  // A segment without a group says nothing of its begin: the one before it must stay.
  const size_t stays = write_offset_ == kSegmentHeaderBytes ? 2 : 1;
  if (segments_.size() <= stays) return false;
  Index next_live = state_.last().Next();
  for (size_t s = segments_.size(); s-- > 1;) {
    if (!segments_[s]->places.empty()) next_live = segments_[s]->places.front().first;
  }
  if (next_live > index) return false;
  const std::string path = segments_.front()->path();
  segments_.erase(segments_.begin());
  absl::Status status = options_.file_system->Remove(path);
  // Each by itself: were two removals to reach the disk in the other order, a gap would be left.
  if (status.ok()) status = options_.file_system->SyncDirectory(options_.directory);
  if (!status.ok()) return Fail(status);
  state_.DropBefore(next_live);
  return true;
}

Index LogStore::FirstWithin(uint64_t bytes) const {
  Index first = state_.last().Next();
  uint64_t held = 0;
  for (size_t s = segments_.size(); s-- > 0;) {
    held += segments_[s]->header().size_bytes;
    if (held > bytes) break;
    if (!segments_[s]->places.empty()) first = segments_[s]->places.front().first;
  }
  return first;
}

uint64_t LogStore::disk_bytes() const {
  uint64_t bytes = 0;
  for (const auto& segment : segments_) bytes += segment->header().size_bytes;
  for (const auto& segment : spares_) bytes += segment->header().size_bytes;
  return bytes;
}

}  // namespace consul::raft
