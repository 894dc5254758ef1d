#include "services/raft/log_segment.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "services/base/strings.h"

namespace consul::raft {
namespace {

constexpr std::string_view kSuffix = ".log";
constexpr size_t kNumberDigits = 16;
// Zeros are synced in pieces, so that the log's own syncs never wait behind a whole segment.
constexpr uint64_t kZeroedAtOnceBytes = 1 << 20;

absl::Status WriteZeros(base::File* file, uint64_t size_bytes,
                        const std::atomic<bool>* cancelled) {
  static constexpr std::array<char, 64 << 10> kZeros{};
  uint64_t unsynced = 0;
  for (uint64_t offset = kSegmentHeaderBytes; offset < size_bytes;) {
    const uint64_t size = std::min<uint64_t>(kZeros.size(), size_bytes - offset);
    absl::Status status = file->WriteAt(offset, {kZeros.data(), size});
    if (!status.ok()) return status;
    offset += size;
    unsynced += size;
    if (cancelled != nullptr && cancelled->load()) return absl::CancelledError("not needed");
    if (unsynced >= kZeroedAtOnceBytes) {
      if (status = file->SyncData(); !status.ok()) return status;
      unsynced = 0;
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string SegmentName(uint64_t number) {
  char text[32];
  std::snprintf(text, sizeof(text), "%016llu", static_cast<unsigned long long>(number));
  return base::StrCat(std::string_view(text), kSuffix);
}

std::optional<uint64_t> SegmentNumber(std::string_view name) {
  if (name.size() != kNumberDigits + kSuffix.size() || !name.ends_with(kSuffix)) {
    return std::nullopt;
  }
  uint64_t number = 0;
  for (const char c : name.substr(0, kNumberDigits)) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  return number;
}

absl::StatusOr<std::unique_ptr<Segment>> Segment::Create(base::FileSystem* file_system,
                                                         std::string_view directory,
                                                         const SegmentHeader& header,
                                                         const std::atomic<bool>* cancelled) {
  const std::string path = base::JoinPath(directory, SegmentName(header.number));
  const std::string unfinished = base::StrCat(path, ".new");
  {
    auto file = file_system->Create(unfinished);
    if (!file.ok()) return file.status();
    absl::Status status = (*file)->WriteAt(0, EncodeSegmentHeader(header));
    if (status.ok()) status = WriteZeros(file->get(), header.size_bytes, cancelled);
    if (status.ok()) status = (*file)->SyncData();
    if (!status.ok()) {
      file->reset();
      file_system->Remove(unfinished).IgnoreError();  // the first error is the one to tell
      if (status.code() != absl::StatusCode::kResourceExhausted &&
          status.code() != absl::StatusCode::kCancelled) {
        file_system->Fatal(status);
      }
      return absl::Status(status.code(), base::StrCat("make log segment ", path, " of ",
                                                      header.size_bytes, " bytes: ",
                                                      base::ToStd(status.message())));
    }
  }
  absl::Status status = file_system->Rename(unfinished, path);
  if (status.ok()) status = file_system->SyncDirectory(directory);
  if (!status.ok()) {
    file_system->Fatal(status);
    return status;
  }
  return Open(file_system, directory, header.number);
}

absl::StatusOr<std::unique_ptr<Segment>> Segment::Open(base::FileSystem* file_system,
                                                       std::string_view directory,
                                                       uint64_t number) {
  std::string path = base::JoinPath(directory, SegmentName(number));
  auto file = file_system->Open(path);
  if (!file.ok()) return file.status();
  std::string page(kSegmentHeaderBytes, '\0');
  const auto read = (*file)->ReadAt(0, page);
  if (!read.ok()) return read.status();
  page.resize(*read);
  const auto header = DecodeSegmentHeader(page);
  if (!header.has_value()) {
    return absl::DataLossError(base::StrCat("log ", path, " offset 0: the header is damaged"));
  }
  const auto size = (*file)->Size();
  if (!size.ok()) return size.status();
  if (header->number != number || header->size_bytes != *size) {
    return absl::DataLossError(base::StrCat(
        "log ", path, " offset 0: the header is of segment ", header->number, " with ",
        header->size_bytes, " bytes, the file has ", *size, " bytes"));
  }
  return std::unique_ptr<Segment>(new Segment(std::move(*file), *header, std::move(path)));
}

SegmentReader::SegmentReader(const Segment* segment, uint64_t offset, uint64_t buffer_bytes)
    : segment_(segment), buffer_bytes_(buffer_bytes), offset_(offset) {}

absl::StatusOr<std::string_view> SegmentReader::Peek(uint64_t bytes) {
  const uint64_t left = segment_->header().size_bytes - offset_;
  bytes = std::min(bytes, left);
  if (offset_ < buffer_offset_ || offset_ + bytes > buffer_offset_ + buffer_used_) {
    buffer_.resize(std::max(bytes, std::min(buffer_bytes_, left)));
    buffer_offset_ = offset_;
    buffer_used_ = 0;
    const auto read = segment_->file()->ReadAt(offset_, buffer_);
    if (!read.ok()) return read.status();
    buffer_used_ = *read;
  }
  return std::string_view(buffer_).substr(
      offset_ - buffer_offset_, std::min(bytes, buffer_offset_ + buffer_used_ - offset_));
}

SegmentReader::Found SegmentReader::Bad(std::string problem, uint64_t offset) {
  problem_ = std::move(problem);
  problem_offset_ = offset;
  return Found::kBad;
}

absl::StatusOr<SegmentReader::Found> SegmentReader::Next() {
  records_.clear();
  group_offset_ = offset_;
  const uint64_t left = segment_->header().size_bytes - offset_;
  auto bytes = Peek(kGroupHeaderBytes);
  if (!bytes.ok()) return bytes.status();
  if (CountZeros(*bytes) == bytes->size()) return Found::kEnd;
  const auto header = DecodeGroupHeader(*bytes, segment_->header().salt);
  if (!header.has_value()) return Bad("the group's header is damaged", offset_);
  group_ = *header;
  if (header->body_bytes == 0) return Found::kMark;
  const uint64_t size = kGroupHeaderBytes + header->body_bytes;
  if (size > left) return Bad("the group is longer than its segment", offset_);
  bytes = Peek(size);
  if (!bytes.ok()) return bytes.status();
  uint64_t bad_offset = 0;
  std::string problem = ParseGroupBody(*header, bytes->substr(kGroupHeaderBytes),
                                       segment_->header().salt, &records_, &bad_offset);
  if (!problem.empty()) return Bad(std::move(problem), offset_ + kGroupHeaderBytes + bad_offset);
  offset_ += size;
  return Found::kGroup;
}

}  // namespace consul::raft
