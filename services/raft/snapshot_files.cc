#include "services/raft/snapshot_files.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "services/base/check.h"
#include "services/base/crc32c.h"
#include "services/base/strings.h"
#include "services/raft/snapshot_format.h"

namespace consul::raft {
namespace {

using base::StrCat;

// Synced in pieces, so that the log's own syncs never wait behind a whole snapshot.
constexpr uint64_t kSyncEveryBytes = 4 << 20;
// What follows the name while a file is not whole: one's own, and one that is received.
constexpr std::string_view kUnfinished = ".new";
constexpr std::string_view kStaged = ".part";

}  // namespace

SnapshotFiles::SnapshotFiles(base::FileSystem* file_system, std::string directory,
                             uint64_t salt_seed, uint64_t left_free_bytes)
    : file_system_(file_system),
      directory_(std::move(directory)),
      left_free_bytes_(left_free_bytes),
      salt_(salt_seed) {}

absl::StatusOr<std::vector<Index>> SnapshotFiles::List() const {
  const auto names = file_system_->List(directory_);
  if (!names.ok()) return names.status();
  std::vector<Index> indexes;
  for (const std::string& name : *names) {
    if (const auto index = SnapshotIndex(name); index.has_value()) indexes.push_back(*index);
  }
  std::sort(indexes.begin(), indexes.end());
  return indexes;
}

absl::Status SnapshotFiles::RemoveUnfinished() const {
  const auto names = file_system_->List(directory_);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    const std::string_view suffix = name.ends_with(kStaged) ? kStaged : kUnfinished;
    if (!name.ends_with(suffix)) continue;
    const auto whole = std::string_view(name).substr(0, name.size() - suffix.size());
    if (!SnapshotIndex(whole).has_value()) continue;
    absl::Status status = file_system_->Remove(base::JoinPath(directory_, name));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<SnapshotMeta> SnapshotFiles::LoadOne(Index index, Index log_first,
                                                    const Restore& restore) const {
  auto file = file_system_->Open(base::JoinPath(directory_, SnapshotName(index)));
  if (!file.ok()) return file.status();
  const auto reader = SnapshotReader::Open(*std::move(file));
  if (!reader.ok()) return reader.status();
  const SnapshotHeader& header = (*reader)->header();
  if (header.index != index) {
    return absl::DataLossError(
        StrCat("it holds the state at index ", header.index.value, ", not that of its name"));
  }
  if (log_first > index.Next()) {
    return absl::DataLossError(StrCat("the log begins at entry ", log_first.value,
                                      ", and those between are gone"));
  }
  absl::Status status = restore(index, [&reader] { return (*reader)->Next(); });
  if (!status.ok()) return status;
  CONSUL_CHECK((*reader)->ended());
  return header.Meta();
}

absl::StatusOr<SnapshotMeta> SnapshotFiles::Load(Index log_first, const Restore& restore) {
  if (absl::Status status = RemoveUnfinished(); !status.ok()) return status;
  auto indexes = List();
  if (!indexes.ok()) return indexes.status();
  passed_over_.clear();
  for (; !indexes->empty(); indexes->pop_back()) {
    auto loaded = LoadOne(indexes->back(), log_first, restore);
    if (loaded.ok()) return loaded;
    const absl::Status why =
        AboutSnapshot(base::JoinPath(directory_, SnapshotName(indexes->back())),
                      loaded.status());
    if (why.code() != absl::StatusCode::kDataLoss) return why;
    passed_over_.emplace_back(base::ToStd(why.message()));
  }
  if (log_first == Index{1}) return SnapshotMeta{};
  if (passed_over_.empty()) {
    return absl::DataLossError(StrCat("log ", directory_, ": begins at entry ", log_first.value,
                                      ", and no snapshot covers those before it"));
  }
  return absl::DataLossError(StrCat(passed_over_.front(), "; the log begins at entry ",
                                    log_first.value, " and cannot do without it. "
                                    "Refusing to start"));
}

absl::StatusOr<SnapshotMeta> SnapshotFiles::WriteFile(const std::string& path,
                                                      const SnapshotMeta& at,
                                                      const FrozenState& state,
                                                      const std::atomic<bool>& cancelled) {
  auto file = file_system_->Create(path);
  if (!file.ok()) return file.status();
  SnapshotHeader header{.index = at.index,
                        .term = at.term,
                        .configuration = at.configuration,
                        .salt = salt_++,
                        .body_bytes = 0,
                        .body_crc = 0};
  const uint64_t begin = header.header_bytes();
  uint64_t unsynced = 0;
  absl::Status status = state.Write([&](std::string_view bytes) {
    if (cancelled.load()) return absl::CancelledError("not needed");
    if (absl::Status room = CheckRoom(bytes.size()); !room.ok()) return room;
    absl::Status written = (*file)->WriteAt(begin + header.body_bytes, bytes);
    if (!written.ok()) return written;
    header.body_bytes += bytes.size();
    written_bytes_.store(header.body_bytes, std::memory_order_relaxed);
    header.body_crc = base::ExtendCrc32c(header.body_crc, bytes);
    unsynced += bytes.size();
    if (unsynced < kSyncEveryBytes) return written;
    unsynced = 0;
    return (*file)->SyncData();
  });
  if (status.ok()) status = (*file)->WriteAt(begin + header.body_bytes, kSnapshotEnd);
  // Last of all, for only now is it known.
  if (status.ok()) status = (*file)->WriteAt(0, EncodeSnapshotHeader(header));
  if (status.ok()) status = (*file)->SyncData();
  if (!status.ok()) return status;
  return header.Meta();
}

absl::StatusOr<SnapshotMeta> SnapshotFiles::Write(const SnapshotMeta& at, const FrozenState& state,
                                                  const std::atomic<bool>& cancelled) {
  const std::string path = base::JoinPath(directory_, SnapshotName(at.index));
  const std::string unfinished = StrCat(path, kUnfinished);
  auto meta = WriteFile(unfinished, at, state, cancelled);
  written_bytes_.store(0, std::memory_order_relaxed);
  if (!meta.ok()) {
    file_system_->Remove(unfinished).IgnoreError();  // the first error is the one to tell
    return AboutSnapshot(path, meta.status());
  }
  if (absl::Status status = Keep(unfinished, at.index); !status.ok()) return status;
  return meta;
}

absl::Status SnapshotFiles::Keep(const std::string& unfinished, Index index) const {
  const std::string path = base::JoinPath(directory_, SnapshotName(index));
  absl::Status status = file_system_->Rename(unfinished, path);
  if (status.ok()) status = file_system_->SyncDirectory(directory_);
  if (status.ok()) status = RemoveOthers(index);
  if (!status.ok()) return AboutSnapshot(path, absl::InternalError(status.message()));
  return status;
}

absl::StatusOr<std::unique_ptr<SnapshotReader>> SnapshotFiles::Open(
    const SnapshotMeta& meta) const {
  const std::string path = base::JoinPath(directory_, SnapshotName(meta.index));
  auto file = file_system_->Open(path);
  if (!file.ok()) return file.status();
  auto reader = SnapshotReader::Open(*std::move(file));
  if (!reader.ok()) return AboutSnapshot(path, reader.status());
  if ((*reader)->header().Meta() != meta) {
    return absl::NotFoundError(StrCat("snapshot ", path, ": is another one by now"));
  }
  return reader;
}

absl::Status SnapshotFiles::CheckRoom(uint64_t bytes) const {
  const auto free = file_system_->FreeBytes(directory_);
  if (!free.ok()) return free.status();
  const uint64_t room = *free > left_free_bytes_ ? *free - left_free_bytes_ : 0;
  if (bytes <= room) return absl::OkStatus();
  return absl::ResourceExhaustedError(StrCat("there is no room on the disk for ", bytes,
                                             " bytes: ", *free, " are free, of which ",
                                             left_free_bytes_, " are left to the log"));
}

std::string SnapshotFiles::StagedPath(Index index) const {
  return StrCat(base::JoinPath(directory_, SnapshotName(index)), kStaged);
}

absl::Status SnapshotFiles::RemoveOthers(Index newest) const {
  const auto indexes = List();
  if (!indexes.ok()) return indexes.status();
  for (const Index index : *indexes) {
    if (index == newest) continue;
    const std::string path = base::JoinPath(directory_, SnapshotName(index));
    if (absl::Status status = file_system_->Remove(path); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace consul::raft
