// tests/sim/cluster/sim_calls.h
//
// The calls of clients that one server is answering, from any server: writes go into the leader's
// log, reads wait until this server's own state is as new as they need, blocking reads wait for a
// change. A server that does not lead uses raft::ProposalForwarder and raft::ReadBarriers, the very
// ones of raft::Node. What else a driver has to keep to:
//
//   - A leader answers a default read at once while its lease holds, but from a state that has
//     everything committed: another server may have applied, and acknowledged, what this one has
//     not applied yet.
//   - A write whose leader was lost is of unknown outcome, never refused.
//
// Threads: none; a server owns it for one life of its process.
// Background: services/raft/README.md (Servers that do not lead).
#ifndef CONSUL_TESTS_SIM_CLUSTER_SIM_CALLS_H_
#define CONSUL_TESTS_SIM_CLUSTER_SIM_CALLS_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/raft/core/core.h"
#include "services/raft/core/message.h"
#include "services/raft/proposal_forwarder.h"
#include "services/raft/read_barriers.h"
#include "services/raft/waiter.h"
#include "services/server/replicated_state.h"
#include "tests/sim/cluster/cluster_checks.h"
#include "tests/sim/cluster/sim_disk.h"
#include "tests/sim/cluster/sim_options.h"
#include "tests/sim/cluster/sim_world.h"

namespace consul::sim {

enum class Consistency : uint8_t { kDefault, kConsistent, kStale };

// A write when `command` is there, else a read of `key`, or of all under it.
struct Request {
  std::optional<std::string> command;
  std::string key;
  bool recurse = false;
  Consistency consistency = Consistency::kDefault;
  uint64_t index = 0;  // answer only when the index is above this, or after `wait`
  Duration wait{0};
};

struct Answer {
  enum class Outcome : uint8_t {
    kDone,
    kRefused,  // it has had no effect, and will have none
    kUnknown,
  };
  Outcome outcome = Outcome::kUnknown;
  bool applied = false;    // of a write: its cas matched
  KvAnswer kv;             // of a read
  bool in_vain = false;    // of a read that waited: nothing changed
};

class SimCalls {
 public:
  // What it uses of its server.
  struct Server {
    raft::ServerId id;
    uint64_t life = 0;  // one of a kind in the whole run
    raft::Core* core = nullptr;
    SimDisk* disk = nullptr;
    std::function<raft::Time()> now;
    std::function<raft::ServerView()> view;
    std::function<void(raft::Message)> send;
    std::function<void(Duration, std::function<void()>)> after;
  };

  SimCalls(ClusterChecks* checks, const SimOptions& options, Server server,
           server::ReplicatedState* state);
  // Whoever waits is told nothing: the connection breaks.
  ~SimCalls();

  void Begin(Request request, std::function<void(const Answer&)> done);

  // One of the four messages between drivers; false when it is none.
  bool Receive(const raft::Message& message);
  void OnReadResult(const raft::ReadResult& result);
  void OnRoleChange(const raft::RoleChange& change);
  // Nothing more comes from `peer` of what it may have sent.
  void OnStreamBroken(const raft::ServerId& peer) { forwarder_.StreamBroken(peer); }
  // `entries` go to the state machine.
  void OnCommitted(const std::vector<raft::Entry>& entries);
  void OnApplied(const std::vector<raft::Entry>& entries,
                 const std::vector<raft::ApplyResult>& results);
  // The state at `index` has taken the place of the one before.
  void OnInstalled(raft::Index index);
  // Asks the leader what is to be asked, gives up what waited too long. After each step, and at
  // NextDeadline().
  void AskLeader();
  raft::Time NextDeadline() const {
    return std::min(forwarder_.NextDeadline(), barriers_.NextDeadline());
  }

 private:
  struct Call;
  class CallWaiter;
  using CallPtr = std::shared_ptr<Call>;
  struct Asker {  // another server, and its number of the question
    raft::ServerId from;
    raft::ReadId id;
  };

  void Finish(const CallPtr& call, Answer answer);
  void FinishAs(const CallPtr& call, Answer::Outcome outcome);
  raft::ReadId NextReadId() { return raft::ReadId{(server_.life << 32) + ++numbers_}; }
  raft::Index applied() const { return server_.core->applied_index(); }

  void Write(const CallPtr& call);
  void Written(const CallPtr& call, const absl::StatusOr<raft::Applied>& applied);
  std::optional<raft::ProposeResult> Propose(const std::vector<raft::Buffer>& commands,
                                             raft::ForwardStatus* refused);
  void OnForwarded(const raft::Message& message, const raft::ForwardedProposals& forwarded);

  void Barrier(const CallPtr& call);
  bool MayReadAtOnce(raft::ReadMode mode) const;
  void OnReadIndexRequest(const raft::Message& message, const raft::ReadIndexRequest& request);
  void FlushAnswers();

  void Read(const CallPtr& call);
  KvAnswer ReadState(const Request& request, state::WatchSet* watch) const;
  void Park(const CallPtr& call, const state::WatchSet& watch);
  void Unpark(CallPtr call);  // a copy: that of parked_ goes
  void WakeUp();
  void CheckWaiting();

  ClusterChecks* const checks_;
  const SimOptions& options_;
  const Server server_;
  server::ReplicatedState* const state_;
  bool leads_ = false;
  uint64_t numbers_ = 0;
  std::map<uint64_t, CallPtr> calls_;  // not answered yet

  raft::ProposalForwarder forwarder_;
  raft::ReadBarriers barriers_;
  std::deque<raft::Waiter> waiters_;  // for uncommitted entries of this leader, ascending
  std::multimap<raft::Index, raft::Waiter> applying_;  // for entries on their way to be applied
  std::map<raft::ReadId, CallPtr> reads_;  // at this leader's core
  std::map<raft::ReadId, Asker> asked_;    // the same, of other servers

  std::map<uint64_t, CallPtr> parked_;
  std::vector<uint64_t> woken_;
};

}  // namespace consul::sim

#endif  // CONSUL_TESTS_SIM_CLUSTER_SIM_CALLS_H_
