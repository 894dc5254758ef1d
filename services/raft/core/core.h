// services/raft/core/core.h
//
// One server's part in consensus, as a pure function of its inputs: elections with pre-vote,
// replication, commitment, linearizable reads, membership change, leadership transfer and snapshot
// install. Inputs are method calls that say what happened; TakeOutput says what is to be done about
// all of them.
//
// It holds no clock, thread, lock, file, log line or chance of its own: time is an argument, random
// choices come from Options::seed. The same calls give the same outputs, which is what lets a whole
// cluster run inside one test.
//
// Threads: none of its own. One thread (the driver's) makes all calls; raft::Node owns that thread.
// Background: services/raft/README.md; Ongaro's thesis "Consensus: Bridging Theory and Practice".
#ifndef CONSUL_SERVICES_RAFT_CORE_CORE_H_
#define CONSUL_SERVICES_RAFT_CORE_CORE_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "services/raft/core/configuration.h"
#include "services/raft/core/core_state.h"
#include "services/raft/core/log_tail.h"
#include "services/raft/core/message.h"
#include "services/raft/core/options.h"
#include "services/raft/core/output.h"
#include "services/raft/core/smoothed_time.h"
#include "services/raft/core/types.h"

namespace consul::raft {

// What a client wants in the log. Never kConfiguration: that is ChangeMembership's.
struct Proposal {
  EntryKind kind = EntryKind::kCommand;
  Buffer payload;
};

enum class ProposeStatus : uint8_t {
  kAccepted,
  kNotLeader,     // RoleChange::leader knows where to go
  kTransferring,  // leadership is being handed over: try again in a moment
  kBusy,          // Options::uncommitted_bytes_max would be exceeded
  kTooLarge,      // one entry exceeds Options::append_bytes_max
  kNoMajority,    // nothing has been committed for Options::commit_wait_max
};

// Accepted entries stand at first, first + 1, ... with `term`. They are committed when
// Output::committed holds that index with that term; another term there means that they never will
// be. After leadership is lost their outcome is unknown until then.
struct ProposeResult {
  ProposeStatus status = ProposeStatus::kNotLeader;
  Term term;
  Index first;
};

enum class MembershipStatus : uint8_t {
  kAccepted,
  kNotLeader,
  kTransferring,
  kChangePending,     // an earlier change is not committed yet
  kTermNotCommitted,  // no entry of this leader's term is committed yet (Ongaro 2015)
  kNoChange,          // the server already is what was asked for, or is not there to be removed
  kLastVoter,         // the last voter never leaves the configuration
  kTooMany,           // Configuration::kMembersMax
  kBadId,             // empty, or longer than Configuration::kIdBytesMax
};

struct MembershipResult {
  MembershipStatus status = MembershipStatus::kNotLeader;
  Term term;
  Index index;  // of the configuration entry, when accepted
};

enum class TransferStatus : uint8_t {
  kStarted,
  kNotLeader,
  kNoTarget,    // the target is no voter, is this server, or there is no other voter
  kInProgress,  // another transfer is under way
};

enum class ReadRequestStatus : uint8_t { kWaiting, kNotLeader, kBusy };

class Core {
 public:
  // REQUIRES: options.self is not empty; `restart` is consistent as its comments say.
  // `now` counts as the time of the last leader's word: no vote is given before the minimum
  // election timeout has gone by, since this server may have acknowledged a leader just before it
  // stopped.
  Core(Options options, Restart restart, Time now);

  // ---- Inputs. Each may change what TakeOutput gives. Time never goes back: an earlier `now`
  // counts as the latest one seen.

  // Time has passed. To be called at NextDeadline() or later; more often is harmless.
  void Tick(Time now);

  // A message came. Ones that make no sense (wrong addressee, malformed) are dropped.
  void Receive(Time now, Message message);

  // The first configuration of a new cluster, as entry 1 of term 1; the same on every server that
  // is given it. Returns false, and does nothing, when this server has any raft state already.
  bool Bootstrap(Time now, const Configuration& configuration);

