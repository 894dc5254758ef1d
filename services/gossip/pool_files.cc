#include "services/gossip/pool_files.h"

#include <pthread.h>

#include <chrono>
#include <iterator>

#include "services/base/file.h"
#include "services/base/log.h"
#include "services/gossip/keyring_file.h"
#include "services/gossip/member_snapshot.h"

namespace consul::gossip {

PoolFiles::PoolFiles(Options options, base::Logger* logger)
    : options_(std::move(options)), logger_(logger) {
  if (!options_.keyring_directory.empty()) {
    keyring_ = std::make_unique<KeyringFile>(base::FileSystem::Posix(),
                                             options_.keyring_directory,
                                             options_.wan ? kWanKeyringName : kLanKeyringName);
  }
}

PoolFiles::~PoolFiles() {
  std::thread thread;
  {
    base::MutexLock lock(&mutex_);
    stop_ = true;
    changed_.Signal();
    thread = std::move(thread_);
  }
  if (thread.joinable()) thread.join();
}

PoolFiles::Known PoolFiles::Load() {
  Known known;
  if (options_.snapshot_directory.empty()) return known;
  MemberSnapshotOptions options;
  options.files = base::FileSystem::Posix();
  options.directory = options_.snapshot_directory;
  options.name = options_.wan ? kWanSnapshotName : kLanSnapshotName;
  options.rejoin_after_leave = options_.rejoin_after_leave;
  snapshot_ = std::make_unique<MemberSnapshot>(options);
  const SnapshotContents previous = snapshot_->TakePrevious();
  for (const std::string& warning : snapshot_->TakeWarnings()) logger_->Warn("serf", warning);
  known.restart = {previous.clocks.member_time, previous.clocks.event_time,
                   previous.clocks.query_time};
  for (const auto& [name, address] : previous.members) known.members.push_back(address);
  return known;
}

void PoolFiles::Append(std::vector<ClusterRecord> records) {
  if (records.empty() || snapshot_ == nullptr) return;
  base::MutexLock lock(&mutex_);
  if (records_.size() + records.size() > kWaitingMax) return;
  for (ClusterRecord& record : records) {
    urgent_ = urgent_ || std::holds_alternative<LeaveRecord>(record);
    records_.push_back(std::move(record));
  }
  StartThread();
  changed_.Signal();
}

void PoolFiles::StoreKeyring(Keyring keyring, std::function<void(absl::Status)> done) {
  if (keyring_ == nullptr) return done(absl::OkStatus());
  base::MutexLock lock(&mutex_);
  keyrings_.push_back({std::move(keyring), std::move(done)});
  urgent_ = true;
  StartThread();
  changed_.Signal();
}

// A pool of one writes nothing, and has no thread for it.
void PoolFiles::StartThread() {
  if (thread_.joinable() || stop_) return;
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "gossip-files");
}

void PoolFiles::Run() {
  for (;;) {
    Work work = WaitForWork();
    const bool stop = work.stop;
    Do(std::move(work));
    if (stop) return;
  }
}

PoolFiles::Work PoolFiles::WaitForWork() {
  base::MutexLock lock(&mutex_);
  while (!stop_ && !urgent_ && records_.empty()) changed_.Wait(&mutex_);
  // What comes soon after goes into the same write.
  const auto flush_at = std::chrono::steady_clock::now() + MemberSnapshot::kFlushInterval;
  while (!stop_ && !urgent_) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= flush_at) break;
    changed_.WaitFor(&mutex_, flush_at - now);
  }
  urgent_ = false;
  return {std::exchange(records_, {}), std::exchange(keyrings_, {}), stop_};
}

void PoolFiles::Do(Work work) {
  for (const ClusterRecord& record : work.records) Record(record);
  if (snapshot_ != nullptr) {
    snapshot_->Flush();
    for (const std::string& warning : snapshot_->TakeWarnings()) logger_->Warn("serf", warning);
  }
  for (const KeyringTask& task : work.keyrings) task.done(keyring_->Store(task.keyring));
}

void PoolFiles::Record(const ClusterRecord& record) {
  if (const auto* alive = std::get_if<AliveRecord>(&record)) {
    snapshot_->Alive(alive->name, alive->address);
  } else if (const auto* gone = std::get_if<NotAliveRecord>(&record)) {
    snapshot_->NotAlive(gone->name);
  } else if (const auto* clocks = std::get_if<ClocksRecord>(&record)) {
    snapshot_->SetClocks({clocks->member_time, clocks->event_time, clocks->query_time});
  } else {
    snapshot_->Leave();
  }
}

}  // namespace consul::gossip
