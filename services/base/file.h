// services/base/file.h
//
// The seam between what must be durable and the disk. Everything that keeps state on disk goes
// through a FileSystem, so that a simulator can run the very code that a server runs on a disk that
// lies (faulty_file_system.h). Positional reads and writes only; no buffering, no mapping.
//
// What a caller may rely on after a crash of the machine: bytes written before the last successful
// SyncData of their file, in files whose names were made or changed before the last successful
// SyncDirectory of their directory. Nothing else, in any order, down to single sectors.
//
// Threads: a FileSystem may be used from any thread. A File may be used by several threads as long
// as they do not write the same bytes.
#ifndef CONSUL_SERVICES_BASE_FILE_H_
#define CONSUL_SERVICES_BASE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace consul::base {

// One open file. Closed by its destructor, which does not sync.
class File {
 public:
  virtual ~File() = default;

  // Fills `out` from `offset` on; returns how many bytes, fewer only where the file ends.
  virtual absl::StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> out) = 0;

  // Writes all of `bytes` or returns an error, after which any part of them may have been written.
  virtual absl::Status WriteAt(uint64_t offset, std::string_view bytes) = 0;

  // Makes every earlier write durable (fdatasync). After an error nobody knows what is on disk and
  // the system may have forgotten the bytes: never retry, call FileSystem::Fatal.
  virtual absl::Status SyncData() = 0;

  virtual absl::StatusOr<uint64_t> Size() = 0;

  // Cuts the file, or extends it with a hole.
  virtual absl::Status Truncate(uint64_t size) = 0;

  // Who may do what with the file, as chmod takes it: 0600 after Create.
  virtual absl::StatusOr<uint32_t> Permissions() = 0;

  virtual const std::string& path() const = 0;
};

// An advisory lock held by one owner; the destructor and the end of the process release it.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

// Errors carry the operation, the path and the system's text. Codes: NOT_FOUND, ALREADY_EXISTS,
// PERMISSION_DENIED, RESOURCE_EXHAUSTED (no space, quota, too many files), INTERNAL for the rest.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  // The machine's own file system.
  static FileSystem* Posix();

  // Opens an existing file for reading and writing.
  virtual absl::StatusOr<std::unique_ptr<File>> Open(std::string_view path) = 0;

  // Makes a file, mode 0600; ALREADY_EXISTS where there is one.
  virtual absl::StatusOr<std::unique_ptr<File>> Create(std::string_view path) = 0;

  // Replaces `to` where it exists. Durable after SyncDirectory of the directory.
  virtual absl::Status Rename(std::string_view from, std::string_view to) = 0;

  virtual absl::Status Remove(std::string_view path) = 0;

  // Makes creates, renames and removes in the directory durable. As fatal on error as SyncData.
  virtual absl::Status SyncDirectory(std::string_view path) = 0;

  // Makes the directory and the missing ones above it, mode 0755, each synced in its parent. No
  // error where it exists.
  virtual absl::Status CreateDirectories(std::string_view path) = 0;

  // The names in a directory, sorted, without "." and "..".
  virtual absl::StatusOr<std::vector<std::string>> List(std::string_view path) = 0;

  // How much more this process may write to the disk that holds the directory, as of now: others
  // write to it too.
  virtual absl::StatusOr<uint64_t> FreeBytes(std::string_view path) = 0;

  // Takes the lock file `path`, made where it is missing. FAILED_PRECONDITION when another process
  // (or another owner in this one) holds it; the text names the path and the holder's process id.
  virtual absl::StatusOr<std::unique_ptr<FileLock>> Lock(std::string_view path) = 0;

  // The disk can no longer be trusted: the process ends here, with `why` on standard error. A
  // test's file system records the call and returns; therefore callers return `why` right after.
  virtual void Fatal(const absl::Status& why) = 0;
};

// "DIR/NAME".
std::string JoinPath(std::string_view directory, std::string_view name);

}  // namespace consul::base

#endif  // CONSUL_SERVICES_BASE_FILE_H_