  // Appends all of the batch, in order, or nothing. The driver batches: one call, one write.
  ProposeResult Propose(Time now, std::vector<Proposal> batch);

  // Everything handed out with ids up to `id` is durable.
  void Persisted(Time now, PersistId id);

  // The state machine has applied everything up to `index`.
  void Applied(Time now, Index index);

  // kWaiting is followed by exactly one ReadResult with this id, at once or later.
  ReadRequestStatus ReadRequest(Time now, ReadId id, ReadMode mode);

  // Of a leader: up to `index` nothing is kept from `peer`, neither the entries nor that they are
  // committed, which others may learn a little later. An unknown peer waits for nothing.
  void WantsCommit(const ServerId& peer, Index index);

  // Hands leadership to `target`, or with an empty one to the voter that is furthest on. Proposals
  // are refused meanwhile. Given up after the maximum election timeout.
  TransferStatus TransferLeadership(Time now, const ServerId& target);

  MembershipResult ChangeMembership(Time now, const MembershipChange& change);

  // The connection from `peer` broke, which its process' death does at once. Of a leader: ends the
  // wait for it early, for pre-votes only: real votes stay withheld for the minimum election
  // timeout since its word. Told to a leader: it may begin anew with less on its disk, so what it
  // has acknowledged commits nothing more until it answers what it is sent from now on.
  void StreamBroken(Time now, const ServerId& peer);

  // The answer to `request`.
  void EntriesLoaded(Time now, const LoadRequest& request, std::vector<Entry> entries);

  // This server's state machine wrote a snapshot and it is durable; the log on disk now begins at
  // `log_first`. REQUIRES: meta.index was applied; log_first <= meta.index + 1.
  void SnapshotTaken(Time now, const SnapshotMeta& meta, Index log_first);

  // The answer to `request`; nothing when that snapshot is gone.
  void SnapshotChunkLoaded(Time now, const SnapshotLoadRequest& request,
                           std::optional<Buffer> bytes);

  // The staged file of snapshot `id` now has `next_offset` bytes.
  void SnapshotChunkStored(Time now, std::string_view id, uint64_t next_offset);

  // The received snapshot is durable and is the state machine's state.
  void SnapshotInstalled(Time now, const SnapshotMeta& meta);

  // It was damaged or could not be stored: it is asked for anew from the beginning.
  void SnapshotRefused(Time now, std::string_view id);

  // ---- Outputs.

  // Everything that is to be done since the last call, which the caller now owes.
  Output TakeOutput();

  // When Tick is due next; Time::max() when only other inputs matter.
  Time NextDeadline() const;

  // ---- What is known. Valid after TakeOutput.

  Role role() const;
  Term term() const { return hard_state_.term; }
  const HardState& hard_state() const { return hard_state_; }
  // Term and vote are on the disk.
  bool hard_state_durable() const { return hard_state_persist_ <= persisted_; }
  ServerId leader() const;  // this server itself when it leads; empty: none known
  // Whether it has acknowledged something in `term`, since its start.
  bool has_acknowledged_in(Term term) const { return matched_term_ == term; }
  // Whether the newest configuration that it knows has this server.
  bool is_member() const { return configuration().configuration.Contains(options_.self); }
  Index commit_index() const { return commit_; }
  // The next entry to be committed, and those before it with it: of a leader, none before the first
  // one of its term.
  Index awaited_index() const;
  Index applied_index() const { return applied_; }
  Index last_index() const { return log_.last_index(); }
  Term last_term() const { return log_.last_term(); }
  Index durable_index() const { return durable_; }
  const LogTail& log() const { return log_; }
  const SnapshotMeta& snapshot() const { return snapshot_; }
  const Options& options() const { return options_; }

