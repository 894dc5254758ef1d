// services/raft/core/invariants.h
//
// Watches a whole cluster of cores from outside and ends the test at the first step that breaks one
// of Raft's promises. It keeps its own history (who led, what was committed, who voted for whom),
// so that a promise broken by a server that has since crashed is still seen.
//
// Threads: none of its own; a test owns it.
// Background: Ongaro's thesis, figure 3.2; services/raft/README.md (Tests).
#ifndef CONSUL_SERVICES_RAFT_CORE_INVARIANTS_H_
#define CONSUL_SERVICES_RAFT_CORE_INVARIANTS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "services/raft/core/core.h"
#include "services/raft/core/output.h"
#include "services/raft/core/types.h"

namespace consul::raft {

// What a server's disk would give back after a crash now.
struct DurableState {
  HardState hard_state;
  SnapshotMeta snapshot;
  Index log_first{1};
  std::vector<Entry> entries;  // from log_first on

  Index log_last() const { return log_first + entries.size() - 1; }
  // The term at `index`; 0 when the disk does not have it.
  Term TermAt(Index index) const;
  void Write(const Persist& persist);
  // As a driver would find it after a start. `tail_entries_max` limits Restart::tail.
  Restart ToRestart(size_t tail_entries_max) const;
};

struct ServerView {
  ServerId id;
  const Core* core = nullptr;  // null while the server is down
  const DurableState* disk = nullptr;
  // What its own clock shows, where servers have one each; else the `now` of Check.
  std::optional<Time> clock = std::nullopt;
};

class Invariants {
 public:
  // A server's output, before the driver acts on it; `disk` is what is durable at this moment.
  void OnOutput(const ServerView& server, const Output& output);
  // A message leaves: what it promises must be durable.
  void OnSend(const ServerView& server, const Message& message);
  void OnApplied(const ServerView& server, const Entry& entry);
  void OnReadRequested(const ServerId& server, ReadId id);
  void OnReadAnswered(const ServerView& server, const ReadResult& result);
  void OnCrash(const ServerId& server);
  // After each step of anything.
  void Check(const std::vector<ServerView>& servers, Time now);

  Index committed_max() const;
  uint64_t checks() const { return checks_; }
  // What was broken first; empty: nothing. The tests assert on it after every step.
  const std::string& broken() const { return broken_; }

 private:
  using Key = std::pair<Index, Term>;
  struct Committed {
    Term term;  // of the entry
    Term in;    // of the leader that committed it
  };

  void Break(std::string what);
  // What was handed to the disk of `server`; of one that just started: what its disk has.
  std::map<Index, Term>& LogOf(const ServerView& server);
  void CheckLeader(const ServerView& server);
  void CheckMonotonic(const ServerView& server);
  void CheckCommit(const ServerView& server, const std::vector<ServerView>& servers);
  void CheckLeases(const std::vector<ServerView>& servers, Time now);
  void CheckDurableLogs(const ServerView& server);

  std::string broken_;
  uint64_t checks_ = 0;
  std::map<Term, ServerId> leaders_;
  std::map<std::pair<ServerId, Term>, ServerId> votes_;
  std::map<Key, uint64_t> chains_;     // hash of the log up to and including that entry
  std::map<Index, Committed> committed_;
  std::map<Index, uint64_t> applied_;  // hash of the entry applied at that index
  struct Last {
    Term term;
    Index commit;
    Index applied;
  };
  std::map<ServerId, Last> last_;
  std::map<ServerId, std::map<Index, Term>> logs_;  // all that was handed, cut as the disk is
  std::map<ReadId, Index> reads_;   // what was committed anywhere when the read arrived
  std::set<ServerId> led_;          // servers whose present leadership was checked
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_CORE_INVARIANTS_H_
