// services/raft/node_impl.h
//
// The one Node: what its threads share and what belongs to which. node.cc has what other threads
// call, node_turn.cc who works on Core and when, node_loop.cc what is done with what Core wants,
// node_requests.cc what is done for callers of this server and for servers that do not lead,
// node_room.cc what becomes of both while a disk is full.
//
// Threads: as services/raft/node.h says.
#ifndef CONSUL_SERVICES_RAFT_NODE_IMPL_H_
#define CONSUL_SERVICES_RAFT_NODE_IMPL_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "services/base/lending.h"
#include "services/base/metrics.h"
#include "services/base/mutex.h"
#include "services/raft/apply_thread.h"
#include "services/raft/core/core.h"
#include "services/raft/log_disk.h"
#include "services/raft/metrics.h"
#include "services/raft/node.h"
#include "services/raft/node_recovery.h"
#include "services/raft/node_view.h"
#include "services/raft/peer_words.h"
#include "services/raft/proposal_forwarder.h"
#include "services/raft/read_barriers.h"
#include "services/raft/snapshot_transfers.h"
#include "services/raft/snapshotter.h"
#include "services/raft/waiter.h"

namespace consul::raft {

// Who waits for what this server has proposed while it led in `term`.
struct OwnWaiter {
  Term term;
  Time at;  // when it was proposed
  Waiter waiter;
};

class NodeImpl final : public Node {
 public:
  NodeImpl(NodeOptions options, StateMachine* state_machine, RecoveredNode recovered);
  ~NodeImpl() override { Stop(); }

  // Says what role it wakes up in. Before Start.
  void WakeUp();
  const Core& core() const { return core_; }

  void Start() override;
  void Propose(Buffer command, std::optional<Term> term, ProposeCallback callback) override;
  void ReadBarrier(ReadMode mode, ReadCallback callback) override;
  void Receive(Message message) override;
  void StreamBroken(ServerId peer) override;
  void Bootstrap(Configuration configuration, ChangeCallback done) override;
  void ChangeMembership(MembershipChange change, ChangeCallback done) override;
  void TransferLeadership(ServerId target, ChangeCallback done) override;
  std::vector<MemberProgress> Members() const override { return view_.members(); }
  NodeStatus status() const override { return view_.status(apply_.applied()); }
  Leader leader() const override;
  PlacedConfiguration configuration() const override { return view_.configuration(); }
  std::map<std::string, std::string> Stats() const override;
  void Stop() override;

 private:
  struct Read {
    ReadMode mode = ReadMode::kReadIndex;
    ReadCallback callback;
  };
  // What an operator or autopilot wants of the cluster.
  struct TransferOrder {
    ServerId target;
  };
  struct Order {
    std::variant<Configuration, MembershipChange, TransferOrder> what;  // Configuration: bootstrap
    ChangeCallback done;
  };
  // Commands of a server that does not lead.
  struct ForwardedBatch {
    ServerId from;
    ForwardedProposals body;
    uint64_t records_bytes = 0;
  };
  // Whose read it is that Core was asked for: of a caller here, or of another server.
  struct RemoteRead {
    ServerId from;
    ReadId id;
  };
  using ReadOwner = std::variant<ReadCallback, RemoteRead>;
  // A leader's commands that found no room.
  struct Refusal {
    uint64_t bytes = 0;
    Term term;          // of the leader
    LogPosition first;  // of the request's entries, that was new
    LogPosition last;
  };
  struct PendingChange {
    Index index;
    Term term;
    Time at;
    ChangeCallback done;
  };

  // What is to be worked on in the next turn.
  struct Inbox {
    std::vector<Proposed> proposals;
    std::vector<Read> reads;
    std::vector<Order> orders;
    std::vector<Message> messages;
    std::vector<ServerId> broken;
    uint64_t messages_bytes = 0;
    bool disk_spoke = false;
    bool woken = false;  // for snapshots: the thread `raft` alone steps them
    std::array<bool, 2> reads_of{};  // by ReadMode: there are some
    // There is more than reads, which may wait for a question that is under way...
    bool urgent() const { return woken || urgent_for_anybody(); }
    // ... and than what only the thread `raft` sees to.
    bool urgent_for_anybody() const {
      return !proposals.empty() || !orders.empty() || !messages.empty() || !broken.empty() ||
             disk_spoke;
    }
  };
  // What the last turn left: when the next one is due.
  struct Due {
    Time at = Time::max();
    bool at_once = false;
    bool when_applied = false;  // more
    // The next turn may be taken by whoever brings something.
    bool anybody = false;
    // The same for who proposes or reads: nothing is under way that more would have to wait for, or
    // could share the way with.
    bool quiet = false;
    // By ReadMode: a question is under way, so that a read that comes need wake nobody: the turn
    // that brings the answer, or gives it up, takes up all that have come.
    std::array<bool, 2> asking{};
  };

