// services/raft/node.h
//
// One server's consensus at work: the driver that owns raft::Core, its thread, its clock, the log
// on disk, the thread that applies, and the snapshots that keep the log short. It decides nothing
// about the protocol; what it adds is the order of things (nothing is answered before it is durable
// and applied) and their price: all proposals that wait when the disk is free share one write and
// one sync.
//
// Threads: Open and Stop belong to one owner; every other method may be called from any thread and
// never waits for a disk. Inside, `apply` owns the state machine, and Core belongs to whoever has
// the turn, one thread at a time: `raft`, or with other servers the thread that calls Receive, or
// `disk`, which owns the log then. At times `raft-snapshots` writes a snapshot and `raft-transfers`
// reads and writes those that are sent. Callbacks say where they run; they must be short, take no
// lock that is held while calling into this class, and may call Propose and ReadBarrier.
// Background: services/raft/README.md, log_format.md and snapshot_format.md beside it.
#ifndef CONSUL_SERVICES_RAFT_NODE_H_
#define CONSUL_SERVICES_RAFT_NODE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/base/file.h"
#include "services/raft/core/configuration.h"
#include "services/raft/core/message.h"
#include "services/raft/core/options.h"
#include "services/raft/core/output.h"
#include "services/raft/core/types.h"
#include "services/raft/state_machine.h"
#include "services/raft/transport.h"

namespace consul::base {
class Metrics;
}  // namespace consul::base

namespace consul::raft {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError };

// Where this server stands. Cheap to take: a few atomic reads, values of one moment or two.
struct NodeStatus {
  Role role = Role::kFollower;
  Term term;
  bool leader_known = false;  // this server, when it leads, included
  // Leads, and has applied an entry of its own term: reads and leader duties may begin.
  bool leader_ready = false;
  Index last_index;     // of the log
  Index commit_index;   // as far as it was handed to the state machine
  Index applied_index;
  // Since a leader was last heard, or a majority by this server as the leader that it was; 0 on the
  // leader itself; since the start where there was neither, and then there was no contact.
  Duration last_contact{0};
  bool had_contact = true;
  // Leads, and may answer default reads from what is applied now: its lease holds, and whatever was
  // acknowledged anywhere is applied here.
  bool lease_holds = false;
  // Leads and is the only member: consistent reads need nobody else either.
  bool alone = false;
  // The newest configuration that it knows has it. Where not, nobody sends it what is written.
  bool member = false;
};

struct Leader {
  ServerId id;          // empty: none known
  std::string address;  // "host:port"; empty when it is not known
};

// When the log is cut by a snapshot, and what of it stays.
struct SnapshotOptions {
  // Of the log since the last snapshot; either makes one due, once the log since then also exceeds
  // the last one's size. The reference's count, and for large entries what replays in a second.
  uint64_t entries_min = 16384;
  uint64_t bytes_min = 64 << 20;
  // At most one in this time, from the start on.
  Duration interval = std::chrono::seconds(30);
  // What the log keeps from before the snapshot, for followers that are a little behind; not more
  // than so much disk, whole segments only.
  uint64_t trailing_entries = 10'000;
  uint64_t trailing_bytes_max = 128 << 20;
  // Whoever wants to write and finds no room waits so long for one that makes some.
  Duration room_wait_max = std::chrono::seconds(5);
  // Another one for the sake of room is taken once the log has grown by so much, or so long after
  // the last one began: it frees no more than that, and takes two syncs and three lines in the log
  // of events. Much less than a segment, or a log of small ones would stand still meanwhile.
  uint64_t room_bytes_min = 64 << 10;
  Duration room_pause = std::chrono::seconds(1);
  // After one that a leader sent could not be taken, how long until it may begin again: it would at
  // once.
  Duration refused_pause = std::chrono::seconds(5);
  // How long after the last chunk a file stays open; and how long the log behind what a follower
  // was sent is kept for it without its coming on.
  Duration sent_kept = std::chrono::seconds(60);
  // The same for a follower that has all of it and is heard, since it has: it takes its time to
  // install, and then wants the entries. One that is silent meanwhile has sent_kept.
  Duration installing_kept = std::chrono::minutes(10);
  // And on how much disk at most, or on twice the size of what it was sent where that is more: with
  // a large state the log grows by the state's size from one snapshot to the next.
  uint64_t sent_log_bytes_max = 512 << 20;
};

