// services/raft/state_machine.h
//
// What raft::Node needs of the thing that it replicates: apply committed entries, in order, once.
// It is an interface so that raft knows nothing of keys and sessions, and so that a test can
// replicate a list of strings.
//
// Threads: every method is called on the Node's apply thread and on no other, one call at a time.
#ifndef CONSUL_SERVICES_RAFT_STATE_MACHINE_H_
#define CONSUL_SERVICES_RAFT_STATE_MACHINE_H_

#include <memory>
#include <span>
#include <vector>

#include "services/raft/types.h"

namespace consul::raft {

// What applying one command gave, for the one who proposed it: whatever the state machine and the
// proposer agreed upon, immutable from here on. Null for entries that give nothing. An applied
// command has always succeeded as far as raft is concerned; "cas did not match" is a value in here.
using ApplyResult = std::shared_ptr<const void>;

class StateMachine {
 public:
  virtual ~StateMachine() = default;

  // Applies `entries`, which are committed and follow the last ones given without a gap, and makes
  // the whole batch visible to readers at once: one published version a batch. Every kind of entry
  // is given, so that the state machine's index is the log's; only kCommand carries payload for it.
  // Puts one result an entry into `results`, which arrives empty; with `results` null nobody waits
  // for them (the batch is replayed at a start, or another server proposed it) and none need be
  // made. Deterministic. What it cannot understand ends the process: to skip it would part the
  // servers.
  virtual void ApplyBatch(std::span<const Entry> entries, std::vector<ApplyResult>* results) = 0;

  // There has been nothing to apply for a second: time to let go of what is kept for speed. Called
  // once until the next batch.
  virtual void Idle() {}
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_STATE_MACHINE_H_
