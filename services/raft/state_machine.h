// services/raft/state_machine.h
//
// What raft::Node needs of the thing that it replicates: apply committed entries, in order, once.
// It is an interface so that raft knows nothing of keys and sessions, and so that a test can
// replicate a list of strings.
//
// Threads: every method is called on the Node's apply thread and on no other, one call at a time;
// but Restore also in Node::Open, before that thread touches anything. A FrozenState is written on
// another.
#ifndef CONSUL_SERVICES_RAFT_STATE_MACHINE_H_
#define CONSUL_SERVICES_RAFT_STATE_MACHINE_H_

#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/raft/core/types.h"

namespace consul::raft {

// What applying one command gave, for the one who proposed it: whatever the state machine and the
// proposer agreed upon, immutable from here on. Null for entries that give nothing. An applied
// command has always succeeded as far as raft is concerned; "cas did not match" is a value in here.
using ApplyResult = std::shared_ptr<const void>;

// Takes the next bytes of a snapshot; after its first error nothing more is given.
using SnapshotSink = std::function<absl::Status(std::string_view bytes)>;
// Gives the next bytes of a snapshot, valid until the next call; empty at the end. DATA_LOSS where
// what was written is no longer what is read. The last bytes come only when all of them are sound.
using SnapshotSource = std::function<absl::StatusOr<std::string_view>()>;

// The state at one index, which stays as it is while the state machine goes on.
class FrozenState {
 public:
  virtual ~FrozenState() = default;

  // Gives the state to `sink`. Returns the sink's first error. On any thread, beside ApplyBatch.
  virtual absl::Status Write(const SnapshotSink& sink) const = 0;
};

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

  // The state as the last batch left it. Costs next to nothing, however large the state is.
  virtual std::unique_ptr<FrozenState> Freeze() = 0;

  // Takes over the state at `index`, as FrozenState::Write gave it, in place of what is there: at a
  // start nothing, later what an older part of the same history left. Readers go on with the old
  // state until all of the new one is there; then whoever waits for a change looks anew. On an
  // error nothing has changed: DATA_LOSS for bytes that are no such state, FAILED_PRECONDITION for
  // a format that is too new, else what `source` said.
  // REQUIRES: `index` is above that of everything applied.
  virtual absl::Status Restore(Index index, const SnapshotSource& source) = 0;

  // There has been nothing to do for a second: time to let go of what is kept for speed. Called
  // once until there is.
  virtual void Idle() {}
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_STATE_MACHINE_H_
