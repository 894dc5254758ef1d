// services/raft/proposal_forwarder.h
//
// What a server that does not lead keeps of the commands that it passed on to the leader. A command
// goes through two waits: for the leader's word where it stands (index and term), then for this
// server's own log to hand out that index. The same term there means that the command is applied;
// another one that it never will be. Where neither can be told any more its outcome is unknown, and
// it is never passed on a second time.
//
// Threads: pure, of whoever has the turn at Core; time is an argument. Owes the callbacks that it
// holds.
// Background: services/raft/README.md (Servers that do not lead).
#ifndef CONSUL_SERVICES_RAFT_PROPOSAL_FORWARDER_H_
#define CONSUL_SERVICES_RAFT_PROPOSAL_FORWARDER_H_

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "services/raft/core/message.h"
#include "services/raft/core/types.h"
#include "services/raft/waiter.h"

namespace consul::raft {

// From when a command was passed on until it is given up as unknown. Shorter than the 7 s for which
// callers hold a call through an election, so that they hear the truth and not a timeout.
inline constexpr Duration kForwardedWaitMax = std::chrono::seconds(5);
// The same where the leader has said where it stands, as long as this server's log goes on towards
// that place at least once in kForwardedWaitMax: it only lags. Shorter, even with those 7 s before
// it, than the 30 s that a client agent gives a server (services/rpc/forward_backend.h).
inline constexpr Duration kPlacedWaitMax = std::chrono::seconds(20);
static_assert(kForwardedWaitMax < kPlacedWaitMax);
// From when it is known that the leader to whom it was passed on leads no more. It says what became
// of it, if it lives: most of what is under way while leadership is handed over comes too late.
inline constexpr Duration kFormerLeaderWaitMax = std::chrono::milliseconds(500);
static_assert(kFormerLeaderWaitMax < kForwardedWaitMax);

class ProposalForwarder {
 public:
  // `handed` is the last entry of the state machine. Numbers begin behind `id_seed`, which no other
  // life of this server used: answers to that one may still be under way.
  ProposalForwarder(Index handed, uint64_t id_seed) : handed_(handed), next_id_(id_seed + 1) {}

  // Passes `batch` on to `leader`, which leads `term`: the message's body.
  // REQUIRES: not empty.
  ForwardedProposals Forward(Time now, const ServerId& leader, Term term,
                             std::vector<Proposed> batch);

  // The leader's answer. `term_at` gives the term of an entry of this server's log, nothing where
  // the log no longer or not yet has it.
  void Placed(const ServerId& from, Term term, const ProposalsPlaced& placed,
              const std::function<std::optional<Term>(Index)>& term_at);

  // `entries` go to the state machine now: those who wait for one of them are added to `waiters`.
  // REQUIRES: not empty; they follow those of the last call, or an installed snapshot.
  void Committed(Time now, std::span<const Entry> entries, std::vector<Waiter>* waiters);
  // The state machine's state was replaced by that at `index`.
  void SnapshotInstalled(Time now, Index index);

  // This server's term and leader are these now; an empty leader is silent, perhaps not lost.
  void LeaderIs(Time now, Term term, const ServerId& leader);
  // Nothing more comes from `peer` of what it may have sent.
  void StreamBroken(const ServerId& peer);
  // Gives up what waited too long. Due at NextDeadline().
  void Expire(Time now);
  Time NextDeadline() const { return empty() ? Time::max() : expire_at_; }
  void RefuseAll(const absl::Status& why);

  // Whose answers became known, each once.
  std::vector<RefusedProposal> TakeRefused();

  bool empty() const { return batches_.empty() && placed_.empty(); }

 private:
  // Passed on; the leader has not said where it stands.
  struct Batch {
    uint64_t first_id = 0;
    ServerId leader;
    Term term;
    Time deadline;
    std::vector<Proposed> commands;
    // Since the leader leads no more: for how long its word is waited for.
    Time word_until = Time::max();
    Time end() const { return std::min(deadline, word_until); }
  };
  // Stands at an index of some leader's log.
  struct PlacedCommand {
    Term term;
    Time deadline;
    uint64_t bytes = 0;
    ProposeCallback callback;
  };

  // When it is given up.
  Time EndOf(const PlacedCommand& command) const;
  void Place(Index index, Term term, Time deadline, Proposed command,
             const std::function<std::optional<Term>(Index)>& term_at);
  void Refuse(Proposed command, const absl::Status& why);
  void RefuseBatch(Batch batch, const absl::Status& why);
  // Refuses the batches of which `gone` is true.
  void RefuseBatchesIf(const std::function<bool(const Batch&)>& gone, const absl::Status& why);
  void RefusePlacedIf(const std::function<bool(Index, const PlacedCommand&)>& gone,
                      const absl::Status& why);

  Index handed_;
  Time progressed_at_;  // when it moved last
  Term handed_term_;
  uint64_t next_id_;
  std::deque<Batch> batches_;
  std::multimap<Index, PlacedCommand> placed_;  // two leaders may have named one index
  Time expire_at_ = Time::max();                // not later than the first deadline
  std::vector<RefusedProposal> refused_;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_PROPOSAL_FORWARDER_H_
