#include "services/state/snapshot.h"

#include <cstring>
#include <limits>
#include <utility>

#include "services/base/crc32c.h"
#include "services/base/strings.h"

namespace consul::state {
namespace {

using base::StrCat;
using base::ToAbsl;

enum class Kind : uint8_t {
  kHeader = 1,
  kRow = 2,
  kTombstone = 3,
  kFloor = 4,
  kLeftGeneration = 5,
  kEnd = 6,
  kStagedChunk = 7,
};

constexpr size_t kFrameHeadBytes = 8;
constexpr size_t kRecordHeadBytes = 1 + 2 + 8 + 4 + 4;
// Of a format's header.
constexpr size_t kHeaderValueBytes[kSnapshotFormat + 1] = {0, 16, 24, 28};
// Behind all tables, however many there are.
constexpr int kGenerationsPlace = std::numeric_limits<int>::max() - 1;
constexpr int kStagedPlace = std::numeric_limits<int>::max();

template <typename Number>
void PutNumber(std::string* out, Number number) {
  for (size_t i = 0; i < sizeof(Number); ++i) {
    out->push_back(static_cast<char>(static_cast<uint64_t>(number) >> (8 * i)));
  }
}
template <typename Number>
Number GetNumber(const char* at) {
  uint64_t number = 0;
  for (size_t i = 0; i < sizeof(Number); ++i) {
    number |= static_cast<uint64_t>(static_cast<unsigned char>(at[i])) << (8 * i);
  }
  return static_cast<Number>(number);
}

// Collects records into frames.
class FrameWriter {
 public:
  explicit FrameWriter(const std::function<absl::Status(std::string_view)>& sink) : sink_(sink) {
    Begin();
  }

  // Returns false once the sink has failed.
  bool Add(Kind kind, MapId map, uint64_t index, std::string_view key, std::string_view value) {
    if (!status_.ok()) return false;
    PutNumber(&frame_, static_cast<uint8_t>(kind));
    PutNumber(&frame_, static_cast<uint16_t>(map));
    PutNumber(&frame_, index);
    PutNumber(&frame_, static_cast<uint32_t>(key.size()));
    PutNumber(&frame_, static_cast<uint32_t>(value.size()));
    frame_.append(key);
    frame_.append(value);
    ++records_;
    if (frame_.size() >= kFrameHeadBytes + kSnapshotFrameBytes) Flush();
    return status_.ok();
  }

  absl::Status Finish() {
    Add(Kind::kEnd, MapId{0}, records_, {}, {});
    if (status_.ok() && frame_.size() > kFrameHeadBytes) Flush();
    return status_;
  }

 private:
  void Begin() { frame_.assign(kFrameHeadBytes, '\0'); }
  void Flush() {
    const std::string_view payload = std::string_view(frame_).substr(kFrameHeadBytes);
    std::string head;
    PutNumber(&head, static_cast<uint32_t>(payload.size()));
    PutNumber(&head, base::Crc32c(payload));
    std::memcpy(frame_.data(), head.data(), kFrameHeadBytes);
    status_ = sink_(frame_);
    Begin();
  }