  // The configuration in effect: the latest in the log, committed or not.
  const PlacedConfiguration& configuration() const { return configurations_.back(); }
  // The one in effect at `index`, for a snapshot of the state there. REQUIRES: index >= snapshot
  // index.
  const PlacedConfiguration& ConfigurationAt(Index index) const;

  // Until when this leader may answer default reads from its applied state without asking anybody:
  // Time::max() for a sole voter, Time::min() when it may not at all (no leader, no entry of its
  // term applied, TimeoutNow sent). The driver publishes it before it sends Output::messages.
  Time LeaseUntil() const;

  // Leads and has applied an entry of its own term.
  bool LeadsAndAppliedOwnTerm() const;

  // Leads and is handing over: proposals are refused.
  bool transferring() const;

  // Leads, and the other voters that were heard not long ago and take what they are sent are a
  // majority without this server: whoever of them leads can go on writing.
  bool OthersCanCommit() const;

  // Leads, and nothing has been committed for Options::commit_wait_max though something waits for
  // it, nor has any voter come nearer to awaited_index() than it ever was: proposals are refused,
  // but no change of members, which may be what is missing.
  bool commit_stalled() const;

  // Whether consistent reads need nobody else: leader, sole voter, an entry of its term applied.
  bool CanReadAlone() const { return LeaseUntil() == Time::max(); }

  // When this server was last in contact with its cluster, while it does not lead: it heard a
  // leader, or led and heard a majority. The start of this server when it never was.
  Time contact_at() const { return std::max(leader_heard_at_, led_until_); }
  bool had_contact() const { return leader_heard_ || led_until_ != Time::min(); }

  // Of all members but this one, while leading; else empty.
  std::vector<MemberProgress> Members() const;

 private:
  struct PendingPersist {
    PersistId id;
    Index last;  // last log entry that is durable when this is
    Time at;     // when it was handed out
  };
  struct PendingApply {
    Index last;
    uint64_t bytes;
  };
  struct IncomingSnapshot {
    SnapshotMeta meta;
    uint64_t next_offset = 0;
    bool storing = false;     // a chunk is with the driver
    bool installing = false;  // the last one is
  };

  // core.cc: time, terms, roles, outputs.
  void Advance(Time now);
  PersistId pending_persist_id() const { return PersistId{persist_last_.value + 1}; }
  void SetHardState(Term term, ServerId voted_for);
  void Send(const ServerId& to, Term term, Body body, bool after_persist);
  void Say(FactKind kind, ServerId server = {}, uint64_t number = 0);
  void BecomeFollower(Term term, ServerId leader);
  void NoteRole();
  void FailReads();
  void Dispatch(Message& message);
  void AnswerOldTerm(const Message& message);
  void LeaderSpoke(const ServerId& leader);
  void EmitCommitted();
  void EmitReads();
  void AppendToLog(Entry entry);
  void TruncateLog(Index first);

  // election.cc: votes.
  Duration Scaled(Duration duration) const { return duration * options_.raft_multiplier; }
  Duration RandomBelow(Duration bound);
  void ArmElectionTimer();
  bool MayCampaign() const;
  bool SoleVoterMayCampaign() const;
  size_t VotersAmongGranted(const CandidateState& candidate) const;
  Time vote_free_at() const { return leader_heard_at_ + Scaled(options_.election_timeout_min); }
  void TickElection();
  void StartPreVote();
  void StartElection(ServerId handed_by);
  void AskForVotes();
  void HandleVoteRequest(const Message& message, const VoteRequest& request);
  void YieldTo(const ServerId& other, LogPosition last);
  void AnswerPreVote(const Message& message, const VoteRequest& request);
  void HandleVoteReply(const Message& message, const VoteReply& reply);
  void CountPreVotes();
  void CountVotes();
  void BecomeLeader(uint64_t tally);
  void HandleTimeoutNow(const Message& message);

