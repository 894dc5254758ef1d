// services/raft/waiter.h
//
// A command on its way through a Node, and somebody who waits for an entry: what the parts of the
// Node pass on to each other, each callback in exactly one place at a time.
//
// Threads: pure values. Who holds one owes its callback.
#ifndef CONSUL_SERVICES_RAFT_WAITER_H_
#define CONSUL_SERVICES_RAFT_WAITER_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "services/raft/core/types.h"
#include "services/raft/node.h"

namespace consul::raft {

// A command that is not in a log yet, as far as this server knows.
struct Proposed {
  Buffer command;
  uint64_t bytes = 0;  // what NodeOptions::pending_bytes_max counts
  ProposeCallback callback;
  std::optional<Term> term = std::nullopt;  // the only one in which this server may propose it
};

// Somebody who waits for the entry at `index` to be applied.
struct Waiter {
  Index index;
  uint64_t bytes = 0;
  ProposeCallback callback;
};

// A callback whose answer is known.
struct RefusedProposal {
  ProposeCallback callback;
  uint64_t bytes = 0;
  absl::Status why;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_WAITER_H_
