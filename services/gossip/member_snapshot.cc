#include "services/gossip/member_snapshot.h"

#include <algorithm>
#include <utility>

#include "services/base/strings.h"

namespace consul::gossip {

MemberSnapshot::MemberSnapshot(MemberSnapshotOptions options)
    : options_(std::move(options)), path_(base::JoinPath(options_.directory, options_.name)) {
  previous_ = ParseMemberSnapshot(ReadFile(), options_.rejoin_after_leave);
  if (!previous_.damage.empty()) {
    Warn(base::StrCat(previous_.damage, "; the rest of it is ignored"));
  }
  told_ = previous_.members;
  clocks_ = previous_.clocks;
  Compact();
}

// What cannot be read is as good as empty.
std::string MemberSnapshot::ReadFile() {
  auto file = options_.files->Open(path_);
  if (absl::IsNotFound(file.status())) return "";
  const absl::StatusOr<uint64_t> size = file.ok() ? (*file)->Size() : file.status();
  if (!size.ok()) {
    Warn(base::ToStd(size.status().message()));
    return "";
  }
  if (*size > kFileBytesMax) {
    Warn(base::StrCat("it is ignored: ", *size, " bytes, ", kFileBytesMax, " at most"));
    return "";
  }
  std::string contents(*size, '\0');
  const absl::StatusOr<size_t> read = (*file)->ReadAt(0, contents);
  if (!read.ok()) Warn(base::ToStd(read.status().message()));
  contents.resize(read.value_or(0));
  return contents;
}

SnapshotContents MemberSnapshot::TakePrevious() { return std::exchange(previous_, {}); }

template <typename AppendRecord>
void MemberSnapshot::Record(AppendRecord append) {
  if (file_ == nullptr) return;  // the next whole file will have it, if there is one
  append(&pending_);
  if (pending_.size() > kPendingBytesMax) Flush();
}

void MemberSnapshot::Alive(std::string_view name, const Endpoint& address) {
  if (state_ == State::kLeft) return;
  const auto known = met_.find(name);
  if (known != met_.end()) {
    if (known->second == address) return;
    known->second = address;
  } else {
    if (const auto told = told_.find(name); told != told_.end()) told_.erase(told);
    if (met_.size() + told_.size() >= kSnapshotMembersMax) {
      if (told_.empty()) return;
      told_.erase(told_.begin());
    }
    met_.emplace(name, address);
  }
  Record([&](std::string* out) { AppendAliveRecord(name, address, out); });
}

void MemberSnapshot::NotAlive(std::string_view name) {
  if (state_ == State::kLeft) return;
  bool known = false;
  for (SnapshotMembers* members : {&met_, &told_}) {
    if (const auto found = members->find(name); found != members->end()) {
      members->erase(found);
      known = true;
    }
  }
  if (known) Record([&](std::string* out) { AppendNotAliveRecord(name, out); });
}

void MemberSnapshot::SetClocks(const SnapshotClocks& clocks) {
  const SnapshotClocks later{std::max(clocks.member_time, clocks_.member_time),
                             std::max(clocks.event_time, clocks_.event_time),
                             std::max(clocks.query_time, clocks_.query_time)};
  if (later == clocks_) return;
  clocks_ = later;
  Record([&](std::string* out) { AppendClocksRecord(clocks_, out); });
}

absl::Status MemberSnapshot::WriteLeave() {
  if (state_ == State::kFailing) Compact();
  if (state_ == State::kFailing) return absl::UnavailableError("it cannot be written");
  AppendLeaveRecord(&pending_);
  if (absl::Status status = WritePending(); !status.ok()) return status;
  return file_->SyncData();
}

void MemberSnapshot::Leave() {
  if (state_ == State::kLeft) return;
  const absl::Status recorded = WriteLeave();
  state_ = State::kLeft;
  if (recorded.ok()) return;
  file_.reset();
  if (options_.rejoin_after_leave) return;
  // Without the record the next start would rejoin a pool that was left: better no file at all.
  const absl::Status removed = options_.files->Remove(path_);
  const bool gone = removed.ok() || absl::IsNotFound(removed);
  Warn(base::StrCat("the leave is not recorded, so ",
                    gone ? "the file is removed: " : "the next start will rejoin: ",
                    base::ToStd(recorded.message())));
}

void MemberSnapshot::Flush() {
  switch (state_) {
    case State::kLeft:
      if (file_ != nullptr && !pending_.empty() && !WritePending().ok()) file_.reset();
      return;
    case State::kFailing:
      if (--flushes_until_retry_ > 0) return;
      Compact();
      if (state_ == State::kRecording) Warn("members are recorded again");
      return;
    case State::kRecording: break;
  }
  if (pending_.empty()) return;
  if (absl::Status status = WritePending(); !status.ok()) return Fail(status);
  if (size_ > compact_at_) Compact();
}

absl::Status MemberSnapshot::WritePending() {
  if (absl::Status status = file_->WriteAt(size_, pending_); !status.ok()) return status;
  size_ += pending_.size();
  pending_.clear();
  return absl::OkStatus();
}

std::string MemberSnapshot::Contents() const {
  std::string contents = SnapshotHeader();
  for (const auto& [name, address] : told_) AppendAliveRecord(name, address, &contents);
  AppendStartRecord(&contents);
  for (const auto& [name, address] : met_) AppendAliveRecord(name, address, &contents);
  AppendClocksRecord(clocks_, &contents);
  return contents;
}

absl::Status MemberSnapshot::WriteNew() {
  base::FileSystem* const files = options_.files;
  absl::Status status = files->CreateDirectories(options_.directory);
  if (!status.ok()) return status;
  const std::string path_new = base::StrCat(path_, ".new");
  status = files->Remove(path_new);  // what a crash left
  if (!status.ok() && !absl::IsNotFound(status)) return status;
  auto file = files->Create(path_new);
  if (!file.ok()) return file.status();
  const std::string contents = Contents();
  status = (*file)->WriteAt(0, contents);
  // A failed sync ends nothing here: this file is given up, and the next one is another.
  if (status.ok()) status = (*file)->SyncData();
  if (status.ok()) status = files->Rename(path_new, path_);
  if (!status.ok()) {
    (void)files->Remove(path_new);
    return status;
  }
  status = files->SyncDirectory(options_.directory);
  if (!status.ok()) return status;
  file_ = *std::move(file);
  size_ = contents.size();
  compact_at_ = std::max<uint64_t>(options_.compact_bytes_min, 2 * size_);
  return absl::OkStatus();
}

// All that is known is written, so that nothing is pending afterwards.
void MemberSnapshot::Compact() {
  if (absl::Status status = WriteNew(); !status.ok()) return Fail(status);
  state_ = State::kRecording;
  pending_.clear();
}

void MemberSnapshot::Fail(const absl::Status& status) {
  // An error that lasts is told once.
  if (state_ != State::kFailing) {
    Warn(base::StrCat("members are not recorded: ", base::ToStd(status.message())));
  }
  state_ = State::kFailing;
  flushes_until_retry_ = kRetryFlushes;
  file_.reset();
  pending_.clear();
}

void MemberSnapshot::Warn(std::string_view what) {
  warnings_.push_back(base::StrCat("member snapshot ", path_, ": ", what));
}

std::vector<std::string> MemberSnapshot::TakeWarnings() { return std::exchange(warnings_, {}); }

}  // namespace consul::gossip
