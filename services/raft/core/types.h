// services/raft/core/types.h
//
// The words of consensus as strong types: Term, Index, ServerId, Time, and the log Entry. They
// exist so that a term is never passed where an index is meant, and so that an entry's bytes are
// made once and then shared by the log writer, the transport and the state machine.
//
// Threads: pure values. A Buffer is immutable and may be read by any number of threads.
// Background: services/raft/README.md.
#ifndef CONSUL_SERVICES_RAFT_CORE_TYPES_H_
#define CONSUL_SERVICES_RAFT_CORE_TYPES_H_

#include <chrono>
#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace consul::raft {

// An election's number. 0 is before the first election and is never a leader's term.
struct Term {
  uint64_t value = 0;
  friend constexpr auto operator<=>(Term, Term) = default;
  constexpr Term Next() const { return Term{value + 1}; }
};

// A position in the log. 0 is the position before the first entry.
struct Index {
  uint64_t value = 0;
  friend constexpr auto operator<=>(Index, Index) = default;
  friend constexpr Index operator+(Index index, uint64_t count) {
    return Index{index.value + count};
  }
  friend constexpr Index operator-(Index index, uint64_t count) {
    return Index{index.value - count};
  }
  // The distance. REQUIRES: a >= b.
  friend constexpr uint64_t operator-(Index a, Index b) { return a.value - b.value; }
  constexpr Index Next() const { return Index{value + 1}; }
  constexpr Index Previous() const { return Index{value - 1}; }
};

// A server's node id (not its address, which changes). Empty means "no server".
struct ServerId {
  std::string value;
  friend auto operator<=>(const ServerId&, const ServerId&) = default;
  bool empty() const { return value.empty(); }
};

// The clock that leases are measured on: CLOCK_BOOTTIME, which neither jumps with the date nor
// stops while the machine sleeps. Deliberately without now(): the driver reads it, the core is
// told.
struct BootClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootClock>;
  static constexpr bool is_steady = true;
};
using Time = BootClock::time_point;
using Duration = BootClock::duration;

// What an entry is. Numbers are on disk and on the wire: frozen.
enum class EntryKind : uint8_t {
  kNoOp = 1,           // a leader's first entry, and barriers; applied as nothing
  kConfiguration = 2,  // payload is Configuration::Encode()
  kCommand = 3,        // opaque to raft
};

// Immutable bytes, shared. A null Buffer is an empty one.
using Buffer = std::shared_ptr<const std::string>;

inline Buffer MakeBuffer(std::string bytes) {
  return std::make_shared<const std::string>(std::move(bytes));
}

struct Entry {
  Term term;
  Index index;
  EntryKind kind = EntryKind::kNoOp;
  Buffer payload;

  uint64_t payload_bytes() const { return payload == nullptr ? 0 : payload->size(); }
  // What limits count: payload plus a fixed price for term, index, kind and framing.
  uint64_t bytes() const { return payload_bytes() + kOverheadBytes; }
  static constexpr uint64_t kOverheadBytes = 32;
};

// What must be durable before a vote or a term leaves this server.
struct HardState {
  Term term;
  ServerId voted_for;  // in `term`; empty when no vote was given
  friend bool operator==(const HardState&, const HardState&) = default;
};

// A stretch of the log in which all entries have one term; it lasts until the next run's `first`. A
// log has as many runs as it saw leaders, so the term of every index stays in memory.
struct TermRun {
  Index first;
  Term term;
  friend bool operator==(const TermRun&, const TermRun&) = default;
};

// Numbers the things handed out to be made durable. Monotonic within a process; 0 is "nothing".
struct PersistId {
  uint64_t value = 0;
  friend constexpr auto operator<=>(PersistId, PersistId) = default;
};

// Chosen by the caller of a read, given back with its answer.
struct ReadId {
  uint64_t value = 0;
  friend constexpr auto operator<=>(ReadId, ReadId) = default;
};

enum class ReadMode : uint8_t {
  kLease,      // "default": answered under the lease when it holds, else as kReadIndex
  kReadIndex,  // "consistent": a quorum confirms leadership after the read arrived
};

// A leader's count of its broadcasts in one term. An ack of round n proves that the leader was
// heard after round n began.
struct Round {
  uint64_t value = 0;
  friend constexpr auto operator<=>(Round, Round) = default;
};

// What the leader knows of a member, for operators and autopilot.
struct MemberProgress {
  ServerId id;
  Index match;
  Time heard_at;
};

enum class Role : uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_CORE_TYPES_H_