  // On any thread.
  void Give(Order order);
  void Wake();
  void DiskSpoke(bool idle);
  std::string AddressOf(const ServerId& id) const;
  void Log(LogLevel level, std::string_view text) const {
    if (options_.log) options_.log(level, text);
  }

  // On the apply thread.
  void OnApplied(uint64_t bytes);

  // Turns.
  void Run();
  bool WaitForTurn(Inbox* inbox);
  bool IsDueLocked() const REQUIRES_LOCK(mutex_);
  bool HasDueReadsLocked() const REQUIRES_LOCK(mutex_);
  bool TakeTurnLocked(Inbox* inbox) REQUIRES_LOCK(mutex_);
  bool TakeQuietTurnLocked(Inbox* inbox) REQUIRES_LOCK(mutex_) {
    return due_.quiet && TakeTurnLocked(inbox);
  }
  // Whether the thread `raft` is to be woken: whoever has the turn looks into the inbox at its end.
  bool WakeLocked() const REQUIRES_LOCK(mutex_) { return !turn_taken_ && sleeping_; }
  // Who has the turn, but for the thread `raft`, and brought something for it.
  enum class Bringer : uint8_t { kCaller, kPeer, kDisk };
  void WorkHere(Inbox inbox, Bringer bringer);
  void Work(Inbox* inbox, base::Borrower* borrower, bool on_raft_thread);
  bool LetReadersGoOn(Time now, base::Borrower* borrower, Inbox* inbox);
  bool EndTurn(Inbox* next);
  bool WantsProgress() const;
  Time WakeAt() const;

  // In a turn: the loop around Core.
  void TakeInbox(Time now, Inbox* inbox);
  void Pump();
  void Handle(Output* output);
  void Send(const ServerId& to, Body body);
  void Send(Message message);
  void SendAll(std::vector<Message> messages);
  void Say(const Output& output);
  void SayFact(const Fact& fact);
  void SayPeers();
  void LeadershipLost();
  void HandCommitted(std::vector<Entry> entries);
  void TakeOrders(Time now);
  bool TakeDisk();
  void TakeEvent(LogDisk::Written written);
  void TakeEvent(LogDisk::Full full);
  void TakeEvent(LogDisk::Loaded loaded);
  void TakeEvent(LogDisk::Dropped dropped);
  void TakeEvent(LogDisk::Failed failed) { Fail(failed.why); }
  void SendDurable();
  bool IsOnlyMember() const;
  void MeasureContact(Time now);
  void SayRefusal(Time now, const Message& message);
  void KeepDisk(Time now);
  void StepTransfers(Time now);
  void OnInstalled(Index index);
  void Fail(const absl::Status& why);
  void Publish();
  void AnswerAll(Inbox inbox);

  // Its callers.
  void Deliver(Time now, Message message);
  void Accept(const ServerId& from, ForwardedProposals body);
  void TakeProposals();
  void ProposeBatch(std::vector<Proposed> batch);
  void ForwardProposals();
  void TakeForwarded();
  void ProposeForwarded(ForwardedBatch batch, const absl::Status& room);
  void TakeReads(Time now, std::vector<Read> reads);
  void AskCore(Time now, ReadMode mode, ReadOwner owner);
  void AnswerRead(ReadOwner owner, ReadStatus status, Index index);
  bool TakeOrder(Time now, Order* order);
  bool ChangeMembers(Time now, const MembershipChange& change, ChangeCallback* done);
  void AnswerChanges(const std::vector<Entry>& entries);
  void Transfer(Time now, const ServerId& target, ChangeCallback done);
  void AskLeader(Time now);
  void AnswerBarriers(Time now);
  void FlushAnswers();
  void Refuse(std::vector<Proposed>* batch, const absl::Status& why);
  void DropProposal(const absl::Status& why);
  void DropWaiters(const absl::Status& why);

