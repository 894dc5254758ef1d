#include "services/base/faulty_file_system.h"

#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"

namespace consul::base {
namespace {

constexpr uint64_t kSectorBytes = 512;  // what a disk writes whole or not at all

std::string DirectoryOf(std::string_view path) {
  const size_t slash = path.find_last_of('/');
  return std::string(slash == std::string_view::npos ? "." : path.substr(0, slash));
}

}  // namespace

class FaultyFileSystem::FaultyFile final : public File {
 public:
  FaultyFile(FaultyFileSystem* owner, std::string path, std::shared_ptr<Inode> inode,
             uint64_t epoch)
      : owner_(owner), path_(std::move(path)), inode_(std::move(inode)), epoch_(epoch) {}

  absl::StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> out) override {
    MutexLock lock(&owner_->mutex_);
    if (Dead()) return owner_->CrashedStatus();
    if (offset >= inode_->seen.size()) return 0;
    return inode_->seen.copy(out.data(), out.size(), offset);
  }

  absl::Status WriteAt(uint64_t offset, std::string_view bytes) override {
    MutexLock lock(&owner_->mutex_);
    if (Dead()) return owner_->CrashedStatus();
    return owner_->Write(inode_.get(), offset, bytes, path_);
  }

  absl::Status SyncData() override {
    std::function<void()> hook;
    {
      MutexLock lock(&owner_->mutex_);
      hook = owner_->sync_hook_;
    }
    if (hook) hook();
    MutexLock lock(&owner_->mutex_);
    if (Dead()) return owner_->CrashedStatus();
    if (absl::Status status = owner_->BeginOperation(); !status.ok()) return status;
    if (owner_->fail_sync_ == owner_->sync_calls_++) {
      inode_->unsynced.clear();  // the system marks the pages clean all the same
      return absl::InternalError(StrCat("fdatasync ", path_, ": Input/output error"));
    }
    for (const Change& change : inode_->unsynced) Apply(change, &inode_->durable);
    inode_->unsynced.clear();
    ++owner_->syncs_;
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> Size() override {
    MutexLock lock(&owner_->mutex_);
    if (Dead()) return owner_->CrashedStatus();
    return inode_->seen.size();
  }

  absl::Status Truncate(uint64_t size) override {
    MutexLock lock(&owner_->mutex_);
    if (Dead()) return owner_->CrashedStatus();
    if (absl::Status status = owner_->BeginOperation(); !status.ok()) return status;
    Change change{.truncates = true, .offset = size, .bytes = {}};
    Apply(change, &inode_->seen);
    inode_->unsynced.push_back(std::move(change));
    return absl::OkStatus();
  }

  absl::StatusOr<uint32_t> Permissions() override {
    MutexLock lock(&owner_->mutex_);
    if (Dead()) return owner_->CrashedStatus();
    return inode_->permissions;
  }

  const std::string& path() const override { return path_; }

 private:
  bool Dead() const REQUIRES_LOCK(owner_->mutex_) {
    return owner_->crashed_ || owner_->epoch_ != epoch_;
  }

  FaultyFileSystem* const owner_;
  const std::string path_;
  const std::shared_ptr<Inode> inode_;
  const uint64_t epoch_;
};

class FaultyFileSystem::FaultyLock final : public FileLock {
 public:
  FaultyLock(FaultyFileSystem* owner, std::string path, uint64_t epoch)
      : owner_(owner), path_(std::move(path)), epoch_(epoch) {}
  ~FaultyLock() override {
    MutexLock lock(&owner_->mutex_);
    if (owner_->epoch_ == epoch_) owner_->locks_.erase(path_);
  }

