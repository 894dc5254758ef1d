#include "services/raft/staged_snapshot.h"

#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/raft/snapshot_format.h"

namespace consul::raft {
namespace {

using base::StrCat;

// As in SnapshotFiles::Write: the log's own syncs do not wait behind all of it.
constexpr uint64_t kSyncEveryBytes = 4 << 20;

}  // namespace

absl::StatusOr<std::unique_ptr<StagedSnapshot>> StagedSnapshot::Begin(const SnapshotFiles* files,
                                                                      const SnapshotMeta& meta) {
  const std::string path = files->StagedPath(meta.index);
  if (meta.size_bytes < kSnapshotFixedBytes + kSnapshotEnd.size()) {
    return AboutSnapshot(
        path, absl::DataLossError(StrCat("no snapshot has ", meta.size_bytes, " bytes")));
  }
  base::FileSystem* const file_system = files->file_system();
  const absl::Status removed = file_system->Remove(path);
  if (!removed.ok() && removed.code() != absl::StatusCode::kNotFound) return removed;
  if (absl::Status room = files->CheckRoom(meta.size_bytes); !room.ok()) {
    return AboutSnapshot(path, room);
  }
  auto file = file_system->Create(path);
  if (!file.ok()) return AboutSnapshot(path, file.status());
  return std::unique_ptr<StagedSnapshot>(new StagedSnapshot(files, meta, *std::move(file)));
}

StagedSnapshot::StagedSnapshot(const SnapshotFiles* files, SnapshotMeta meta,
                               std::unique_ptr<base::File> file)
    : files_(files),
      meta_(std::move(meta)),
      path_(files->StagedPath(meta_.index)),
      file_(std::move(file)) {}

StagedSnapshot::~StagedSnapshot() {
  // Where it cannot be removed, the next start does.
  if (!kept_) files_->file_system()->Remove(path_).IgnoreError();
}

absl::Status StagedSnapshot::About(const absl::Status& status) const {
  return status.ok() ? status : AboutSnapshot(path_, status);
}

absl::Status StagedSnapshot::Append(uint64_t offset, std::string_view bytes, bool last) {
  absl::Status status = Take(offset, bytes, last);
  if (status.ok() && last) status = Finish();
  if (!status.ok()) file_.reset();
  return About(status);
}

absl::Status StagedSnapshot::Take(uint64_t offset, std::string_view bytes, bool last) {
  if (file_ == nullptr) return absl::DataLossError("nothing more is taken");
  if (offset != next_offset_ || bytes.empty()) {
    return absl::DataLossError(StrCat(bytes.size(), " bytes came at offset ", offset,
                                      ", and those at ", next_offset_, " are next"));
  }
  // What is left is never less than nothing, so this cannot wrap around.
  const uint64_t left = meta_.size_bytes - next_offset_;
  if (bytes.size() > left || last != (bytes.size() == left)) {
    return absl::DataLossError(StrCat(bytes.size(), last ? " bytes came as the last ones"
                                                         : " bytes came as not the last ones",
                                      " at offset ", offset, " of ", meta_.size_bytes));
  }
  if (absl::Status room = files_->CheckRoom(bytes.size()); !room.ok()) return room;
  if (absl::Status status = file_->WriteAt(offset, bytes); !status.ok()) return status;
  next_offset_ += bytes.size();
  unsynced_ += bytes.size();
  if (unsynced_ < kSyncEveryBytes && !last) return absl::OkStatus();
  unsynced_ = 0;
  return file_->SyncData();
}

absl::Status StagedSnapshot::Finish() {
  auto reader = SnapshotReader::Open(std::exchange(file_, nullptr));
  if (!reader.ok()) return reader.status();
  if ((*reader)->header().Meta() != meta_) {
    return absl::DataLossError("its header is not the one that was announced");
  }
  reader_ = *std::move(reader);
  return absl::OkStatus();
}

absl::StatusOr<std::string_view> StagedSnapshot::Next() {
  CONSUL_CHECK(reader_ != nullptr);
  auto bytes = reader_->Next();
  if (!bytes.ok()) return About(bytes.status());
  return bytes;
}

absl::Status StagedSnapshot::Keep() {
  CONSUL_CHECK(reader_ != nullptr && reader_->ended());
  absl::Status status = files_->Keep(path_, meta_.index);
  kept_ = status.ok();
  return status;
}

}  // namespace consul::raft
