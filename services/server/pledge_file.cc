#include "services/server/pledge_file.h"

#include <google/protobuf/text_format.h>

#include <memory>
#include <utility>

#include "services/base/strings.h"

namespace consul::server {
namespace {

// Many times what the largest pledge takes.
constexpr uint64_t kBytesMax = 64 << 10;
constexpr int kServersMax = 64;
constexpr size_t kIdBytesMax = 255;

}  // namespace

bool IsFoundation(const PledgeFile::Foundation& foundation) {
  if (foundation.cluster_id().empty() || foundation.cluster_id().size() > kIdBytesMax) return false;
  if (foundation.servers().empty() || foundation.servers_size() > kServersMax) return false;
  std::string_view before;
  for (const std::string& id : foundation.servers()) {
    if (id.size() > kIdBytesMax || id <= before) return false;
    before = id;
  }
  return true;
}

PledgeFile::PledgeFile(base::FileSystem* file_system, std::string directory)
    : file_system_(file_system),
      directory_(std::move(directory)),
      path_(base::JoinPath(directory_, "pledge")) {}

absl::StatusOr<std::optional<PledgeFile::Foundation>> PledgeFile::Load() const {
  const auto names = file_system_->List(directory_);
  if (!names.ok()) return names.status();
  bool there = false;
  for (const std::string& name : *names) there = there || name == "pledge";
  if (!there) return std::optional<Foundation>();
  const auto file = file_system_->Open(path_);
  if (!file.ok()) return file.status();
  const auto size = (*file)->Size();
  if (!size.ok()) return size.status();
  const absl::Status damaged =
      absl::DataLossError(base::StrCat(path_, ": is no pledge of a server"));
  if (*size > kBytesMax) return damaged;
  std::string text(*size, '\0');
  const auto read = (*file)->ReadAt(0, text);
  if (!read.ok()) return read.status();
  Foundation pledge;
  if (*read != text.size() || !google::protobuf::TextFormat::ParseFromString(text, &pledge) ||
      !IsFoundation(pledge)) {
    return damaged;
  }
  return std::optional<Foundation>(std::move(pledge));
}

absl::Status PledgeFile::Store(const std::optional<Foundation>& pledge) {
  if (!pledge.has_value()) {
    absl::Status status = file_system_->Remove(path_);
    return status.ok() ? file_system_->SyncDirectory(directory_) : status;
  }
  std::string text;
  google::protobuf::TextFormat::PrintToString(*pledge, &text);
  const std::string unfinished = base::StrCat(path_, ".new");
  // Of a store that was interrupted, if there is one.
  file_system_->Remove(unfinished).IgnoreError();
  {
    const auto file = file_system_->Create(unfinished);
    if (!file.ok()) return file.status();
    absl::Status status = (*file)->WriteAt(0, text);
    if (status.ok()) status = (*file)->SyncData();
    if (!status.ok()) return status;
  }
  absl::Status status = file_system_->Rename(unfinished, path_);
  return status.ok() ? file_system_->SyncDirectory(directory_) : status;
}

}  // namespace consul::server
