// services/base/faulty_file_system.h
//
// A file system in memory that does what real disks do at the worst moment: it loses writes that
// were not synced, keeps some sectors of them and not others, stops in the middle of an operation,
// flips bits, fails a sync, runs full. What it does is a function of its seed and of the calls
// made, so that a failure found once is found again.
//
// It keeps two states of everything: what the process sees, and what the disk holds. SyncData and
// SyncDirectory carry the first over to the second; Restart throws away the difference, or a part
// of it drawn by chance.
//
// Threads: any; one lock. Tests only.
#ifndef CONSUL_SERVICES_BASE_FAULTY_FILE_SYSTEM_H_
#define CONSUL_SERVICES_BASE_FAULTY_FILE_SYSTEM_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "services/base/file.h"
#include "services/base/mutex.h"

namespace consul::base {

// What becomes of writes and name changes that were not synced when the machine stopped.
enum class Unsynced {
  kKept,  // all there, and still not synced: the process was killed, the machine was not
  kLost,  // none there
  kTorn,  // each sector of each write by chance, in any order; name changes up to a chance point
};

class FaultyFileSystem final : public FileSystem {
 public:
  explicit FaultyFileSystem(uint64_t seed) : random_(seed) {}

  // --- Faults. ---

  // The machine stops at the `n`-th changing operation from now, 0 for the next: a write has put
  // down a chance part of its bytes, anything else has done nothing; that call and every later one
  // returns an error until Restart.
  void CrashAtOperation(uint64_t n);
  // The same by bytes written: the write that would exceed `bytes` puts down exactly so many.
  void CrashAfterBytes(uint64_t bytes);
  // Stops at once.
  void Crash();
  // The machine comes up again. Files opened before are dead, locks are free, faults are cleared.
  void Restart(Unsynced unsynced);

  // The `n`-th SyncData from now fails, and what it should have made durable is lost for good.
  void FailSync(uint64_t n);
  // Writes that would make all files together larger than this fail with RESOURCE_EXHAUSTED, half
  // done; nullopt for no limit.
  void SetCapacity(std::optional<uint64_t> bytes);
  // Turns one bit of what the process sees and of what the disk holds. REQUIRES: the byte exists.
  void FlipBit(std::string_view path, uint64_t offset, int bit);
  // What File::Permissions says of the file from now on. REQUIRES: the file exists.
  void SetPermissions(std::string_view path, uint32_t permissions);
  // Called at the begin of each SyncData, without the lock: a slow disk is one whose hook waits.
  void SetSyncHook(std::function<void()> hook);

  // --- What a test may look at. ---

  uint64_t operations() const;     // changing operations so far
  uint64_t bytes_written() const;  // since the start
  uint64_t syncs() const;          // SyncData calls that succeeded
  uint64_t size_total() const;     // bytes of all files
  bool crashed() const;
  std::optional<absl::Status> fatal() const;  // the first Fatal call since the last Restart
  std::string Contents(std::string_view path) const;  // empty where there is no such file
  // A copy of the state of the disk and of the process's view, with the same seed state.
  std::unique_ptr<FaultyFileSystem> Clone() const;

  // --- FileSystem. ---

  absl::StatusOr<std::unique_ptr<File>> Open(std::string_view path) override;
  absl::StatusOr<std::unique_ptr<File>> Create(std::string_view path) override;
  absl::Status Rename(std::string_view from, std::string_view to) override;
  absl::Status Remove(std::string_view path) override;
  absl::Status SyncDirectory(std::string_view path) override;
  absl::Status CreateDirectories(std::string_view path) override;
  absl::StatusOr<std::vector<std::string>> List(std::string_view path) override;
  absl::StatusOr<uint64_t> FreeBytes(std::string_view path) override;
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(std::string_view path) override;
  void Fatal(const absl::Status& why) override;

 private:
  class FaultyFile;
  class FaultyLock;

  // One change that the disk does not hold yet.
  struct Change {
    bool truncates = false;  // then `offset` is the new size
    uint64_t offset = 0;
    std::string bytes;
  };
  struct Inode {
    std::string seen;
    std::string durable;
    std::vector<Change> unsynced;
    uint32_t permissions = 0600;
  };
  using Names = std::map<std::string, std::shared_ptr<Inode>, std::less<>>;
  // A name that came (inode) or went (null). A rename is one change of two names.
  struct NameChange {
    std::string directory;
    std::vector<std::pair<std::string, std::shared_ptr<Inode>>> names;
  };

  static void Apply(const Change& change, std::string* contents);
  static void ApplyName(const NameChange& change, Names* names);
  absl::Status CrashedStatus() const;
  // Counts a changing operation. An error when the machine is or now goes down.
  absl::Status BeginOperation() REQUIRES_LOCK(mutex_);
  absl::Status Write(Inode* inode, uint64_t offset, std::string_view bytes, std::string_view path)
      REQUIRES_LOCK(mutex_);
  uint64_t SizeTotal() const REQUIRES_LOCK(mutex_);
  void KeepSome(Unsynced unsynced) REQUIRES_LOCK(mutex_);

  mutable Mutex mutex_;
  std::mt19937_64 random_ GUARDED_BY(mutex_);
  Names seen_ GUARDED_BY(mutex_);
  Names durable_ GUARDED_BY(mutex_);
  std::vector<NameChange> unsynced_names_ GUARDED_BY(mutex_);
  std::set<std::string, std::less<>> directories_ GUARDED_BY(mutex_);
  std::set<std::string, std::less<>> locks_ GUARDED_BY(mutex_);
  uint64_t epoch_ GUARDED_BY(mutex_) = 0;  // handles of an older epoch are dead
  bool crashed_ GUARDED_BY(mutex_) = false;
  std::optional<uint64_t> crash_operation_ GUARDED_BY(mutex_);
  std::optional<uint64_t> crash_bytes_ GUARDED_BY(mutex_);
  std::optional<uint64_t> fail_sync_ GUARDED_BY(mutex_);
  std::optional<uint64_t> capacity_ GUARDED_BY(mutex_);
  std::function<void()> sync_hook_ GUARDED_BY(mutex_);
  uint64_t operations_ GUARDED_BY(mutex_) = 0;
  uint64_t bytes_written_ GUARDED_BY(mutex_) = 0;
  uint64_t sync_calls_ GUARDED_BY(mutex_) = 0;
  uint64_t syncs_ GUARDED_BY(mutex_) = 0;
  std::optional<absl::Status> fatal_ GUARDED_BY(mutex_);
};

}  // namespace consul::base

#endif  // CONSUL_SERVICES_BASE_FAULTY_FILE_SYSTEM_H_