struct NodeOptions {
  base::FileSystem* file_system = base::FileSystem::Posix();
  std::string directory;  // of the log, "DATA_DIR/raft"; made where it is missing
  std::string address;    // "host:port" of this server, for log lines and Leader
  Options core;           // core.self is the node id
  // With nothing on disk yet: become the only voter of a new cluster. With a log, it must be one
  // that this server has a part in: another one would wait for ever to be elected.
  bool bootstrap = false;

  // Where other servers are found; empty for none but this one.
  std::function<std::string(const ServerId&)> address_of;
  Transport* transport = nullptr;  // null: there are no other servers; outlives the Node
  base::Metrics* metrics = nullptr;  // null: nobody looks at them; outlives the Node

  // Told of the entries that the log has behind the snapshot, from the first one on until it
  // returns false. In Open, before any of them is applied; they may not be committed.
  std::function<bool(const Entry&)> recovered_entry;

  // Log lines, "raft: " included, in the words of the reference. In a turn, and in Open.
  std::function<void(LogLevel, std::string_view)> log;
  // After each change of role, term or leader, in a turn. A leader is reported again, with
  // status().leader_ready, when it has become ready.
  std::function<void(const RoleChange&)> on_role_change;

  // Limits. Proposals that wait for a turn or for their commitment; above it Propose
  // answers RESOURCE_EXHAUSTED.
  uint64_t pending_bytes_max = 64 << 20;
  // Of one proposal. One entry must fit in one message between servers.
  uint64_t proposal_bytes_max = (1 << 20) - Entry::kOverheadBytes;
  // Of messages from other servers that wait for a turn; what exceeds it is dropped, and
  // raft sends again.
  uint64_t inbox_bytes_max = 64 << 20;
  // Of one group that shares a sync: so long a write that later proposals would notice it.
  uint64_t group_bytes_max = 1 << 20;

  // A leader whose disk is full hands on again after so long, and each time that it still is,
  // having got the lead back or kept it, after twice as long.
  Duration hand_on_pause = std::chrono::seconds(10);

  // Of the log's files: the first is small, so that a fresh server takes little disk and starts at
  // once; each is twice the one before up to the greatest.
  uint64_t segment_bytes_min = 1 << 20;
  uint64_t segment_bytes_max = 64 << 20;

  SnapshotOptions snapshots;
};

struct Applied {
  Index index;
  ApplyResult result;  // what the state machine gave
};

// FAILED_PRECONDITION: no leader is known, or leadership changed in such a way that the command
// will never be applied: it may be proposed again. RESOURCE_EXHAUSTED: a named limit; UNAVAILABLE:
// no room on the leader's disk or on this server's; ABORTED: no majority has written anything for
// some time; of all three nothing was proposed. INVALID_ARGUMENT: larger than proposal_bytes_max.
// UNKNOWN: leadership was lost, the leader did not answer, or no majority wrote it in time; the
// command may yet be applied, or not. CANCELLED: the Node stopped; as UNKNOWN.
using ProposeCallback = absl::AnyInvocable<void(absl::StatusOr<Applied>)>;

// OK: what this server has applied now includes everything that was acknowledged anywhere before
// the call. FAILED_PRECONDITION: no leader is known, or it changed or did not answer meanwhile: the
// read may be asked again. RESOURCE_EXHAUSTED: a named limit, or this server lags too far behind;
// UNAVAILABLE: its disk has no room for what it would have to see. CANCELLED as above.
using ReadCallback = absl::AnyInvocable<void(absl::Status)>;

