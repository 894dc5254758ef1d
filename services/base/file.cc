#include "services/base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "services/base/strings.h"

namespace consul::base {
namespace {

absl::StatusCode CodeFromErrno(int error) {
  switch (error) {
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
      return absl::StatusCode::kResourceExhausted;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::Status ErrnoStatus(std::string_view operation, std::string_view path, int error) {
  return absl::Status(CodeFromErrno(error),
                      StrCat(operation, " ", path, ": ", std::string_view(std::strerror(error))));
}

class PosixFile final : public File {
 public:
  PosixFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  ~PosixFile() override { ::close(fd_); }

  absl::StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> out) override {
    size_t done = 0;
    while (done < out.size()) {
      const ssize_t n = ::pread(fd_, out.data() + done, out.size() - done,
                                static_cast<off_t>(offset + done));
      if (n == 0) break;
      if (n < 0) {
        if (errno == EINTR) continue;
        return ErrnoStatus("read", path_, errno);
      }
      done += static_cast<size_t>(n);
    }
    return done;
  }

  absl::Status WriteAt(uint64_t offset, std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0) {
        if (errno == EINTR) continue;
        return ErrnoStatus("write", path_, errno);
      }
      bytes.remove_prefix(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    }
    return absl::OkStatus();
  }

  absl::Status SyncData() override {
    // EINTR is an error like any other here: whether the data arrived is not known.
    if (::fdatasync(fd_) != 0) return ErrnoStatus("fdatasync", path_, errno);
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> Size() override {
    struct stat info;
    if (::fstat(fd_, &info) != 0) return ErrnoStatus("stat", path_, errno);
    return static_cast<uint64_t>(info.st_size);
  }

  absl::Status Truncate(uint64_t size) override {
    if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) {
      return ErrnoStatus("truncate", path_, errno);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<uint32_t> Permissions() override {
    struct stat info;
    if (::fstat(fd_, &info) != 0) return ErrnoStatus("stat", path_, errno);
    return static_cast<uint32_t>(info.st_mode & 07777);
  }

  const std::string& path() const override { return path_; }

 private:
  const std::string path_;
  const int fd_;
};

class PosixLock final : public FileLock {
 public:
  explicit PosixLock(int fd) : fd_(fd) {}
  ~PosixLock() override { ::close(fd_); }

 private:
  const int fd_;
};

class PosixFileSystem final : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(std::string_view path) override {
    return OpenWith(path, O_RDWR, "open");
  }

  absl::StatusOr<std::unique_ptr<File>> Create(std::string_view path) override {
    return OpenWith(path, O_RDWR | O_CREAT | O_EXCL, "create");
  }

  absl::Status Rename(std::string_view from, std::string_view to) override {
    if (::rename(std::string(from).c_str(), std::string(to).c_str()) != 0) {
      return ErrnoStatus("rename", StrCat(from, " to ", to), errno);
    }
    return absl::OkStatus();
  }

  absl::Status Remove(std::string_view path) override {
    if (::unlink(std::string(path).c_str()) != 0) return ErrnoStatus("remove", path, errno);
    return absl::OkStatus();
  }

  absl::Status SyncDirectory(std::string_view path) override {
    const int fd = ::open(std::string(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return ErrnoStatus("open directory", path, errno);
    absl::Status status;
    if (::fsync(fd) != 0) status = ErrnoStatus("fsync directory", path, errno);
    ::close(fd);
    return status;
  }

  absl::Status CreateDirectories(std::string_view path) override {
    const std::string whole(path);
    size_t end = 0;
    while (end < whole.size()) {
      const size_t begin = end;
      end = std::min(whole.find('/', begin + 1), whole.size());
      const std::string part = whole.substr(0, end);
      if (::mkdir(part.c_str(), 0755) == 0) {
        const size_t slash = part.find_last_of('/');
        const std::string parent =
            slash == std::string::npos ? "." : part.substr(0, std::max<size_t>(slash, 1));
        if (absl::Status status = SyncDirectory(parent); !status.ok()) return status;
      } else {
        const int error = errno;
        struct stat info;
        if (::stat(part.c_str(), &info) != 0) return ErrnoStatus("make directory", part, error);
        if (!S_ISDIR(info.st_mode)) return ErrnoStatus("make directory", part, ENOTDIR);
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> List(std::string_view path) override {
    DIR* directory = ::opendir(std::string(path).c_str());
    if (directory == nullptr) return ErrnoStatus("list", path, errno);
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(directory)) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    ::closedir(directory);
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::StatusOr<uint64_t> FreeBytes(std::string_view path) override {
    struct statvfs info;
    if (::statvfs(std::string(path).c_str(), &info) != 0) {
      return ErrnoStatus("statvfs", path, errno);
    }
    // A file system without a size of its own.
    if (info.f_blocks == 0) return uint64_t{1} << 50;
    return uint64_t{info.f_bavail} * info.f_frsize;
  }

  absl::StatusOr<std::unique_ptr<FileLock>> Lock(std::string_view path) override {
    const int fd = ::open(std::string(path).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return ErrnoStatus("lock", path, errno);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      absl::Status status = ErrnoStatus("lock", path, error);
      if (error == EWOULDBLOCK) status = HeldStatus(path, fd);
      ::close(fd);
      return status;
    }
    // The holder's id is for the message above alone; the lock itself is the kernel's.
    const std::string text = StrCat(static_cast<int64_t>(::getpid()), "\n");
    if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, text.data(), text.size(), 0) < 0) {
      const absl::Status status = ErrnoStatus("lock", path, errno);
      ::close(fd);
      return status;
    }
    return std::make_unique<PosixLock>(fd);
  }

  void Fatal(const absl::Status& why) override {
    std::fprintf(stderr, "fatal: %s: the disk can no longer be trusted, ending here\n",
                 why.ToString().c_str());
    std::fflush(stderr);
    ::_exit(1);
  }

 private:
  static absl::Status HeldStatus(std::string_view path, int fd) {
    char text[32] = {};
    const ssize_t n = ::pread(fd, text, sizeof(text) - 1, 0);
    std::string holder(text, n > 0 ? static_cast<size_t>(n) : 0);
    while (!holder.empty() && holder.back() == '\n') holder.pop_back();
    return absl::FailedPreconditionError(
        StrCat("lock ", path, ": held by another agent",
               holder.empty() ? std::string() : StrCat(" (process ", holder, ")")));
  }

  static absl::StatusOr<std::unique_ptr<File>> OpenWith(std::string_view path, int flags,
                                                        std::string_view operation) {
    std::string name(path);
    const int fd = ::open(name.c_str(), flags | O_CLOEXEC, 0600);
    if (fd < 0) return ErrnoStatus(operation, path, errno);
    return std::make_unique<PosixFile>(std::move(name), fd);
  }
};

}  // namespace

FileSystem* FileSystem::Posix() {
  static PosixFileSystem* const file_system = new PosixFileSystem;
  return file_system;
}

std::string JoinPath(std::string_view directory, std::string_view name) {
  return StrCat(directory, "/", name);
}

}  // namespace consul::base
