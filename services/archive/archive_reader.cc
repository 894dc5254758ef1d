#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "services/archive/archive.h"
#include "services/archive/gunzip.h"
#include "services/base/check.h"
#include "services/base/sha256.h"
#include "services/base/strings.h"

namespace consul::archive {
namespace {

using base::StrCat;
using base::ToAbsl;
using base::ToStd;

constexpr size_t kReadBytes = 128 << 10;
// Programs that write tar fill its last record with zeros, of 10 kB by default.
constexpr uint64_t kPaddingBytesMax = 1 << 20;

absl::Status Unreadable(std::string_view what) {
  return absl::InvalidArgumentError(ToAbsl(StrCat("failed to read snapshot file: ", what)));
}
// Of what is gunzipped: `status` with words in front, unless it is the source's.
absl::Status Damaged(std::string_view front, const absl::Status& status) {
  if (!absl::IsDataLoss(status)) return status;
  return absl::InvalidArgumentError(ToAbsl(StrCat(front, ToStd(status.message()))));
}

class Reader {
 public:
  explicit Reader(const Source& source) : gunzip_(source), archive_(archive_read_new()) {
    CONSUL_CHECK(archive_ != nullptr);
    CONSUL_CHECK(archive_read_support_format_tar(archive_.get()) == ARCHIVE_OK);
  }

  absl::Status Open() {
    // Said apart, in the reference's words, for what is sent by mistake is no gzip at all.
    if (absl::Status status = gunzip_.Open(); !status.ok()) {
      return Damaged("failed to decompress snapshot: ", status);
    }
    return Told(archive_read_open(archive_.get(), this, nullptr, &Reader::Give, nullptr) ==
                ARCHIVE_OK);
  }

  // The next file has to be `name`, with at most `size_max` bytes.
  absl::Status Next(std::string_view name, uint64_t size_max) {
    archive_entry* entry = nullptr;
    const int result = archive_read_next_header(archive_.get(), &entry);
    if (result == ARCHIVE_EOF && source_status_.ok()) {
      return Unreadable(StrCat("the archive ends before ", name));
    }
    if (absl::Status status = Told(result == ARCHIVE_OK); !status.ok()) return status;
    const char* const path = archive_entry_pathname(entry);
    const std::string_view found = path == nullptr ? "" : path;
    if (found != name || archive_entry_filetype(entry) != AE_IFREG) {
      return Unreadable(StrCat("unexpected file \"", found.substr(0, 64), "\" in snapshot, where ",
                               name, " is to be"));
    }
    const bool sized = archive_entry_size_is_set(entry) != 0 && archive_entry_size(entry) >= 0;
    size_ = sized ? static_cast<uint64_t>(archive_entry_size(entry)) : 0;
    if (!sized || size_ > size_max) {
      return Unreadable(StrCat(name, " has ", size_, " bytes, the limit is ", size_max));
    }
    return absl::OkStatus();
  }