// What a change of members came to. FAILED_PRECONDITION: this server does not lead, or an earlier
// change, or the first entry of this leader's term, is not committed yet (Ongaro 2015).
// INVALID_ARGUMENT: nothing would change, or the last voter would go; the text says which.
// UNAVAILABLE, UNKNOWN, CANCELLED: as of a proposal.
using ChangeCallback = absl::AnyInvocable<void(absl::Status)>;

class Node {
 public:
  // Takes the directory's lock, recovers the log and restores the newest snapshot. Returns at once
  // for an empty directory; a long log is read here, and applied once the Node has started. Errors:
  // FAILED_PRECONDITION when another agent has the directory, the log is another server's or the
  // snapshot a newer program's, DATA_LOSS naming file and offset where the log is damaged, and the
  // file where a snapshot is that the log cannot do without, else what the file system said.
  // REQUIRES: `state_machine` is empty and outlives the Node.
  static absl::StatusOr<std::unique_ptr<Node>> Open(NodeOptions options,
                                                    StateMachine* state_machine);

  virtual ~Node() = default;

  // Begins to take part: until here nobody is elected and nothing is applied or proposed.
  // REQUIRES: called once, by the owner, before any other method but status() and leader().
  virtual void Start() = 0;

  // Proposes a command, through the leader where this server is not it. `callback` runs exactly
  // once: on the apply thread when the command was applied here, in a turn or in the caller when it
  // was not. Costs a lock and a wake, or where nothing is under way a turn.
  // With `term` it is proposed only where this server leads in that term, and is refused with
  // FAILED_PRECONDITION elsewhere: for what was decided by what the leader of that term knew.
  virtual void Propose(Buffer command, std::optional<Term> term, ProposeCallback callback) = 0;
  void Propose(Buffer command, ProposeCallback callback) {
    Propose(std::move(command), std::nullopt, std::move(callback));
  }
  void Propose(std::string command, ProposeCallback callback) {
    Propose(MakeBuffer(std::move(command)), std::nullopt, std::move(callback));
  }

  // Makes a following read of this server's state linearizable, asking the leader where this server
  // is not it: within the leader's lease with kLease, by a round of its own with kReadIndex. A sole
  // voter, and with kLease a leader whose lease holds, answers in the caller.
  virtual void ReadBarrier(ReadMode mode, ReadCallback callback) = 0;

  // Something came from another server. Takes a turn in the caller, some tens of microseconds,
  // where nobody has it: Transport::Send and the callbacks are then called from inside.
  virtual void Receive(Message message) = 0;
  // The connection on which `peer` sends broke, which its process' death does at once.
  virtual void StreamBroken(ServerId peer) = 0;

  // Gives this server the first configuration of a new cluster; the same on every server that is
  // given it. `done` runs once the entry is durable. FAILED_PRECONDITION: it has raft state
  // already; INVALID_ARGUMENT: no voter is named.
  virtual void Bootstrap(Configuration configuration, ChangeCallback done) = 0;
  // On the leader. `done` runs when the change is committed, or will not be.
  virtual void ChangeMembership(MembershipChange change, ChangeCallback done) = 0;
  // Hands leadership to `target`, or with an empty one to the voter that is furthest on. OK: this
  // server no longer leads. DEADLINE_EXCEEDED: it was given up, and this server leads on.
  virtual void TransferLeadership(ServerId target, ChangeCallback done) = 0;
  // Of all members but this one, as of not long ago; empty where this server does not lead.
  virtual std::vector<MemberProgress> Members() const = 0;

  virtual NodeStatus status() const = 0;
  virtual Leader leader() const = 0;
  // The servers that take part, as of the log's end.
  virtual PlacedConfiguration configuration() const = 0;
  // The raft group of `consul info`.
  virtual std::map<std::string, std::string> Stats() const = 0;

  // Answers every waiting callback with CANCELLED, makes what was written durable, ends the threads
  // and releases the directory. Later calls are answered with CANCELLED. Idempotent.
  virtual void Stop() = 0;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_NODE_H_
