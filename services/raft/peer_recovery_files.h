// services/raft/peer_recovery_files.h
//
// A recovery by peers.json on the disk: read once and removed, when everything that it means is
// durable. A stop in the middle finds peers.json again, and does it again.
//
// Threads: Node::Open's.
#ifndef CONSUL_SERVICES_RAFT_PEER_RECOVERY_FILES_H_
#define CONSUL_SERVICES_RAFT_PEER_RECOVERY_FILES_H_

#include <functional>
#include <string_view>

#include "absl/status/status.h"
#include "services/base/file.h"
#include "services/raft/core/options.h"
#include "services/raft/core/types.h"
#include "services/raft/snapshot_files.h"
#include "services/raft/state_machine.h"

namespace consul::raft {

struct PeerRecoveryOptions {
  base::FileSystem* file_system;
  std::string_view directory;  // of the log, whose lock the caller holds
  ServerId self;
  std::function<void(std::string_view)> info;  // a line for the log
};

// Makes `restart` what it is with the recovery that is due or was done before, if any. A recovery
// that is due writes the snapshot anew, which `state_machine` holds at this moment, with the new
// configuration. Leaves a peers.info. INVALID_ARGUMENT: peers.json is malformed or does not name
// this server; FAILED_PRECONDITION: there is no log that it could be about; DATA_LOSS: what was
// written of an earlier recovery is damaged; else what the file system said.
absl::Status RecoverPeers(const PeerRecoveryOptions& options, StateMachine* state_machine,
                          SnapshotFiles* snapshots, Restart* restart);

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_PEER_RECOVERY_FILES_H_
