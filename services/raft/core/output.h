// services/raft/core/output.h
//
// What raft::Core wants done, and in which order: the contract between the core and its driver.
//
// Threads: pure values.
// Background: services/raft/README.md (The driver's contract).
#ifndef CONSUL_SERVICES_RAFT_CORE_OUTPUT_H_
#define CONSUL_SERVICES_RAFT_CORE_OUTPUT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "services/raft/core/configuration.h"
#include "services/raft/core/message.h"
#include "services/raft/core/types.h"

namespace consul::raft {

// To be made durable in the order of ids, as one unit or several, then reported by
// Core::Persisted(id). Several may be written and synced as a group and reported by the last id
// alone.
struct Persist {
  PersistId id;  // 0: nothing to persist
  // Drop the whole log and term runs; the next entry is snapshot_index + 1. Comes before `entries`.
  std::optional<Index> reset_to;
  // Contiguous. When the log on disk reaches entries.front().index or beyond, it is cut there
  // first.
  std::vector<Entry> entries;
  std::optional<HardState> hard_state;

  bool empty() const { return id.value == 0; }
};

struct RoleChange {
  Role role = Role::kFollower;
  Term term;
  ServerId leader;  // empty: none known
  friend bool operator==(const RoleChange&, const RoleChange&) = default;
};

enum class ReadStatus : uint8_t {
  kReady,       // applied >= index: read now
  kNotLeader,   // leadership was lost while the read waited: ask the leader again
};

struct ReadResult {
  ReadId id;
  ReadStatus status = ReadStatus::kReady;
  Index index;  // when ready: the state at or after this index is linearizable for this read
};

// Entries older than those in memory, wanted from disk. Always durable ones. Answer with
// Core::EntriesLoaded: the entries from `first` on, up to `last`, stopping before they exceed
// `bytes_max` (Entry::bytes) but always at least one; none when the log no longer has `first`.
struct LoadRequest {
  ServerId peer;  // who needs them; empty: this server, to apply them
  Index first;
  Index last;
  uint64_t bytes_max = 0;
};

// A piece of a snapshot is wanted for `peer`, which has all before `offset`: where that is the
// snapshot's size the piece is empty, and the peer installs what it has. Answer with
// Core::SnapshotChunkLoaded.
struct SnapshotLoadRequest {
  ServerId peer;
  SnapshotMeta meta;
  uint64_t offset = 0;
  uint64_t bytes_max = 0;
};

// A piece of a snapshot has come. Append it to the staged file of meta.id (offset 0 begins it anew)
// and answer with Core::SnapshotChunkStored; after the `last` one verify, install it in the state
// machine, make it durable, and answer with Core::SnapshotInstalled, or Core::SnapshotRefused.
// Entries in Output::committed that came before it are applied before it.
struct SnapshotStore {
  SnapshotMeta meta;
  uint64_t offset = 0;
  Buffer bytes;
  bool last = false;
};

// Events worth a line in the log, which the driver words.
enum class FactKind : uint8_t {
  kHeartbeatTimeout,      // server: the leader that fell silent, empty at start
  kElectionTimeout,       // nobody won in time
  kElectionWon,           // number: tally
  kPreVoteWon,            // number: tally
  kVoteGranted,           // server: the candidate
  kVoteWithheld,          // server: the candidate; a leader was heard not long ago
  kSteppedDownNewTerm,    // server: who told
  kSteppedDownNoQuorum,
  kSteppedDownRemoved,
  kStreamBroken,          // server: the leader
  kLogTruncated,          // number: first index cut
  kConfigurationChanged,  // number: index
  kConfigurationFellBack,  // number: index of the one now in effect
  kTransferStarted,       // server: target
  kTransferGivenUp,       // server: target
  kTimeoutNowReceived,    // server: the leader
  kPeerNeedsSnapshot,     // server: the peer; number: snapshot index
  kSnapshotInstalled,     // number: index
};

struct Fact {
  FactKind kind = FactKind::kHeartbeatTimeout;
  Term term;
  ServerId server;
  uint64_t number = 0;
};

// One step's outputs. The driver:
//   1. hands `persist` to the disk;
//   2. sends `messages` at once, beside that write: they promise nothing that is not durable
//      already;
//   3. sends `messages_after_persist` when everything up to `messages_wait_for` is durable, at once
//      when it is already: they carry terms, votes and acks;
//   4. hands `committed` to the state machine in order, then calls Core::Applied;
//   5. answers `reads`, whose state is applied already;
//   6. serves `loads`, `snapshot_loads` and `snapshot_stores`, in order;
//   7. acts on `role_changes` and words `facts`.
// Only 1 before 3 is an order; the rest may go on in parallel. Outputs are taken in turn and none
// is lost.
struct Output {
  Persist persist;
  std::vector<Message> messages;
  std::vector<Message> messages_after_persist;
  PersistId messages_wait_for;  // the id that messages_after_persist wait for
  std::vector<Entry> committed;  // contiguous, each index exactly once
  std::vector<ReadResult> reads;
  std::vector<LoadRequest> loads;
  std::vector<SnapshotLoadRequest> snapshot_loads;
  std::vector<SnapshotStore> snapshot_stores;
  std::vector<RoleChange> role_changes;
  std::vector<Fact> facts;

  bool empty() const {
    return persist.empty() && messages.empty() && messages_after_persist.empty() &&
           committed.empty() && reads.empty() && loads.empty() && snapshot_loads.empty() &&
           snapshot_stores.empty() && role_changes.empty() && facts.empty();
  }
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_CORE_OUTPUT_H_
