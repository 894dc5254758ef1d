#include "cli/archive_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <utility>

#include "services/base/strings.h"

namespace consul::cli {
namespace {

using base::StrCat;

constexpr size_t kReadBytes = 128 << 10;

// Read only: it may be a file that the user may not write.
struct OpenFile {
  explicit OpenFile(const std::string& path) : fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~OpenFile() {
    if (fd >= 0) ::close(fd);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  const int fd;
  std::string buffer;
};

absl::Status Failed(std::string_view what, const std::string& path) {
  const int error = errno;
  const std::string text = StrCat(what, " ", path, ": ", std::strerror(error));
  return error == ENOENT ? absl::NotFoundError(text) : absl::InternalError(text);
}

}  // namespace

absl::StatusOr<archive::Source> OpenArchive(const std::string& path) {
  auto file = std::make_shared<OpenFile>(path);
  if (file->fd < 0) return Failed("open", path);
  return [file = std::move(file), path]() -> absl::StatusOr<std::string_view> {
    file->buffer.resize(kReadBytes);
    ssize_t size = 0;
    do {
      size = ::read(file->fd, file->buffer.data(), file->buffer.size());
    } while (size < 0 && errno == EINTR);
    if (size < 0) return Failed("read", path);
    return std::string_view(file->buffer).substr(0, static_cast<size_t>(size));
  };
}

}  // namespace consul::cli
