#include "services/raft/node_recovery.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>

#include "services/base/strings.h"
#include "services/raft/peer_recovery_files.h"

namespace consul::raft {
namespace {

using base::StrCat;

// A snapshot leaves the log room for as many segments of the least size, which it makes do with on
// a disk that is nearly full: so writes go on until the snapshot is given up or done.
constexpr uint64_t kLeftToLogSegments = 4;

constexpr uint64_t kShownBytes = 64 << 10;

// Of the log behind the snapshot, until nobody wants to see more.
absl::Status ShowEntries(const NodeOptions& options, const RecoveredNode& recovered) {
  if (!options.recovered_entry) return absl::OkStatus();
  LogStore& log = *recovered.log;
  Index next = std::max(log.first(), recovered.restart.snapshot.index.Next());
  while (next <= log.last()) {
    const auto entries = log.Read(next, log.last(), kShownBytes);
    if (!entries.ok()) return entries.status();
    for (const Entry& entry : *entries) {
      if (!options.recovered_entry(entry)) return absl::OkStatus();
    }
    next = entries->back().index.Next();
  }
  return absl::OkStatus();
}

uint64_t RandomSeed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

}  // namespace

absl::StatusOr<RecoveredNode> RecoverNode(const NodeOptions& options,
                                          StateMachine* state_machine) {
  const auto warn = [&options](std::string_view text) {
    if (options.log) options.log(LogLevel::kWarn, text);
  };
  auto log = LogStore::Open({.file_system = options.file_system,
                             .directory = options.directory,
                             .segment_bytes_min = options.segment_bytes_min,
                             .segment_bytes_max = options.segment_bytes_max,
                             .prepare_ahead = true,
                             .salt_seed = RandomSeed()});
  if (!log.ok()) return log.status();
  RecoveredNode recovered;
  recovered.id_seed = RandomSeed() >> 1;
  recovered.log = *std::move(log);
  if (!recovered.log->cut().empty()) {
    warn(StrCat("raft: cut an unfinished write from the log: ", recovered.log->cut()));
  }
  recovered.snapshots =
      std::make_unique<SnapshotFiles>(options.file_system, options.directory, RandomSeed(),
                                      kLeftToLogSegments * options.segment_bytes_min);
  auto snapshot = recovered.snapshots->Load(
      recovered.log->first(), [state_machine](Index index, const SnapshotSource& source) {
        return state_machine->Restore(index, source);
      });
  if (!snapshot.ok()) return snapshot.status();
  for (const std::string& damage : recovered.snapshots->passed_over()) {
    warn(StrCat("raft: passed over a damaged snapshot, which the log makes good: ", damage));
  }
  recovered.restart = recovered.log->TakeRestart();
  // A term is durable before anything of it is applied.
  if (recovered.restart.hard_state.term < snapshot->term) {
    return absl::DataLossError(
        StrCat("log ", options.directory, ": is of term ",
               recovered.restart.hard_state.term.value, " and its snapshot of term ",
               snapshot->term.value, ": the log's files are missing or not those of the snapshot"));
  }
  recovered.restart.snapshot = *std::move(snapshot);
  const PeerRecoveryOptions peers{
      .file_system = options.file_system,
      .directory = options.directory,
      .self = options.core.self,
      .info = [&options](std::string_view text) {
        if (options.log) options.log(LogLevel::kInfo, text);
      }};
  absl::Status status =
      RecoverPeers(peers, state_machine, recovered.snapshots.get(), &recovered.restart);
  if (status.ok()) status = ShowEntries(options, recovered);
  if (!status.ok()) return status;
  return recovered;
}

absl::Status CheckIsOwn(const NodeOptions& options, const Configuration& configuration) {
  const ServerId& self = options.core.self;
  if (!options.bootstrap || configuration.empty() || configuration.Contains(self)) {
    return absl::OkStatus();
  }
  std::string owners;
  for (const Member& member : configuration.members()) {
    base::StrAppend(&owners, owners.empty() ? "" : ", ", member.id.value);
  }
  return absl::FailedPreconditionError(StrCat("log ", options.directory, ": is that of node id ",
                                              owners, ", and this is node id ", self.value));
}

}  // namespace consul::raft
