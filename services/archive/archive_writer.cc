#include <archive.h>
#include <archive_entry.h>

#include <memory>

#include "services/archive/archive.h"
#include "services/base/check.h"
#include "services/base/sha256.h"
#include "services/base/strings.h"
#include "services/state/snapshot.h"

namespace consul::archive {
namespace {

using base::StrCat;
using base::ToAbsl;

// Blocks of the output; a message of a stream has one.
constexpr int kBlockBytes = 128 << 10;
constexpr int kFileMode = 0600;

class Writer {
 public:
  explicit Writer(const Sink& sink) : sink_(sink), archive_(archive_write_new()) {
    CONSUL_CHECK(archive_ != nullptr);
    CONSUL_CHECK(archive_write_set_format_pax_restricted(archive_.get()) == ARCHIVE_OK);
    CONSUL_CHECK(archive_write_add_filter_gzip(archive_.get()) == ARCHIVE_OK);
    // Equal states are equal archives, but for their meta.
    CONSUL_CHECK(archive_write_set_filter_option(archive_.get(), "gzip", "timestamp", nullptr) ==
                 ARCHIVE_OK);
    CONSUL_CHECK(archive_write_set_bytes_per_block(archive_.get(), kBlockBytes) == ARCHIVE_OK);
    CONSUL_CHECK(archive_write_set_bytes_in_last_block(archive_.get(), 1) == ARCHIVE_OK);
    archive_write_open2(archive_.get(), this, nullptr, &Writer::Take, nullptr, nullptr);
  }

  absl::Status Begin(const char* name, uint64_t size, uint64_t time_ms) {
    const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(),
                                                                             &archive_entry_free);
    archive_entry_set_pathname(entry.get(), name);
    archive_entry_set_size(entry.get(), static_cast<int64_t>(size));
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), kFileMode);
    archive_entry_set_mtime(entry.get(), static_cast<time_t>(time_ms / 1000), 0);
    return Told(archive_write_header(archive_.get(), entry.get()) == ARCHIVE_OK);
  }
  absl::Status Add(std::string_view bytes) {
    const la_ssize_t written = archive_write_data(archive_.get(), bytes.data(), bytes.size());
    return Told(written == static_cast<la_ssize_t>(bytes.size()));
  }
  absl::Status Finish() { return Told(archive_write_close(archive_.get()) == ARCHIVE_OK); }

 private:
  struct Free {
    // What was not finished is given to nobody.
    void operator()(::archive* archive) const {
      archive_write_fail(archive);
      archive_write_free(archive);
    }
  };

  static la_ssize_t Take(::archive*, void* self, const void* bytes, size_t size) {
    Writer* const writer = static_cast<Writer*>(self);
    writer->status_ = writer->sink_(std::string_view(static_cast<const char*>(bytes), size));
    return writer->status_.ok() ? static_cast<la_ssize_t>(size) : -1;
  }

  absl::Status Told(bool done) const {
    if (done || !status_.ok()) return status_;
    const char* const text = archive_error_string(archive_.get());
    return absl::InternalError(
        StrCat("cannot write the archive: ", text == nullptr ? "unknown error" : text));
  }

  const Sink& sink_;
  absl::Status status_;  // the sink's
  std::unique_ptr<::archive, Free> archive_;
};

absl::Status AddFile(const char* name, std::string_view text, uint64_t time_ms, Writer* writer) {
  absl::Status status = writer->Begin(name, text.size(), time_ms);
  return status.ok() ? writer->Add(text) : status;
}

std::string SumLine(std::string_view sum, std::string_view name) {
  return StrCat(base::Sha256::Hex(sum), "  ", name, "\n");
}

}  // namespace

absl::StatusOr<ArchiveMeta> WriteArchive(const state::Version& version, uint64_t term,
                                         uint64_t time_ms, const Sink& sink) {
  ArchiveMeta meta;
  meta.index = version.index();
  meta.term = term;
  meta.id = StrCat(term, "-", meta.index, "-", time_ms);
  absl::Status status = state::WriteSnapshot(version, [&meta](std::string_view frame) {
    meta.size += frame.size();
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  if (meta.size > kStateBytesMax) {
    return absl::ResourceExhaustedError(ToAbsl(StrCat("the state has ", meta.size,
                                                      " bytes; an archive holds at most ",
                                                      kStateBytesMax)));
  }
  Writer writer(sink);
  const std::string meta_text = MetaText(meta);
  base::Sha256 meta_sum;
  meta_sum.Add(meta_text);
  status = AddFile("meta.json", meta_text, time_ms, &writer);
  if (status.ok()) status = writer.Begin("state.bin", meta.size, time_ms);
  base::Sha256 state_sum;
  if (status.ok()) {
    // Equal versions give equal bytes.
    status = state::WriteSnapshot(version, [&](std::string_view frame) {
      state_sum.Add(frame);
      return writer.Add(frame);
    });
  }
  const std::string sums =
      SumLine(meta_sum.Finish(), "meta.json") + SumLine(state_sum.Finish(), "state.bin");
  if (status.ok()) status = AddFile("SHA256SUMS", sums, time_ms, &writer);
  if (status.ok()) status = writer.Finish();
  if (!status.ok()) return status;
  return meta;
}

}  // namespace consul::archive