  // replication.cc: entries from leader to follower.
  void HandleAppendRequest(const Message& message, AppendRequest& request);
  void HandleAppendReply(const Message& message, const AppendReply& reply);
  void TakeAck(const ServerId& from, Progress* peer, Index match, Round round);
  void Refuse(const Message& message, const AppendRequest& request);
  void PumpPeers();
  void PumpPeer(const ServerId& id, Progress& peer);
  bool HasRoom(const Progress& peer) const;
  bool KeepsUp(const Progress& peer) const;
  bool MayWait(const Progress& peer) const;
  bool IsNeeded(const ServerId& id, const Progress& peer) const;
  // After how long, and whether nothing is sent yet: the less, the sooner.
  using ExpectedAck = std::pair<Duration, bool>;
  ExpectedAck AckOf(const Progress& peer) const;
  ExpectedAck OwnAck() const;
  bool TellsOfItsRemoval() const;
  bool SendEntries(const ServerId& id, Progress& peer);
  void SendAppend(const ServerId& id, Progress& peer, std::vector<Entry> entries);
  void AdvanceCommit();
  void SetCommit(Index commit);
  void DropLeaving();

  // contact.cc: heartbeats, rounds, lease, reads, transfer.
  void TickLeader();
  void BeginRound();
  Time RoundOverdueAt() const;
  std::vector<ServerId> QuickestQuorum() const;
  void HandleHeartbeat(const Message& message, const Heartbeat& heartbeat);
  void HandleHeartbeatReply(const Message& message, const HeartbeatReply& reply);
  // All are asked at once, for the round that is returned: what is sent from now on is of that one
  // or of a later one.
  Round AskAll();
  Heartbeat HeartbeatFor(const Progress& peer) const;
  void Heard(const ServerId& from, Round round);
  void CountRounds();
  void PumpReads();
  void PumpTransfer();
  void StepDownIfRemoved();
  Progress* FindPeer(const ServerId& id);
  void CameNearer(const ServerId& id, Index before, Index now);
  Duration PatienceWith(const Progress& peer) const;
  bool IsStuck(const Progress& peer) const;
  bool IsHeard(const Progress& peer) const {
    return now_ < peer.heard_at() + Scaled(options_.election_timeout_max);
  }
  ServerId BestTransferTarget() const;

  // membership.cc.
  void ConfigurationAppended(const Entry& entry);
  void SyncPeers();

  // snapshots.cc.
  void StartSnapshotTransfer(const ServerId& id, Progress& peer);
  void PumpSnapshot(const ServerId& id, Progress& peer);
  void HandleSnapshotChunk(const Message& message, SnapshotChunk& chunk);
  void HandleSnapshotReply(const Message& message, const SnapshotReply& reply);
  void WaitForOther(const SnapshotReply& reply, Progress* peer);

  const Options options_;
  Time now_;
  uint64_t random_state_;

  HardState hard_state_;
  LogTail log_;
  SnapshotMeta snapshot_;
  std::vector<PlacedConfiguration> configurations_;  // ascending; the last one is in effect

  Index commit_;
  Index emitted_;  // handed out in Output::committed
  Index applied_;
  std::deque<PendingApply> applying_;
  uint64_t applying_bytes_ = 0;
  bool apply_loading_ = false;

  PersistId persist_last_;        // the newest id handed out
  PersistId persisted_;           // the newest id reported durable
  PersistId hard_state_persist_;  // the id that covers hard_state_
  std::deque<PendingPersist> persisting_;
  SmoothedTime write_time_;
  Index durable_;

  std::variant<FollowerState, CandidateState, LeaderState> state_;
  RoleChange noted_;  // the last role told to the driver
  Time election_deadline_;
  Time leader_heard_at_;
  bool leader_heard_ = false;   // since the start
  // A majority was heard, by this server as the leader that it no longer is.
  Time led_until_ = Time::min();
  bool stream_broken_ = false;  // since the leader's last word
  Term matched_term_;  // in which it acknowledged something last, since the start
  std::optional<IncomingSnapshot> incoming_;

  Output output_;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_CORE_CORE_H_