  // The contents of the file that Next has found, to its end.
  absl::Status Read(const Sink& sink) {
    uint64_t left = size_;
    buffer_.resize(kReadBytes);
    while (left > 0) {
      const size_t want = static_cast<size_t>(std::min<uint64_t>(left, buffer_.size()));
      const la_ssize_t size = archive_read_data(archive_.get(), buffer_.data(), want);
      if (size == 0) return Unreadable("failed reading snapshot: unexpected EOF");
      if (absl::Status status = Told(size > 0); !status.ok()) return status;
      left -= static_cast<uint64_t>(size);
      absl::Status status = sink(std::string_view(buffer_.data(), static_cast<size_t>(size)));
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> ReadText() {
    std::string text;
    absl::Status status = Read([&text](std::string_view bytes) {
      text.append(bytes);
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
    return text;
  }

  // There is no further file, and nothing else but zeros: all of it was read, and is sound.
  absl::Status End() {
    front_ = "";
    archive_entry* entry = nullptr;
    const int result = archive_read_next_header(archive_.get(), &entry);
    if (result == ARCHIVE_OK) {
      const char* const path = archive_entry_pathname(entry);
      const std::string_view found = path == nullptr ? "" : path;
      return Unreadable(
          StrCat("unexpected file \"", found.substr(0, 64), "\" in snapshot, behind the last"));
    }
    if (absl::Status status = Told(result == ARCHIVE_EOF); !status.ok()) return status;
    const auto used = static_cast<uint64_t>(archive_filter_bytes(archive_.get(), 0));
    for (;;) {
      const auto more = Gunzipped();
      if (!more.ok()) return Damaged(front_, more.status());
      if (more->empty()) break;
      if (gunzip_.given() > used + kPaddingBytesMax) return Unread(used);
    }
    return nonzero_end_ > used ? Unread(used) : absl::OkStatus();
  }

  uint64_t size() const { return size_; }

 private:
  struct Free {
    void operator()(::archive* archive) const { archive_read_free(archive); }
  };

  absl::Status Unread(uint64_t used) const {
    return absl::InvalidArgumentError(
        ToAbsl(StrCat(gunzip_.given() - used, " unread uncompressed bytes remain")));
  }

  absl::StatusOr<std::string_view> Gunzipped() {
    const uint64_t before = gunzip_.given();
    auto bytes = gunzip_.Next();
    if (!bytes.ok()) return bytes;
    const size_t last = bytes->find_last_not_of('\0');
    if (last != std::string_view::npos) nonzero_end_ = before + last + 1;
    return bytes;
  }

  static la_ssize_t Give(::archive*, void* self, const void** bytes) {
    return static_cast<Reader*>(self)->Give(bytes);
  }
  la_ssize_t Give(const void** bytes) {
    const auto next = Gunzipped();
    source_status_ = next.status();
    if (!next.ok()) return -1;
    *bytes = next->data();
    return static_cast<la_ssize_t>(next->size());
  }

  absl::Status Told(bool done) const {
    if (!source_status_.ok()) return Damaged(front_, source_status_);
    if (done) return absl::OkStatus();
    const char* const text = archive_error_string(archive_.get());
    const std::string_view why = text == nullptr ? "damaged tar archive" : text;
    const bool cut = why.find("runcated") != std::string_view::npos;
    return absl::InvalidArgumentError(ToAbsl(StrCat(front_, cut ? "unexpected EOF" : why)));
  }

  Gunzip gunzip_;
  absl::Status source_status_;  // and what gunzip_ found
  std::string_view front_ = "failed to read snapshot file: failed reading snapshot: ";
  uint64_t nonzero_end_ = 0;    // of what was gunzipped
  uint64_t size_ = 0;
  std::string buffer_;
  std::unique_ptr<::archive, Free> archive_;
};

std::string SumOf(std::string_view text) {
  base::Sha256 sum;
  sum.Add(text);
  return base::Sha256::Hex(sum.Finish());
}

// Whether `text` has a line for each of the two files, and nothing else.
absl::Status CheckSums(std::string_view text, std::string_view meta_sum,
                       std::string_view state_sum) {
  bool meta = false;
  bool state = false;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const size_t gap = line.find("  ");
    const std::string_view sum = line.substr(0, gap);
    const std::string_view name = gap == std::string_view::npos ? "" : line.substr(gap + 2);
    const bool of_meta = name == "meta.json";
    if (!of_meta && name != "state.bin") {
      return Unreadable("failed checking integrity of snapshot: a sum is of no file that is there");
    }
    if (std::exchange(of_meta ? meta : state, true) || sum != (of_meta ? meta_sum : state_sum)) {
      return Unreadable(
          StrCat("failed checking integrity of snapshot: hash check failed for \"", name, "\""));
    }
  }
  if (meta && state) return absl::OkStatus();
  return Unreadable("failed checking integrity of snapshot: a file has no sum");
}

}  // namespace

absl::StatusOr<ArchiveMeta> ReadArchive(const Source& source, const Sink& state) {
  Reader reader(source);
  absl::Status status = reader.Open();
  if (status.ok()) status = reader.Next("meta.json", kMetaBytesMax);
  if (!status.ok()) return status;
  const auto meta_text = reader.ReadText();
  if (!meta_text.ok()) return meta_text.status();
  const auto meta = ParseMeta(*meta_text);
  // What is damaged may look like another program's, so that is said of what is sound alone.
  const bool foreign = absl::IsFailedPrecondition(meta.status());
  if (!meta.ok() && !foreign) return meta;
  status = reader.Next("state.bin", kStateBytesMax);
  if (status.ok() && !foreign && reader.size() != meta->size) {
    status = Unreadable(StrCat("state.bin has ", reader.size(), " bytes, and is to have ",
                               meta->size));
  }
  base::Sha256 state_sum;
  if (status.ok()) {
    status = reader.Read([&](std::string_view bytes) {
      state_sum.Add(bytes);
      return foreign ? absl::OkStatus() : state(bytes);
    });
  }
  if (status.ok()) status = reader.Next("SHA256SUMS", kSumsBytesMax);
  if (!status.ok()) return status;
  const auto sums = reader.ReadText();
  if (!sums.ok()) return sums.status();
  status = CheckSums(*sums, SumOf(*meta_text), base::Sha256::Hex(state_sum.Finish()));
  if (status.ok()) status = reader.End();
  if (!status.ok()) return status;
  return meta;
}

Source SourceOf(std::string_view bytes) {
  return [bytes]() mutable -> absl::StatusOr<std::string_view> {
    const std::string_view next = bytes.substr(0, kReadBytes);
    bytes.remove_prefix(next.size());
    return next;
  };
}

}  // namespace consul::archive
