// services/raft/core/options.h
//
// The tunables of one server's consensus and the state it wakes up with. All limits of raft::Core
// stand here with their reasons.
//
// Threads: pure values.
// Background: services/raft/README.md (Time).
#ifndef CONSUL_SERVICES_RAFT_CORE_OPTIONS_H_
#define CONSUL_SERVICES_RAFT_CORE_OPTIONS_H_

#include <cstdint>
#include <vector>

#include "services/raft/core/configuration.h"
#include "services/raft/core/types.h"

namespace consul::raft {

// Lease and withheld votes are timed by different machines' clocks: the leader gives up this share
// of the minimum election timeout, so clocks may drift apart by as much while a lease lasts.
inline constexpr int kClockDriftPercent = 10;

struct Options {
  ServerId self;
  uint64_t seed = 1;  // of every random choice; two servers with one seed would tie for ever

  // Multiplies the election timeouts, the heartbeat interval, and what is reckoned by them
  // (performance.raft_multiplier, 1 to 10). No disk is slower where it is larger.
  int raft_multiplier = 1;
  // A silent leader is given up after a random time in [min, max). Half of min is the least gap a
  // dead leader can leave, so at multiplier 1 it stays well under half a second.
  Duration election_timeout_min = std::chrono::milliseconds(300);
  Duration election_timeout_max = std::chrono::milliseconds(600);
  // A follower may miss nine before it doubts its leader.
  Duration heartbeat_interval = std::chrono::milliseconds(30);

  // How long a follower is spared what it is not needed for, unless it waits for that
  // (Core::WantsCommit): what is committed, which the next entry may tell it, and entries, where
  // quicker ones make a majority with the leader. The reference tells followers what is committed
  // with a heartbeat, after 50 to 100 ms.
  Duration spare_delay = std::chrono::milliseconds(2);

  // Entries kept in memory for slow followers and for applying; older ones are asked for by
  // Output::loads.
  uint64_t tail_bytes_max = 8 << 20;
  // Of entries in one AppendRequest, and so of one entry: no message is larger.
  uint64_t append_bytes_max = 1 << 20;
  // Sent to one follower and not yet acknowledged.
  uint64_t in_flight_bytes_max = 8 << 20;
  uint64_t in_flight_requests_max = 256;
  // Proposed and not yet committed; Propose answers kBusy above it.
  uint64_t uncommitted_bytes_max = 64 << 20;
  // So long nothing is committed of what waits for it, and Propose answers kNoMajority: the others
  // answer, but do not write. Four times what a disk that is well may stand still. A voter that
  // comes nearer to the entry that is awaited than it ever was counts as well as a commit; one that
  // lost its disk is not waited for until it is where it was.
  Duration commit_wait_max = std::chrono::seconds(20);
  // Handed out in Output::committed and not yet reported by Applied.
  uint64_t applying_bytes_max = 16 << 20;
  // Reads that wait for their round or for Applied; ReadRequest answers kBusy above it.
  uint64_t reads_waiting_max = 100'000;
  // Of one SnapshotChunk.
  uint64_t snapshot_chunk_bytes_max = 512 << 10;
};

static_assert(kClockDriftPercent > 0 && kClockDriftPercent < 50);

// Everything that was durable when the server stopped. A new server passes the default.
struct Restart {
  HardState hard_state;
  SnapshotMeta snapshot;  // the newest complete one
  // Of the log on disk: the first and last entry it still has. first == last + 1 when it has none;
  // then first is snapshot.index + 1.
  Index log_first{1};
  Index log_last{0};
  std::vector<TermRun> term_runs;  // covering log_first to log_last exactly; empty when the log is
  std::vector<PlacedConfiguration> configurations;  // all kConfiguration entries on disk, ascending
  // The last entries, contiguous up to log_last; as many as fit Options::tail_bytes_max, may be
  // none.
  std::vector<Entry> tail;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_CORE_OPTIONS_H_
