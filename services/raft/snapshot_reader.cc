#include "services/raft/snapshot_reader.h"

#include <algorithm>
#include <span>
#include <utility>

#include "services/base/crc32c.h"
#include "services/base/strings.h"

namespace consul::raft {
namespace {

using base::StrCat;

constexpr uint64_t kReadBytes = 256 << 10;

// Fills `out` from `offset` on; DATA_LOSS where the file ends before.
absl::Status ReadWhole(base::File* file, uint64_t offset, std::span<char> out) {
  const auto read = file->ReadAt(offset, out);
  if (!read.ok()) return read.status();
  return *read == out.size() ? absl::OkStatus() : absl::DataLossError("the file is cut off");
}

absl::StatusOr<SnapshotHeader> ReadHeader(base::File* file) {
  std::string bytes(kSnapshotFixedBytes, '\0');
  if (absl::Status status = ReadWhole(file, 0, bytes); !status.ok()) return status;
  const auto size = SnapshotHeaderBytes(bytes);
  if (!size.ok()) return size.status();
  bytes.resize(*size);
  if (absl::Status status = ReadWhole(file, 0, bytes); !status.ok()) return status;
  return DecodeSnapshotHeader(bytes);
}

}  // namespace

absl::Status AboutSnapshot(std::string_view path, const absl::Status& status) {
  return absl::Status(status.code(),
                      StrCat("snapshot ", path, ": ", base::ToStd(status.message())));
}

absl::StatusOr<std::unique_ptr<SnapshotReader>> SnapshotReader::Open(
    std::unique_ptr<base::File> file) {
  auto header = ReadHeader(file.get());
  if (!header.ok()) return header.status();
  const auto size = file->Size();
  if (!size.ok()) return size.status();
  const uint64_t around = header->header_bytes() + kSnapshotEnd.size();
  if (*size < around || *size - around != header->body_bytes) {
    return absl::DataLossError(
        StrCat("the file has ", *size, " bytes and a body of ", header->body_bytes));
  }
  std::string end(kSnapshotEnd.size(), '\0');
  absl::Status status = ReadWhole(file.get(), *size - end.size(), end);
  if (!status.ok()) return status;
  if (end != kSnapshotEnd) return absl::DataLossError("the end mark is damaged");
  return std::unique_ptr<SnapshotReader>(
      new SnapshotReader(std::move(file), *std::move(header)));
}

SnapshotReader::SnapshotReader(std::unique_ptr<base::File> file, SnapshotHeader header)
    : file_(std::move(file)),
      header_(std::move(header)),
      offset_(header_.header_bytes()),
      left_(header_.body_bytes) {}

absl::StatusOr<std::string_view> SnapshotReader::Next() {
  buffer_.resize(std::min(left_, kReadBytes));
  if (absl::Status status = ReadWhole(file_.get(), offset_, buffer_); !status.ok()) return status;
  offset_ += buffer_.size();
  left_ -= buffer_.size();
  crc_ = base::ExtendCrc32c(crc_, buffer_);
  if (left_ == 0 && crc_ != header_.body_crc) {
    return absl::DataLossError("the checksum does not match");
  }
  return buffer_;
}

absl::StatusOr<std::string> SnapshotReader::ReadAt(uint64_t offset, uint64_t bytes_max) {
  const uint64_t size = header_.Meta().size_bytes;
  std::string bytes(std::min(bytes_max, size - std::min(offset, size)), '\0');
  if (absl::Status status = ReadWhole(file_.get(), offset, bytes); !status.ok()) return status;
  return bytes;
}

}  // namespace consul::raft
