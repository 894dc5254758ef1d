// services/gossip/member_snapshot.h
//
// Whom an agent knew, on disk, so that it finds its pool again by itself after a restart:
// DATA_DIR/serf/local.snapshot and remote.snapshot. With them stand the Lamport clocks, so that
// events and queries from before are not taken for new ones.
//
// It is a hint, and never a reason not to start or to stop: whatever goes wrong is a warning, and
// the agent goes on with what could be read, or without. Records are appended as things happen and
// written at each Flush, not synced; the file is written anew at the start and when it has grown.
// After a crash of the process at most what was not flushed is missing, after one of the machine
// what the system had not written yet.
//
// Threads: any, one at a time; not one that members wait for, since a new file is synced.
// Background: services/gossip/format.md, "Member snapshots".
#ifndef CONSUL_SERVICES_GOSSIP_MEMBER_SNAPSHOT_H_
#define CONSUL_SERVICES_GOSSIP_MEMBER_SNAPSHOT_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "services/base/file.h"
#include "services/gossip/member_snapshot_format.h"

namespace consul::gossip {

// In the folder kSerfDirectory: of the LAN and of the WAN pool.
inline constexpr std::string_view kLanSnapshotName = "local.snapshot";
inline constexpr std::string_view kWanSnapshotName = "remote.snapshot";

struct MemberSnapshotOptions {
  base::FileSystem* files = nullptr;  // outlives the snapshot
  std::string directory;              // made where it is missing
  std::string_view name;
  // Whether the members are remembered although this agent left on purpose.
  bool rejoin_after_leave = false;
  // A file that is smaller is never written anew for its size.
  size_t compact_bytes_min = 128 << 10;
};

class MemberSnapshot {
 public:
  // How often the driver calls Flush.
  static constexpr std::chrono::milliseconds kFlushInterval{500};
  // After an error, calls of Flush until the disk is tried again: a minute.
  static constexpr int kRetryFlushes = 120;
  // More than this is not held back until the next Flush.
  static constexpr size_t kPendingBytesMax = 1 << 20;
  // A file may grow to twice its size when it was written anew, which is at most
  // kSnapshotMembersMax of the largest records; a larger one is none of ours, and not read.
  static constexpr uint64_t kFileBytesMax = 40 << 20;
  static_assert(kFileBytesMax > 2 * kSnapshotMembersMax * (kSnapshotRecordHeadBytes +
                                                           kSnapshotPayloadBytesMax) +
                                    kPendingBytesMax);

  // Reads what the last life left, and begins a file of this one.
  explicit MemberSnapshot(MemberSnapshotOptions options);

  // What the last life left, once.
  SnapshotContents TakePrevious();

  // Another member is alive, or has another address. REQUIRES: a name of 1 to kNameBytesMax bytes.
  void Alive(std::string_view name, const Endpoint& address);
  // It has left or is forgotten. The same requirement.
  void NotAlive(std::string_view name);
  // Times before those that are known count for nothing.
  void SetClocks(const SnapshotClocks& clocks);
  // This agent leaves on purpose. Written and synced at once; clocks alone are recorded after it.
  void Leave();

  // Writes what was recorded since the last call.
  void Flush();

  // Sentences for the log since the last call; each names the file.
  std::vector<std::string> TakeWarnings();

  const std::string& path() const { return path_; }

 private:
  std::string ReadFile();
  template <typename AppendRecord>
  void Record(AppendRecord append);
  std::string Contents() const;
  absl::Status WriteNew();
  absl::Status WritePending();
  absl::Status WriteLeave();
  void Compact();
  void Fail(const absl::Status& status);
  void Warn(std::string_view what);

  const MemberSnapshotOptions options_;
  const std::string path_;
  SnapshotContents previous_;
  SnapshotMembers told_;  // by the file, and not met since
  SnapshotMembers met_;   // in this life
  SnapshotClocks clocks_;

  enum class State : uint8_t {
    kRecording,
    kFailing,  // until a retry succeeds; what happens is in told_, met_ and clocks_ alone
    kLeft,
  };
  State state_ = State::kRecording;
  std::unique_ptr<base::File> file_;  // null while kFailing, and after an error while kLeft
  uint64_t size_ = 0;                 // of the file
  uint64_t compact_at_ = 0;           // its size when it is to be written anew
  std::string pending_;
  int flushes_until_retry_ = 0;  // while kFailing
  std::vector<std::string> warnings_;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_MEMBER_SNAPSHOT_H_