 private:
  FaultyFileSystem* const owner_;
  const std::string path_;
  const uint64_t epoch_;
};

void FaultyFileSystem::Apply(const Change& change, std::string* contents) {
  if (change.truncates) {
    contents->resize(change.offset, '\0');
    return;
  }
  const uint64_t end = change.offset + change.bytes.size();
  if (contents->size() < end) contents->resize(end, '\0');
  contents->replace(change.offset, change.bytes.size(), change.bytes);
}

void FaultyFileSystem::ApplyName(const NameChange& change, Names* names) {
  for (const auto& [name, inode] : change.names) {
    if (inode == nullptr) {
      names->erase(name);
    } else {
      (*names)[name] = inode;
    }
  }
}

absl::Status FaultyFileSystem::CrashedStatus() const {
  return absl::InternalError("the machine has stopped");
}

absl::Status FaultyFileSystem::BeginOperation() {
  if (crashed_) return CrashedStatus();
  if (crash_operation_ == operations_++) {
    crashed_ = true;
    return CrashedStatus();
  }
  return absl::OkStatus();
}

absl::Status FaultyFileSystem::Write(Inode* inode, uint64_t offset, std::string_view bytes,
                                     std::string_view path) {
  absl::Status status = BeginOperation();
  if (!status.ok()) {
    bytes = bytes.substr(0, random_() % (bytes.size() + 1));
  } else if (crash_bytes_.has_value() && bytes_written_ + bytes.size() > *crash_bytes_) {
    bytes = bytes.substr(0, *crash_bytes_ - bytes_written_);
    crashed_ = true;
    status = CrashedStatus();
  }
  const uint64_t end = offset + bytes.size();
  const uint64_t growth = end > inode->seen.size() ? end - inode->seen.size() : 0;
  if (capacity_.has_value() && SizeTotal() + growth > *capacity_) {
    const uint64_t room = *capacity_ > SizeTotal() ? *capacity_ - SizeTotal() : 0;
    const uint64_t fits = std::max(inode->seen.size() + room, offset) - offset;
    bytes = bytes.substr(0, std::min<uint64_t>(fits, bytes.size()));
    if (status.ok()) {
      status = absl::ResourceExhaustedError(StrCat("write ", path, ": No space left on device"));
    }
  }
  bytes_written_ += bytes.size();
  if (!bytes.empty()) {
    Change change{.truncates = false, .offset = offset, .bytes = std::string(bytes)};
    Apply(change, &inode->seen);
    inode->unsynced.push_back(std::move(change));
  }
  return status;
}

uint64_t FaultyFileSystem::SizeTotal() const {
  uint64_t total = 0;
  for (const auto& [name, inode] : seen_) total += inode->seen.size();
  return total;
}

void FaultyFileSystem::CrashAtOperation(uint64_t n) {
  MutexLock lock(&mutex_);
  crash_operation_ = operations_ + n;
}

void FaultyFileSystem::CrashAfterBytes(uint64_t bytes) {
  MutexLock lock(&mutex_);
  crash_bytes_ = bytes_written_ + bytes;
}

void FaultyFileSystem::Crash() {
  MutexLock lock(&mutex_);
  crashed_ = true;
}

void FaultyFileSystem::Restart(Unsynced unsynced) {
  MutexLock lock(&mutex_);
  if (unsynced != Unsynced::kKept) {
    KeepSome(unsynced);
    seen_ = durable_;
    unsynced_names_.clear();
  }
  locks_.clear();
  ++epoch_;
  crashed_ = false;
  crash_operation_.reset();
  crash_bytes_.reset();
  fail_sync_.reset();
  fatal_.reset();
}

void FaultyFileSystem::KeepSome(Unsynced unsynced) {
  std::map<std::string, std::vector<const NameChange*>> by_directory;
  for (const NameChange& change : unsynced_names_) {
    by_directory[change.directory].push_back(&change);
  }
  for (const auto& [directory, changes] : by_directory) {
    const size_t kept = unsynced == Unsynced::kTorn ? random_() % (changes.size() + 1) : 0;
    for (size_t i = 0; i < kept; ++i) ApplyName(*changes[i], &durable_);
  }
  for (auto& [name, inode] : durable_) {
    for (const Change& change : inode->unsynced) {
      if (unsynced != Unsynced::kTorn) continue;
      if (change.truncates) {
        if (random_() % 2 == 0) Apply(change, &inode->durable);
        continue;
      }
      for (uint64_t done = 0; done < change.bytes.size();) {
        const uint64_t offset = change.offset + done;
        const uint64_t size = std::min<uint64_t>(kSectorBytes - offset % kSectorBytes,
                                                 change.bytes.size() - done);
        if (random_() % 2 == 0) {
          Apply({.truncates = false, .offset = offset, .bytes = change.bytes.substr(done, size)},
                &inode->durable);
        }
        done += size;
      }
    }
    inode->unsynced.clear();
    inode->seen = inode->durable;
  }
}

void FaultyFileSystem::FailSync(uint64_t n) {
  MutexLock lock(&mutex_);
  fail_sync_ = sync_calls_ + n;
}

void FaultyFileSystem::SetCapacity(std::optional<uint64_t> bytes) {
  MutexLock lock(&mutex_);
  capacity_ = bytes;
}

void FaultyFileSystem::FlipBit(std::string_view path, uint64_t offset, int bit) {
  MutexLock lock(&mutex_);
  const auto found = seen_.find(path);
  CONSUL_CHECK(found != seen_.end());
  Inode& inode = *found->second;
  CONSUL_CHECK(offset < inode.seen.size());
  inode.seen[offset] = static_cast<char>(inode.seen[offset] ^ (1 << bit));
  if (offset < inode.durable.size()) {
    inode.durable[offset] = static_cast<char>(inode.durable[offset] ^ (1 << bit));
  }
}

void FaultyFileSystem::SetPermissions(std::string_view path, uint32_t permissions) {
  MutexLock lock(&mutex_);
  const auto found = seen_.find(path);
  CONSUL_CHECK(found != seen_.end());
  found->second->permissions = permissions;
}

void FaultyFileSystem::SetSyncHook(std::function<void()> hook) {
  MutexLock lock(&mutex_);
  sync_hook_ = std::move(hook);
}

uint64_t FaultyFileSystem::operations() const {
  MutexLock lock(&mutex_);
  return operations_;
}

uint64_t FaultyFileSystem::bytes_written() const {
  MutexLock lock(&mutex_);
  return bytes_written_;
}

uint64_t FaultyFileSystem::syncs() const {
  MutexLock lock(&mutex_);
  return syncs_;
}

uint64_t FaultyFileSystem::size_total() const {
  MutexLock lock(&mutex_);
  return SizeTotal();
}

bool FaultyFileSystem::crashed() const {
  MutexLock lock(&mutex_);
  return crashed_;
}

std::optional<absl::Status> FaultyFileSystem::fatal() const {
  MutexLock lock(&mutex_);
  return fatal_;
}

std::string FaultyFileSystem::Contents(std::string_view path) const {
  MutexLock lock(&mutex_);
  const auto found = seen_.find(path);
  return found == seen_.end() ? std::string() : found->second->seen;
}

std::unique_ptr<FaultyFileSystem> FaultyFileSystem::Clone() const {
  MutexLock lock(&mutex_);
  auto copy = std::make_unique<FaultyFileSystem>(0);
  std::map<const Inode*, std::shared_ptr<Inode>> copies;
  const auto copy_of = [&copies](const std::shared_ptr<Inode>& inode) {
    if (inode == nullptr) return std::shared_ptr<Inode>();
    std::shared_ptr<Inode>& slot = copies[inode.get()];
    if (slot == nullptr) slot = std::make_shared<Inode>(*inode);
    return slot;
  };
  MutexLock copy_lock(&copy->mutex_);
  copy->random_ = random_;
  for (const auto& [name, inode] : seen_) copy->seen_[name] = copy_of(inode);
  for (const auto& [name, inode] : durable_) copy->durable_[name] = copy_of(inode);
  for (NameChange change : unsynced_names_) {
    for (auto& [name, inode] : change.names) inode = copy_of(inode);
    copy->unsynced_names_.push_back(std::move(change));
  }
  copy->directories_ = directories_;
  copy->capacity_ = capacity_;
  return copy;
}

absl::StatusOr<std::unique_ptr<File>> FaultyFileSystem::Open(std::string_view path) {
  MutexLock lock(&mutex_);
  if (crashed_) return CrashedStatus();
  const auto found = seen_.find(path);
  if (found == seen_.end()) {
    return absl::NotFoundError(StrCat("open ", path, ": No such file or directory"));
  }
  return std::make_unique<FaultyFile>(this, std::string(path), found->second, epoch_);
}

absl::StatusOr<std::unique_ptr<File>> FaultyFileSystem::Create(std::string_view path) {
  MutexLock lock(&mutex_);
  if (absl::Status status = BeginOperation(); !status.ok()) return status;
  if (!directories_.contains(DirectoryOf(path))) {
    return absl::NotFoundError(StrCat("create ", path, ": No such file or directory"));
  }
  if (seen_.contains(path)) {
    return absl::AlreadyExistsError(StrCat("create ", path, ": File exists"));
  }
  auto inode = std::make_shared<Inode>();
  NameChange change{DirectoryOf(path), {{std::string(path), inode}}};
  ApplyName(change, &seen_);
  unsynced_names_.push_back(std::move(change));
  return std::make_unique<FaultyFile>(this, std::string(path), std::move(inode), epoch_);
}

absl::Status FaultyFileSystem::Rename(std::string_view from, std::string_view to) {
  MutexLock lock(&mutex_);
  if (absl::Status status = BeginOperation(); !status.ok()) return status;
  const auto found = seen_.find(from);
  if (found == seen_.end()) {
    return absl::NotFoundError(StrCat("rename ", from, ": No such file or directory"));
  }
  CONSUL_CHECK(DirectoryOf(from) == DirectoryOf(to));
  NameChange change{DirectoryOf(from),
                    {{std::string(from), nullptr}, {std::string(to), found->second}}};
  ApplyName(change, &seen_);
  unsynced_names_.push_back(std::move(change));
  return absl::OkStatus();
}

absl::Status FaultyFileSystem::Remove(std::string_view path) {
  MutexLock lock(&mutex_);
  if (absl::Status status = BeginOperation(); !status.ok()) return status;
  if (!seen_.contains(path)) {
    return absl::NotFoundError(StrCat("remove ", path, ": No such file or directory"));
  }
  NameChange change{DirectoryOf(path), {{std::string(path), nullptr}}};
  ApplyName(change, &seen_);
  unsynced_names_.push_back(std::move(change));
  return absl::OkStatus();
}

absl::Status FaultyFileSystem::SyncDirectory(std::string_view path) {
  MutexLock lock(&mutex_);
  if (absl::Status status = BeginOperation(); !status.ok()) return status;
  std::vector<NameChange> others;
  for (NameChange& change : unsynced_names_) {
    if (change.directory == path) {
      ApplyName(change, &durable_);
    } else {
      others.push_back(std::move(change));
    }
  }
  unsynced_names_ = std::move(others);
  return absl::OkStatus();
}

// Directories are durable at once: the contract of CreateDirectories includes the syncs.
absl::Status FaultyFileSystem::CreateDirectories(std::string_view path) {
  MutexLock lock(&mutex_);
  if (absl::Status status = BeginOperation(); !status.ok()) return status;
  for (std::string part(path); !part.empty() && part != "." && part != "/";
       part = DirectoryOf(part)) {
    directories_.insert(part);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> FaultyFileSystem::List(std::string_view path) {
  MutexLock lock(&mutex_);
  if (crashed_) return CrashedStatus();
  if (!directories_.contains(path)) {
    return absl::NotFoundError(StrCat("list ", path, ": No such file or directory"));
  }
  std::vector<std::string> names;
  for (const auto& [name, inode] : seen_) {
    if (DirectoryOf(name) == path) names.push_back(name.substr(path.size() + 1));
  }
  return names;
}

absl::StatusOr<uint64_t> FaultyFileSystem::FreeBytes(std::string_view) {
  MutexLock lock(&mutex_);
  if (crashed_) return CrashedStatus();
  if (!capacity_.has_value()) return uint64_t{1} << 50;
  const uint64_t used = SizeTotal();
  return *capacity_ > used ? *capacity_ - used : 0;
}

absl::StatusOr<std::unique_ptr<FileLock>> FaultyFileSystem::Lock(std::string_view path) {
  MutexLock lock(&mutex_);
  if (crashed_) return CrashedStatus();
  if (!locks_.insert(std::string(path)).second) {
    return absl::FailedPreconditionError(
        StrCat("lock ", path, ": held by another agent (process 1)"));
  }
  return std::make_unique<FaultyLock>(this, std::string(path), epoch_);
}

void FaultyFileSystem::Fatal(const absl::Status& why) {
  MutexLock lock(&mutex_);
  if (!fatal_.has_value()) fatal_ = why;
}

}  // namespace consul::base