  const std::function<absl::Status(std::string_view)>& sink_;
  std::string frame_;
  uint64_t records_ = 0;
  absl::Status status_;
};

template <typename Spec>
void WriteTable(const Table<Spec>& table, FrameWriter* writer) {
  std::string message;
  for (auto it = table.rows().entries().Begin(); it.Valid(); it.Next()) {
    message.clear();
    it->message().AppendToString(&message);
    if (!writer->Add(Kind::kRow, Spec::kMap, 0, {}, message)) return;
  }
  table.ForEachMap([writer](MapId map, const auto& indexed) {
    for (auto it = indexed.tombstones().Begin(); it.Valid(); it.Next()) {
      if (!writer->Add(Kind::kTombstone, map, it->modify_index(), it->key(), {})) return;
    }
    if (indexed.floor() > 0) writer->Add(Kind::kFloor, map, indexed.floor(), {}, {});
  });
}

// As kSnapshotFormat says: the oldest format that has all of it.
uint16_t FormatFor(const Tables& tables, const StagedRestore& staged, uint32_t cluster_version) {
  if (cluster_version > kBaselineVersion) return 3;
  return tables.restored_index == 0 && staged.empty() ? 1 : 2;
}

absl::Status Write(const Tables& tables, const StagedRestore& staged, uint32_t cluster_version,
                   const SnapshotSink& sink) {
  FrameWriter writer(sink);
  std::string value;
  PutNumber(&value, tables.time_ns);
  PutNumber(&value, tables.cluster_id_index);
  const uint16_t format = FormatFor(tables, staged, cluster_version);
  if (format > 1) PutNumber(&value, tables.restored_index);
  if (format > 2) PutNumber(&value, cluster_version);
  writer.Add(Kind::kHeader, MapId{format}, tables.applied_index, tables.cluster_id, value);
  Tables::ForEachTable(tables, [&writer](const auto& table) { WriteTable(table, &writer); });
  for (auto it = tables.left_generations.Begin(); it.Valid(); it.Next()) {
    value.clear();
    PutNumber(&value, it->left_at_ns());
    writer.Add(Kind::kLeftGeneration, kLeftGenerationMap, it->modify_index(), it->key(), value);
  }
  for (const StagedRestore::Chunk& chunk : staged.chunks()) {
    writer.Add(Kind::kStagedChunk, MapId{0}, staged.touched_ns(), staged.id(), *chunk);
  }
  return writer.Finish();
}

}  // namespace

absl::Status WriteSnapshot(const Version& version, const StagedRestore& staged,
                           const SnapshotSink& sink) {
  return Write(version.tables(), staged, version.cluster_version(), sink);
}

absl::Status WriteSnapshot(const Version& version, const SnapshotSink& sink) {
  return Write(version.tables(), StagedRestore(), kBaselineVersion, sink);
}

namespace {

absl::Status CheckFormat(uint16_t format, uint32_t version_max) {
  if (format == 0 || format > kSnapshotFormat) {
    return absl::FailedPreconditionError(
        ToAbsl(StrCat("snapshot: format ", format,
                      " is not known; this program reads formats 1 to ", kSnapshotFormat)));
  }
  if (VersionOfFormat(format) > version_max) {
    return absl::FailedPreconditionError(
        ToAbsl(StrCat("snapshot: format ", format, " needs state machine version ",
                      VersionOfFormat(format), ", and the cluster is at version ", version_max)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckSnapshotFormat(std::string_view bytes, uint32_t version_max) {
  if (bytes.size() < kFrameHeadBytes + kRecordHeadBytes) return absl::OkStatus();
  const uint32_t length = GetNumber<uint32_t>(bytes.data());
  const uint32_t checksum = GetNumber<uint32_t>(bytes.data() + 4);
  bytes.remove_prefix(kFrameHeadBytes);
  if (length < kRecordHeadBytes || length > bytes.size()) return absl::OkStatus();
  const std::string_view payload = bytes.substr(0, length);
  if (static_cast<Kind>(payload[0]) != Kind::kHeader) return absl::OkStatus();
  // A damaged one is no newer one.
  if (base::Crc32c(payload) != checksum) return absl::OkStatus();
  return CheckFormat(GetNumber<uint16_t>(payload.data() + 1), version_max);
}

struct SnapshotReader::Record {
  Kind kind;
  MapId map;
  uint64_t index;
  std::string_view key;
  std::string_view value;
};

absl::Status SnapshotReader::Damaged(std::string_view what) const {
  return absl::DataLossError(
      ToAbsl(StrCat("snapshot: frame ", frame_, " at byte ", offset_, ": ", what)));
}

absl::Status SnapshotReader::Add(std::string_view bytes) {
  if (!failure_.ok()) return failure_;
  pending_.append(bytes);
  size_t at = 0;
  while (failure_.ok() && pending_.size() - at >= kFrameHeadBytes) {
    const uint32_t length = GetNumber<uint32_t>(pending_.data() + at);
    if (length > kSnapshotFrameBytesMax) {
      failure_ = Damaged(StrCat("length ", length, " is over the limit of ",
                                kSnapshotFrameBytesMax));
      break;
    }
    if (pending_.size() - at < kFrameHeadBytes + length) break;
    const std::string_view payload =
        std::string_view(pending_).substr(at + kFrameHeadBytes, length);
    if (base::Crc32c(payload) != GetNumber<uint32_t>(pending_.data() + at + 4)) {
      failure_ = Damaged("the checksum does not match");
      break;
    }
    failure_ = Frame(payload);
    at += kFrameHeadBytes + length;
    offset_ += kFrameHeadBytes + length;
    ++frame_;
  }
  pending_.erase(0, at);
  return failure_;
}

absl::Status SnapshotReader::Frame(std::string_view payload) {
  while (!payload.empty()) {
    if (ended_) return Damaged("there are records behind the end");
    if (payload.size() < kRecordHeadBytes) return Damaged("a record is cut off");
    const uint64_t key_size = GetNumber<uint32_t>(payload.data() + 11);
    const uint64_t value_size = GetNumber<uint32_t>(payload.data() + 15);
    if (payload.size() - kRecordHeadBytes < key_size + value_size) {
      return Damaged("a record is longer than its frame");
    }
    Record record;
    record.kind = static_cast<Kind>(payload[0]);
    record.map = MapId{GetNumber<uint16_t>(payload.data() + 1)};
    record.index = GetNumber<uint64_t>(payload.data() + 3);
    record.key = payload.substr(kRecordHeadBytes, key_size);
    record.value = payload.substr(kRecordHeadBytes + key_size, value_size);
    payload.remove_prefix(kRecordHeadBytes + key_size + value_size);
    if (absl::Status status = Apply(record); !status.ok()) return status;
    ++records_;
  }
  return absl::OkStatus();
}

absl::Status SnapshotReader::CheckIndex(uint64_t index) const {
  if (index > 0 && index <= tables_.applied_index) return absl::OkStatus();
  return Damaged(StrCat("index ", index, " is not one of 1 to ", tables_.applied_index));
}

absl::Status SnapshotReader::Advance(int place, std::string_view key) {
  if (place < place_ || (place == place_ && key <= key_)) {
    return Damaged("the records are not in order");
  }
  place_ = place;
  key_.assign(key);
  return absl::OkStatus();
}

absl::Status SnapshotReader::Apply(const Record& record) {
  if ((records_ == 0) != (record.kind == Kind::kHeader)) {
    return Damaged("the header is not the first record");
  }
  switch (record.kind) {
    case Kind::kHeader:
      return ApplyHeader(record);
    case Kind::kRow:
    case Kind::kTombstone:
    case Kind::kFloor:
      return ApplyToTables(record);
    case Kind::kLeftGeneration: {
      if (record.value.size() != 8) return Damaged("a left generation is malformed");
      if (absl::Status status = CheckIndex(record.index); !status.ok()) return status;
      if (absl::Status status = Advance(kGenerationsPlace, record.key); !status.ok()) return status;
      tables_.left_generations.Insert(Held<const LeftGeneration>(new LeftGeneration(
          record.key, GetNumber<uint64_t>(record.value.data()), record.index)));
      return absl::OkStatus();
    }
    case Kind::kStagedChunk:
      return ApplyStaged(record);
    case Kind::kEnd:
      if (record.index != records_) return Damaged("the number of records does not match");
      ended_ = true;
      return absl::OkStatus();
  }
  return Damaged(StrCat("a record is of unknown kind ", static_cast<int>(record.kind)));
}

absl::Status SnapshotReader::ApplyHeader(const Record& record) {
  format_ = static_cast<uint16_t>(record.map);
  if (absl::Status status = CheckFormat(format_, version_max_); !status.ok()) return status;
  if (record.value.size() != kHeaderValueBytes[format_]) return Damaged("the header is malformed");
  tables_.applied_index = record.index;
  tables_.cluster_id = std::string(record.key);
  tables_.time_ns = GetNumber<uint64_t>(record.value.data());
  tables_.cluster_id_index = GetNumber<uint64_t>(record.value.data() + 8);
  if (format_ > 1) tables_.restored_index = GetNumber<uint64_t>(record.value.data() + 16);
  if (format_ > 2) tables_.cluster_version = GetNumber<uint32_t>(record.value.data() + 24);
  if (format_ > 2 && tables_.cluster_version <= kBaselineVersion) {
    return Damaged(StrCat("the cluster's version ", tables_.cluster_version, " needs no format 3"));
  }
  if (tables_.restored_index > record.index) return CheckIndex(tables_.restored_index);
  if (tables_.cluster_id.empty() != (tables_.cluster_id_index == 0)) {
    return Damaged("the cluster id and its index do not go together");
  }
  return tables_.cluster_id.empty() ? absl::OkStatus() : CheckIndex(tables_.cluster_id_index);
}

absl::Status SnapshotReader::ApplyStaged(const Record& record) {
  if (format_ == 1) return Damaged("format 1 has no restores that are under way");
  place_ = kStagedPlace;
  if (!staged_.empty() && staged_.id() != record.key) return Damaged("two restores are under way");
  const Refusal refusal =
      staged_.Add(record.key, staged_.size(), std::string(record.value), record.index);
  return refusal.refused() ? Damaged(refusal.text) : absl::OkStatus();
}

absl::Status SnapshotReader::ApplyToTables(const Record& record) {
  absl::Status status = Damaged("a record is of an unknown map");
  int place = 0;
  const auto apply = [&]<typename Spec>(Table<Spec>& table) {
    ++place;
    if (record.kind == Kind::kRow && Spec::kMap == record.map) {
      status = ApplyRow(record, place, &table);
    }
    table.ForEachMap([&](MapId map, auto& indexed) {
      const int tombstones = ++place;
      const int floor = ++place;
      if (record.kind == Kind::kRow || map != record.map) return;
      status = CheckIndex(record.index);
      if (!status.ok()) return;
      if (record.kind == Kind::kFloor) {
        status = Advance(floor, {});
        if (status.ok()) indexed.RestoreFloor(record.index);
        return;
      }
      status = Advance(tombstones, record.key);
      if (status.ok() && indexed.entries().Find(record.key) != nullptr) {
        status = Damaged("a tombstone is of a place that is taken");
      }
      if (status.ok()) indexed.RestoreTombstone(record.key, record.index);
    });
  };
  Tables::ForEachTable(tables_, apply);
  return status;
}

template <typename Spec>
absl::Status SnapshotReader::ApplyRow(const Record& record, int place, Table<Spec>* table) {
  typename Spec::Message message;
  if (!message.ParseFromArray(record.value.data(), static_cast<int>(record.value.size()))) {
    return Damaged("a row does not parse");
  }
  if (absl::Status status = CheckIndex(message.modify_index()); !status.ok()) return status;
  if (message.modify_index() > index_max_) message.set_modify_index(index_max_);
  if (message.create_index() > index_max_) message.set_create_index(index_max_);
  if (absl::Status status = Advance(place, Spec::Key(message)); !status.ok()) return status;
  if (!table->IndexKeysAreFree(message)) return Damaged("two rows of a table have one key");
  table->Put(std::move(message), nullptr);
  return absl::OkStatus();
}

absl::StatusOr<Tables> SnapshotReader::Finish() {
  if (!failure_.ok()) return failure_;
  if (!ended_) {
    failure_ = Damaged(pending_.empty() ? "the stream ends before its end record"
                                        : "the stream ends inside a frame");
    return failure_;
  }
  if (!pending_.empty()) {
    failure_ = Damaged("there are bytes behind the end");
    return failure_;
  }
  return std::move(tables_);
}

}  // namespace consul::state
