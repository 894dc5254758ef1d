#include "services/agent/config/node_id.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstring>

#include "absl/status/status.h"
#include "services/base/strings.h"
#include "services/base/uuid.h"

namespace consul::agent::config {
namespace {

// Of the node-id file: a UUID and white space that an editor left.
constexpr size_t kFileBytesMax = 256;

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

absl::Status FileError(std::string_view what, const std::string& path) {
  return absl::ErrnoToStatus(errno, base::StrCat("node id: ", what, " ", path));
}

// Closes on the way out; the error of a close that matters is asked for by Close.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  const int fd_;
};

absl::Status SyncDirectory(const std::string& path) {
  const FileDescriptor directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return FileError("open", path);
  if (fsync(directory.get()) != 0) return FileError("sync", path);
  return absl::OkStatus();
}

// The whole file appears at once or not at all.
absl::Status WriteDurably(const std::string& directory, const std::string& path,
                          const std::string& text) {
  const std::string temporary = path + ".tmp";
  {
    const FileDescriptor file(
        open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file.valid()) return FileError("create", temporary);
    if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
      return FileError("write", temporary);
    }
    if (fsync(file.get()) != 0) return FileError("sync", temporary);
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) return FileError("rename to", path);
  return SyncDirectory(directory);
}

// The id in the file; "" when there is no file or it is empty.
absl::StatusOr<std::string> ReadId(const std::string& path) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    if (errno == ENOENT) return std::string();
    return FileError("open", path);
  }
  char buffer[kFileBytesMax + 1];
  const ssize_t size = read(file.get(), buffer, sizeof buffer);
  if (size < 0) return FileError("read", path);
  absl::StatusOr<std::string> id = absl::InvalidArgumentError("too long");
  if (static_cast<size_t>(size) <= kFileBytesMax) {
    id = ParseNodeId({buffer, static_cast<size_t>(size)});
  }
  if (id.ok()) return id;
  return absl::InvalidArgumentError(base::StrCat("node id: ", path, " does not hold a UUID"));
}

}  // namespace

absl::StatusOr<std::string> ParseNodeId(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) {
    text.remove_suffix(1);
  }
  if (!text.empty() && !base::IsUuid(text)) return absl::InvalidArgumentError("not a UUID");
  return Lower(std::string(text));
}

absl::StatusOr<std::string> ResolveNodeId(const std::string& configured,
                                          const std::string& data_dir) {
  const std::string path = data_dir + "/node-id";
  std::string wanted = Lower(configured);
  if (!wanted.empty() && !base::IsUuid(wanted)) {
    return absl::InvalidArgumentError(base::StrCat("node_id \"", configured, "\" is not a UUID"));
  }
  absl::StatusOr<std::string> stored = ReadId(path);
  if (wanted.empty()) {
    if (!stored.ok()) return stored.status();
    wanted = stored->empty() ? base::MakeUuid() : *stored;
  }
  if (stored.ok() && *stored == wanted) return wanted;
  if (absl::Status status = WriteDurably(data_dir, path, wanted + "\n"); !status.ok()) {
    return status;
  }
  return wanted;
}

}  // namespace consul::agent::config