  // Room on the disk.
  // Commands leave this much of a segment, so that votes and a leader's first entry still find room
  // on a full disk. An election takes 136 bytes of it on each server that votes.
  static constexpr uint64_t kReservedForVotesBytes = 4096;
  // So much is left to elections that nobody chose: to hand on costs one, and changes of members,
  // which may be what helps, take of the rest.
  static constexpr uint64_t kReservedForElectionsBytes = kReservedForVotesBytes / 2;
  std::optional<absl::Status> MakeRoom(uint64_t records_bytes, uint64_t reserve);
  bool MakesRoom() const { return disk_.reserving() || snapshotter_.giving_back(); }
  // Somebody waits until it is made; it may be for later only, and what waits be next.
  bool WaitsForRoom() const { return asked_in_vain_ && MakesRoom(); }
  bool HandOnFor(const absl::Status& full);
  bool IsNew(const Entry& entry) const;
  uint64_t NewBytesOf(const AppendRequest& request) const;
  Refusal RefusalOf(Term term, const AppendRequest& request) const;
  bool Admits(Message* message);
  bool SaysWhatItHas(Message* message);
  void TakeHeld(Time now);
  void SayFull(const absl::Status& why);
  bool IsRefusalOver() const;
  Index LastTaken() const;
  void HasRoomAgain();
  void RetryFullDisk(Time now);
  Time RetryFullDiskAt() const;
  std::string WordNoMajority() const;
  void GiveUpStalled(Time now);

  const NodeOptions options_;
  const std::unique_ptr<base::Metrics> unseen_metrics_;  // where the options name none
  base::Metrics* const all_metrics_;

  // Of whoever has the turn.
  Core core_;
  Index handed_;        // to the state machine
  Index told_applied_;  // to core_
  std::deque<OwnWaiter> waiters_;  // for uncommitted entries of this leader, ascending
  std::unordered_map<uint64_t, ReadOwner> reads_;
  uint64_t read_last_ = 0;
  std::deque<Proposed> proposals_;  // taken from the inbox, not yet proposed or passed on
  std::deque<ForwardedBatch> forwarded_;  // of other servers, not yet proposed
  uint64_t forwarded_bytes_ = 0;
  ProposalForwarder forwarder_;
  ReadBarriers barriers_;
  std::deque<PendingChange> changes_;  // of this leader, not yet committed
  std::vector<ChangeCallback> bootstraps_;
  ChangeCallback transfer_;
  std::deque<Order> orders_;  // taken from the inbox, not yet carried out
  // Messages that wait for what they promise; ascending.
  struct DurableMessage {
    PersistId wait_for;
    Message message;
  };
  std::deque<DurableMessage> after_persist_;
  PersistId persisted_;
  bool failed_ = false;  // of the disk: nothing more may be promised
  uint64_t short_of_bytes_ = 0;  // the most for which there was no room since there was some
  // Why this server takes no commands of its leader, or its disk nothing at all. OK: it does.
  absl::Status disk_full_;
  absl::Status full_why_;  // the same as the disk said it
  bool blocked_ = false;          // the disk takes nothing
  std::optional<Time> write_at_;  // then it is tried again
  std::optional<Refusal> refused_;
  Time room_at_;                  // when there is looked for room for as many as were refused
  bool asked_in_vain_ = false;    // in this turn, for room that is being made
  uint64_t admitted_bytes_ = 0;   // found room, and are not in an output yet
  std::deque<Message> held_;      // requests of a leader, while room is made for the first
  Time hand_on_at_;               // from then on a leader that is full may hand on again
  Duration hand_on_pause_ = options_.hand_on_pause;
  bool said_stalled_ = false;
  std::optional<Time> settle_at_;
  RoleChange role_;
  std::string said_role_;
  std::set<ServerId> said_peers_;
  PeerWords peer_words_{options_.core.election_timeout_min * options_.core.raft_multiplier};
  RaftMetrics metrics_;
  Time contact_at_;  // when it is measured next

  // Between threads.
  base::Mutex mutex_;
  base::CondVar wake_;
  Inbox inbox_ GUARDED_BY(mutex_);
  bool turn_taken_ GUARDED_BY(mutex_) = true;  // until the thread `raft` has had the first
  Due due_ GUARDED_BY(mutex_);
  bool sleeping_ GUARDED_BY(mutex_) = false;  // the thread `raft`; it says so itself
  Time sleeping_until_ GUARDED_BY(mutex_);
  bool applied_more_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::atomic<uint64_t> pending_bytes_{0};

  NodeView view_;
  LogDisk disk_;
  Snapshotter snapshotter_;
  SnapshotTransfers transfers_;
  ApplyThread apply_;
  std::thread thread_;
};

absl::Status StoppedStatus();
// Of what is in no log, nor on its way to one.
absl::Status TooLateStatus();
// Of a command that was proposed by a leader which lost its lead.
absl::Status LostStatus();
// That this server's disk is full, for callers; `why` is what the disk said.
absl::Status FullDisk(const absl::Status& why);

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_NODE_IMPL_H_
