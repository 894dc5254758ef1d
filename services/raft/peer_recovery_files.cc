#include "services/raft/peer_recovery_files.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <string>
#include <utility>

#include "services/base/strings.h"
#include "services/raft/peer_recovery.h"

namespace consul::raft {
namespace {

using base::StrCat;

constexpr std::string_view kUnfinished = ".new";
// Far above what 64 members and the changes of a log come to.
constexpr uint64_t kRecoveryBytesMax = 1 << 20;

class Files {
 public:
  explicit Files(const PeerRecoveryOptions& options) : options_(options) {}

  // Nothing where there is no such file.
  absl::StatusOr<std::optional<std::string>> Read(std::string_view name, uint64_t bytes_max) const {
    auto file = options_.file_system->Open(Path(name));
    if (absl::IsNotFound(file.status())) return std::nullopt;
    if (!file.ok()) return file.status();
    const auto size = (*file)->Size();
    if (!size.ok()) return size.status();
    // One byte more than is taken, for the reader to find it too large.
    std::string bytes(std::min(*size, bytes_max + 1), '\0');
    const auto read = (*file)->ReadAt(0, bytes);
    if (!read.ok()) return read.status();
    bytes.resize(*read);
    return bytes;
  }

  // Whole or not at all, and durable.
  absl::Status Write(std::string_view name, std::string_view bytes) const {
    const std::string unfinished = Path(StrCat(name, kUnfinished));
    absl::Status status = options_.file_system->Remove(unfinished);
    if (!status.ok() && !absl::IsNotFound(status)) return status;
    auto file = options_.file_system->Create(unfinished);
    if (!file.ok()) return file.status();
    status = (*file)->WriteAt(0, bytes);
    if (status.ok()) status = (*file)->SyncData();
    if (status.ok()) status = options_.file_system->Rename(unfinished, Path(name));
    return status.ok() ? Sync() : status;
  }

  absl::Status Remove(std::string_view name) const {
    absl::Status status = options_.file_system->Remove(Path(name));
    return status.ok() ? Sync() : status;
  }

 private:
  std::string Path(std::string_view name) const {
    return base::JoinPath(options_.directory, name);
  }
  absl::Status Sync() const {
    return options_.file_system->SyncDirectory(options_.directory);
  }

  const PeerRecoveryOptions& options_;
};

// What peers.json asks for, made durable.
absl::StatusOr<PeerRecovery> Recover(const PeerRecoveryOptions& options, std::string_view text,
                                     const Files& files, StateMachine* state_machine,
                                     SnapshotFiles* snapshots, Restart* restart) {
  options.info("raft: found peers.json file, recovering Raft configuration...");
  auto configuration = ParsePeersJson(text);
  if (!configuration.ok()) return configuration.status();
  if (!configuration->Contains(options.self)) {
    return absl::InvalidArgumentError(
        StrCat("recovery failed: peers.json does not name this server, node id ",
               options.self.value));
  }
  if (restart->log_last == Index{0}) {
    return absl::FailedPreconditionError(
        "recovery failed: this server has no log that peers.json could be about");
  }
  PeerRecovery recovery = MakeRecovery(*std::move(configuration), *restart);
  absl::Status status = files.Write(kRecoveryFile, EncodeRecovery(recovery));
  if (!status.ok()) return status;
  if (restart->snapshot.index > Index{0}) {
    SnapshotMeta at = restart->snapshot;
    at.configuration = {at.index, recovery.configuration};
    const std::atomic<bool> cancelled{false};
    auto written = snapshots->Write(at, *state_machine->Freeze(), cancelled);
    if (!written.ok()) return written.status();
    restart->snapshot = *std::move(written);
  }
  status = files.Remove(kPeersJson);
  if (!status.ok()) return status;
  options.info("raft: deleted peers.json file after successful recovery");
  return recovery;
}

}  // namespace

absl::Status RecoverPeers(const PeerRecoveryOptions& options, StateMachine* state_machine,
                          SnapshotFiles* snapshots, Restart* restart) {
  const Files files(options);
  // The snapshot says which configuration was in effect there. Entries before it may be void, and
  // what named them is gone once the snapshot covers them.
  std::erase_if(restart->configurations, [restart](const PlacedConfiguration& placed) {
    return placed.index <= restart->snapshot.index;
  });
  const auto text = files.Read(kPeersJson, kPeersJsonBytesMax);
  if (!text.ok()) return text.status();
  const auto before = files.Read(kRecoveryFile, kRecoveryBytesMax);
  if (!before.ok()) return before.status();
  const auto peers_info = files.Read(kPeersInfo, 0);
  if (!peers_info.ok()) return peers_info.status();
  // A page of help is worth no failed start: a full disk leaves it out.
  if (!peers_info->has_value()) files.Write(kPeersInfo, PeersInfoText()).IgnoreError();
  PeerRecovery recovery;
  if (text->has_value()) {
    auto recovered = Recover(options, **text, files, state_machine, snapshots, restart);
    if (!recovered.ok()) return recovered.status();
    recovery = *std::move(recovered);
  } else if (before->has_value()) {
    auto decoded = DecodeRecovery(**before);
    if (!decoded.ok()) {
      return absl::Status(decoded.status().code(),
                          StrCat(kRecoveryFile, ": ", base::ToStd(decoded.status().message())));
    }
    recovery = *std::move(decoded);
  } else {
    return absl::OkStatus();
  }
  const bool obsolete = IsObsolete(recovery, *restart);
  ApplyRecovery(recovery, restart);
  return obsolete ? files.Remove(kRecoveryFile) : absl::OkStatus();
}

}  // namespace consul::raft
