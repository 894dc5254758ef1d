// services/raft/core/core_state.h
//
// What a server knows only as long as it has one role. raft::Core holds exactly one of these at a
// time; leaving a role forgets it whole.
//
// Threads: pure value types; raft::Core owns them.
// Background: services/raft/README.md (Roles).
#ifndef CONSUL_SERVICES_RAFT_CORE_CORE_STATE_H_
#define CONSUL_SERVICES_RAFT_CORE_CORE_STATE_H_

#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "services/raft/core/output.h"
#include "services/raft/core/progress.h"
#include "services/raft/core/types.h"

namespace consul::raft {

struct FollowerState {
  ServerId leader;  // empty: none known
};

struct CandidateState {
  bool pre_vote = true;
  ServerId handed_by;  // who sent the TimeoutNow; empty: nobody did
  // Who said yes, and from when its real vote can be had (pre-votes only; else the start).
  std::map<ServerId, Time> granted;
  // A real candidate's own vote counts once it is durable.
  PersistId vote_durable_at;
  // Granted a pre-vote to a better candidate, and lets it go first.
  bool yields = false;
  // Pre-votes are won, and the withheld votes come free at this time.
  std::optional<Time> campaign_at;
};

struct LeaderState {
  struct StartedRound {
    Round round;
    Time at;
  };
  struct WaitingRead {
    ReadId id;
    Index index;                 // to be applied before the answer
    std::optional<Round> round;  // to be heard of by a quorum; nothing: not yet begun
  };
  struct UncommittedBatch {
    Index last;
    uint64_t bytes;
  };

  Index first_index;  // of this term: its no-op
  std::map<ServerId, Progress> peers;  // all members but this server, and those leaving

  Round round;                       // the newest begun
  std::deque<StartedRound> rounds;   // begun and not heard of by a quorum
  Time quorum_heard_at;              // a quorum was in contact at (or after) this time
  std::optional<Time> lease_from;    // the same, proven by acks: being elected gives no lease
  bool broadcast_due = true;
  Round broadcast;  // the newest that all peers were asked for
  Time heartbeat_at;

  std::deque<WaitingRead> reads;      // leadership at their arrival is not proven yet
  std::deque<WaitingRead> confirmed;  // it is; only Applied is awaited
  std::deque<UncommittedBatch> uncommitted;
  uint64_t uncommitted_bytes = 0;
  // While there is an entry that is not committed: when a voter last came nearer to the one that is
  // awaited (Core::awaited_index).
  Time commit_awaited_since;

  bool lease_ended = false;  // a TimeoutNow may be under way in this term
  bool timeout_now_sent = false;
  ServerId transfer_target;  // empty: none
  Time transfer_deadline;
  // Who gave this server the lead, or could not take it over: chosen last. Empty: none.
  ServerId transfer_last;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_CORE_CORE_STATE_H_
