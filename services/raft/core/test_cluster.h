// services/raft/core/test_cluster.h
//
// Servers in memory: real cores, disks that forget what was not written, machines that apply, and a
// wire whose messages a test delivers, loses, repeats or reorders. After every step the Invariants
// look at all of it. The clock is one number.
//
// Threads: none; a test owns it.
// Background: services/raft/README.md (Tests).
#ifndef CONSUL_SERVICES_RAFT_CORE_TEST_CLUSTER_H_
#define CONSUL_SERVICES_RAFT_CORE_TEST_CLUSTER_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "services/raft/core/core.h"
#include "services/raft/core/invariants.h"

namespace consul::raft {

inline ServerId Id(std::string_view name) { return ServerId{std::string(name)}; }
inline Duration Ms(int64_t count) { return std::chrono::milliseconds(count); }

class TestCluster {
 public:
  struct Write {
    Persist persist;
    std::vector<Message> then;  // messages that wait for it
  };

  struct Server {
    ServerId id;
    Options options;
    std::unique_ptr<Core> core;  // null while down
    DurableState disk;
    std::string snapshot_bytes;  // of disk.snapshot
    std::deque<Write> writes;    // handed to the disk, not durable yet
    bool hold_writes = false;    // writes wait for FinishWrite
    bool hold_apply = false;     // entries wait for ApplyAll
    std::deque<Entry> to_apply;
    std::map<uint64_t, std::string> machine;  // payload of each command applied, by index
    std::string staged;                       // of an incoming snapshot
    std::vector<ReadResult> reads;
    std::vector<RoleChange> role_changes;
    std::vector<Fact> facts;
    size_t loads_count = 0;

    bool up() const { return core != nullptr; }
    bool Said(FactKind kind) const;
  };

  // All servers are up; the voters and learners form the bootstrap configuration, `spares` know
  // nothing. `base` gives the options but for self and seed.
  struct Members {
    std::vector<std::string> voters;
    std::vector<std::string> learners = {};
    std::vector<std::string> spares = {};
  };
  explicit TestCluster(const Members& members, uint64_t seed = 1,
                       const Options& base = TellsAtOnce());
  // Followers learn what is committed without a delay, so that a test need not wait for it.
  static Options TellsAtOnce() {
    Options options;
    options.spare_delay = Duration{0};
    return options;
  }

  Server& at(std::string_view name) { return servers_.at(Id(name)); }
  Core& core(std::string_view name) { return *at(name).core; }
  std::map<ServerId, Server>& servers() { return servers_; }
  Time now() const { return now_; }
  Invariants& invariants() { return invariants_; }
  // Empty, or which invariant broke, with the last lines of the trace.
  std::string Broken() const;

  // ---- Time.
  // Moves the clock and ticks every server that is due; nothing is delivered.
  void Advance(Duration duration);
  // Steps of `step`, with everything delivered after each.
  void Run(Duration duration, Duration step = Ms(5));
  // Moves the clock to `name`'s deadline and ticks it alone: its election starts.
  void Expire(std::string_view name);

  // ---- The wire. Messages stand in the order they were sent.
  std::deque<Message>& wire() { return wire_; }
  // Delivers the message at `position`, unless its way is cut or its addressee down.
  void Deliver(size_t position, bool keep_copy = false);
  void Lose(size_t position) { wire_.erase(wire_.begin() + static_cast<ptrdiff_t>(position)); }
  // Delivers until the wire is empty. Stops after `messages_max`.
  void Settle(size_t messages_max = 100'000);
  void Cut(std::string_view from, std::string_view to);  // one way
  void CutOff(std::string_view name);                    // both ways, from everybody
  void Heal();

  // ---- Servers.
  void Crash(std::string_view name, size_t writes_that_reach_the_disk = 0,
             size_t entries_of_the_next = 0);
  void Restart(std::string_view name);
  // Takes outputs until there are none. Every change of a core from outside is followed by this.
  void Pump(Server& server);
  void FinishWrite(Server& server);
  void ReleaseWrites(std::string_view name);
  void ApplyAll(Server& server);
  // Writes a snapshot of the machine and cuts the log, keeping the last `keep` entries before it.
  void TakeSnapshot(std::string_view name, uint64_t keep = 0);

  // ---- Shorthand for tests.
  // Elects `name`, without faults. Ends the wait of the others first.
  void Elect(std::string_view name);
  std::string leader() const;  // of the highest term; empty: none
  ProposeResult Propose(std::string_view name, std::string payload);
  ReadRequestStatus Read(std::string_view name, uint64_t id, ReadMode mode);
  MembershipResult Change(std::string_view name, MembershipChange::Kind kind, std::string_view id);
  // What was handed to the disk: "1/1 (a b) 2/2 noop 2/3 x".
  std::string Log(std::string_view name);

  // Lines of what happened since the last call.
  std::string TakeTrace() { return std::exchange(trace_, std::string()); }
  void set_tail_entries_max(size_t count) { tail_entries_max_ = count; }

 private:
  void Act(Server& server, Output output);
  void SendAll(Server& server, std::vector<Message>& messages);
  void ApplyNow(Server& server, const Entry& entry);
  void ServeLoads(Server& server, Output& output);
  void Store(Server& server, SnapshotStore& store);
  void Trace(const ServerId& id, const std::string& line);
  void CheckInvariants();

  std::map<ServerId, Server> servers_;
  std::deque<Message> wire_;
  std::set<std::pair<ServerId, ServerId>> cut_;
  Time now_{std::chrono::hours(1)};
  Invariants invariants_;
  std::string trace_;
  size_t tail_entries_max_ = 1000;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_CORE_TEST_CLUSTER_H_
