// services/rpc/consensus.h
//
// What the machinery of calls has to know of consensus: who leads, whether this server may answer,
// and how a command gets into the log.
//
// Threads: any.
#ifndef CONSUL_SERVICES_RPC_CONSENSUS_H_
#define CONSUL_SERVICES_RPC_CONSENSUS_H_

#include <chrono>
#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/state/sealed_command.h"

namespace consul::rpc {

// What a command did, told when it is applied on this server.
struct Applied {
  // Of the log entry.
  uint64_t index = 0;
  // The command's own answer: false where its condition did not hold and nothing changed.
  bool changed = false;
};

// How sure a read is that nobody has written behind its back.
enum class ReadMode : uint8_t {
  kDefault,     // the leader's lease vouches for it
  kConsistent,  // a quorum confirms the leader after the read came
};

class Consensus {
 public:
  struct View {
    // There is a leader, this server or one that it hears: what Propose and ReadBarrier are given
    // has somewhere to go.
    bool has_leader = false;
    // This server leads and has applied an entry of its own term: a leader's duties are its own.
    bool leads = false;
    // It leads, and until its lease ends answers default reads without a barrier.
    bool leased = false;
    // It leads and is the only voter: a consistent read needs no barrier either.
    bool alone = false;
    // The others go on without this server, under a leader that it knows: it is told nothing any
    // more, and only he can answer.
    bool removed = false;
    // Somebody leads, even if he is not ready yet.
    bool leader_known = false;
    // Since this server heard a leader, or as one a majority; 0 on the leader.
    std::chrono::milliseconds last_contact{0};
  };

  virtual ~Consensus() = default;

  // Cheap enough for every call: no lock.
  virtual View view() const = 0;

  // Puts a command into the log, through the leader where this server is not it. `done` runs once
  // it is applied on this server, or earlier with an error: REASON_NO_LEADER (it is not in the
  // log), REASON_CLUSTER_TOO_OLD (nor is what needs a later version than the cluster's),
  // REASON_OUTCOME_UNKNOWN, REASON_OVERLOADED, REASON_DISK_FULL, ABORTED without a reason (the
  // leader's majority does not write, and nothing was done), or the state machine's own refusal. On
  // any thread; it must be short.
  virtual void Propose(state::SealedCommand command,
                       std::function<void(absl::StatusOr<Applied>)> done) = 0;

  // Tells when a read begun now may be answered from this server's current version and be
  // linearizable: inside the call, or later on any thread. REASON_NO_LEADER: nobody
  // could vouch for it; it may be asked again.
  virtual void ReadBarrier(ReadMode mode, std::function<void(absl::Status)> done) = 0;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_CONSENSUS_H_
