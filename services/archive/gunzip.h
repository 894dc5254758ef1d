// services/archive/gunzip.h
//
// The contents of a gzip'd stream of bytes (RFC 1952), with all that the stream says of them held
// against them: the sum, the length, and that nothing stands behind. libarchive's own filter does
// not look at these, and takes a damaged file for a sound one.
//
// Threads: one owns it.
#ifndef CONSUL_SERVICES_ARCHIVE_GUNZIP_H_
#define CONSUL_SERVICES_ARCHIVE_GUNZIP_H_

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/archive/archive.h"

namespace consul::archive {

class Gunzip {
 public:
  // `source` outlives this.
  explicit Gunzip(const Source& source);
  ~Gunzip();
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;

  // Looks at the beginning alone. Errors: DATA_LOSS, with the reference's text, for what is no
  // gzip; the source's own. Called once, first.
  absl::Status Open();
  // The next bytes, valid until the next call; empty at the end, which is told only when all of
  // the source was read and found sound. Errors, each of them the last: DATA_LOSS for damage; the
  // source's own.
  absl::StatusOr<std::string_view> Next();

  // Of all that Next has given.
  uint64_t given() const { return given_; }

 private:
  // Brings more of the source, once what there is was used. False at its end.
  absl::StatusOr<bool> Fetch();
  absl::Status Inflate();
  absl::Status End();

  const Source& source_;
  std::string front_;  // the header, or a little more
  z_stream stream_{};
  std::string buffer_;
  absl::Status failure_;
  bool ended_ = false;
  uint64_t given_ = 0;
};

}  // namespace consul::archive

#endif  // CONSUL_SERVICES_ARCHIVE_GUNZIP_H_
