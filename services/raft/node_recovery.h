// services/raft/node_recovery.h
//
// What a Node finds on its disk when it is opened: the log, the newest snapshot, and whether the
// two belong together and to this server.
//
// Threads: Node::Open's.
// Background: services/raft/log_format.md, services/raft/snapshot_format.md.
#ifndef CONSUL_SERVICES_RAFT_NODE_RECOVERY_H_
#define CONSUL_SERVICES_RAFT_NODE_RECOVERY_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/raft/core/configuration.h"
#include "services/raft/core/options.h"
#include "services/raft/log_store.h"
#include "services/raft/node.h"
#include "services/raft/snapshot_files.h"
#include "services/raft/state_machine.h"

namespace consul::raft {

struct RecoveredNode {
  std::unique_ptr<LogStore> log;
  std::unique_ptr<SnapshotFiles> snapshots;
  Restart restart;
  // Differs from start to start; at most half the range of numbers that are counted up from it.
  uint64_t id_seed = 0;
};

// Opens the log, restores the newest snapshot into `state_machine`, and says in the log what was
// cut or passed over. Errors: as Node::Open.
absl::StatusOr<RecoveredNode> RecoverNode(const NodeOptions& options, StateMachine* state_machine);

// Whether a log with this latest configuration can be this server's. One that bootstraps has only
// ever been alone.
absl::Status CheckIsOwn(const NodeOptions& options, const Configuration& configuration);

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_NODE_RECOVERY_H_
