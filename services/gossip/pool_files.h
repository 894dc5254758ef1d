// services/gossip/pool_files.h
//
// What a pool keeps on disk (its keyring, and whom it knows), written by a thread of its own, so
// that a slow disk never holds up an answer to a probe.
//
// Threads: one of its own, `gossip-files`, once something is written; methods from the pool's.
#ifndef CONSUL_SERVICES_GOSSIP_POOL_FILES_H_
#define CONSUL_SERVICES_GOSSIP_POOL_FILES_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "services/base/mutex.h"
#include "services/gossip/cluster_options.h"
#include "services/gossip/cluster_output.h"
#include "services/gossip/keyring.h"
#include "services/gossip/types.h"

namespace consul::base {
class Logger;
}  // namespace consul::base

namespace consul::gossip {

class KeyringFile;
class MemberSnapshot;

class PoolFiles {
 public:
  struct Options {
    std::string keyring_directory;   // empty: a changed keyring is not kept
    std::string snapshot_directory;  // empty: nobody is remembered
    bool wan = false;
    bool rejoin_after_leave = false;
  };
  // What the last life left.
  struct Known {
    ClusterRestart restart;
    std::vector<Endpoint> members;
  };

  // Records that wait for a disk that does not answer. More are dropped: they are a hint.
  static constexpr size_t kWaitingMax = 65536;

  // `logger` outlives it.
  PoolFiles(Options options, base::Logger* logger);
  // Writes what waits.
  ~PoolFiles();
  PoolFiles(const PoolFiles&) = delete;
  PoolFiles& operator=(const PoolFiles&) = delete;

  // Once, before anything is appended. Reads the disk.
  Known Load();

  void Append(std::vector<ClusterRecord> records);
  // `done` is told on the files' thread.
  void StoreKeyring(Keyring keyring, std::function<void(absl::Status)> done);

 private:
  struct KeyringTask {
    Keyring keyring;
    std::function<void(absl::Status)> done;
  };
  // What there is to do, taken at one moment.
  struct Work {
    std::vector<ClusterRecord> records;
    std::vector<KeyringTask> keyrings;
    bool stop = false;
  };

  void StartThread() REQUIRES_LOCK(mutex_);
  void Run();
  Work WaitForWork();
  void Do(Work work);
  void Record(const ClusterRecord& record);

  const Options options_;
  base::Logger* const logger_;
  std::unique_ptr<KeyringFile> keyring_;
  std::unique_ptr<MemberSnapshot> snapshot_;  // Load's, then the thread's

  base::Mutex mutex_;
  base::CondVar changed_;
  std::vector<ClusterRecord> records_ GUARDED_BY(mutex_);
  std::vector<KeyringTask> keyrings_ GUARDED_BY(mutex_);
  bool urgent_ GUARDED_BY(mutex_) = false;  // something does not wait for the next flush
  bool stop_ GUARDED_BY(mutex_) = false;
  std::thread thread_ GUARDED_BY(mutex_);
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_POOL_FILES_H_
