#include "services/raft/snapshot_files.h"

#include <algorithm>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "services/base/check.h"
#include "services/base/crc32c.h"
#include "services/base/strings.h"
#include "services/raft/snapshot_format.h"

namespace consul::raft {
namespace {

using base::StrCat;

constexpr uint64_t kReadBytes = 256 << 10;
// Synced in pieces, so that the log's own syncs never wait behind a whole snapshot.
constexpr uint64_t kSyncEveryBytes = 4 << 20;
constexpr std::string_view kUnfinished = ".new";

absl::Status About(std::string_view path, const absl::Status& status) {
  return absl::Status(status.code(),
                      StrCat("snapshot ", path, ": ", base::ToStd(status.message())));
}

// Fills `out` from `offset` on; DATA_LOSS where the file ends before.
absl::Status ReadWhole(base::File* file, uint64_t offset, std::span<char> out) {
  const auto read = file->ReadAt(offset, out);
  if (!read.ok()) return read.status();
  return *read == out.size() ? absl::OkStatus() : absl::DataLossError("the file is cut off");
}

// The body of an open file, piece by piece.
class BodyReader {
 public:
  BodyReader(base::File* file, const SnapshotHeader& header)
      : file_(file),
        crc_wanted_(header.body_crc),
        offset_(header.header_bytes()),
        left_(header.body_bytes) {}

  absl::StatusOr<std::string_view> Next() {
    buffer_.resize(std::min(left_, kReadBytes));
    if (absl::Status status = ReadWhole(file_, offset_, buffer_); !status.ok()) return status;
    offset_ += buffer_.size();
    left_ -= buffer_.size();
    crc_ = base::ExtendCrc32c(crc_, buffer_);
    if (left_ == 0 && crc_ != crc_wanted_) {
      return absl::DataLossError("the checksum does not match");
    }
    return buffer_;
  }
  bool ended() const { return left_ == 0; }

 private:
  base::File* const file_;
  const uint32_t crc_wanted_;
  uint64_t offset_;
  uint64_t left_;
  uint32_t crc_ = 0;
  std::string buffer_;
};

absl::StatusOr<SnapshotHeader> ReadHeader(base::File* file) {
  std::string bytes(kSnapshotFixedBytes, '\0');
  if (absl::Status status = ReadWhole(file, 0, bytes); !status.ok()) return status;
  const auto size = SnapshotHeaderBytes(bytes);
  if (!size.ok()) return size.status();
  bytes.resize(*size);
  if (absl::Status status = ReadWhole(file, 0, bytes); !status.ok()) return status;
  return DecodeSnapshotHeader(bytes);
}

// The header, when the file has the size and the end that it promises.
absl::StatusOr<SnapshotHeader> ReadFrame(base::File* file) {
  auto header = ReadHeader(file);
  if (!header.ok()) return header.status();
  const auto size = file->Size();
  if (!size.ok()) return size.status();
  const uint64_t around = header->header_bytes() + kSnapshotEnd.size();
  if (*size < around || *size - around != header->body_bytes) {
    return absl::DataLossError(
        StrCat("the file has ", *size, " bytes and a body of ", header->body_bytes));
  }
  std::string end(kSnapshotEnd.size(), '\0');
  absl::Status status = ReadWhole(file, *size - end.size(), end);
  if (!status.ok()) return status;
  if (end != kSnapshotEnd) return absl::DataLossError("the end mark is damaged");
  return header;
}

}  // namespace

SnapshotFiles::SnapshotFiles(base::FileSystem* file_system, std::string directory,
                             uint64_t salt_seed)
    : file_system_(file_system), directory_(std::move(directory)), salt_(salt_seed) {}

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
    if (!name.ends_with(kUnfinished)) continue;
    const auto whole = std::string_view(name).substr(0, name.size() - kUnfinished.size());
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
  const auto header = ReadFrame(file->get());
  if (!header.ok()) return header.status();
  if (header->index != index) {
    return absl::DataLossError(
        StrCat("it holds the state at index ", header->index.value, ", not that of its name"));
  }
  if (log_first > index.Next()) {
    return absl::DataLossError(StrCat("the log begins at entry ", log_first.value,
                                      ", and those between are gone"));
  }
  BodyReader body(file->get(), *header);
  absl::Status status = restore(index, [&body] { return body.Next(); });
  if (!status.ok()) return status;
  CONSUL_CHECK(body.ended());
  return header->Meta();
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
        About(base::JoinPath(directory_, SnapshotName(indexes->back())), loaded.status());
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
    absl::Status written = (*file)->WriteAt(begin + header.body_bytes, bytes);
    if (!written.ok()) return written;
    header.body_bytes += bytes.size();
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
  if (!meta.ok()) {
    file_system_->Remove(unfinished).IgnoreError();  // the first error is the one to tell
    return About(path, meta.status());
  }
  absl::Status status = file_system_->Rename(unfinished, path);
  if (status.ok()) status = file_system_->SyncDirectory(directory_);
  if (status.ok()) status = RemoveOthers(at.index);
  if (!status.ok()) return About(path, absl::InternalError(status.message()));
  return meta;
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
