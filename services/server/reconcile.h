// services/server/reconcile.h
//
// What the leader writes so that the catalog says what the pool says: each member that is alive has
// a node with its id and address and a passing serfHealth, and each server is an instance of the
// service "consul"; one that failed keeps all it has, with a critical serfHealth; one that left has
// nothing, and its generation may write nothing more, until that is seen alive: who was made to
// leave while it was cut off, and lives, has not left. Only what differs is written, so that a pool
// at rest proposes nothing. Nodes without a serfHealth are no members and nobody's business here,
// and neither are meta and tagged addresses, which are the agents' own to say.
//
// Threads: pure functions of the members and a version.
#ifndef CONSUL_SERVICES_SERVER_RECONCILE_H_
#define CONSUL_SERVICES_SERVER_RECONCILE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "consul/agent/v1/agent.pb.h"
#include "consul/internal/raft/v1/command.pb.h"
#include "services/state/version.h"

namespace consul::server {

// One write that the catalog needs.
struct Correction {
  internal::raft::v1::Command command;
  // What it is about, as log lines name it: "member 'a'".
  std::string subject;
  // The log line for when it is written; empty: none.
  std::string news;
};

// A member that cannot be written as it is, and the state machine's own words for why not.
struct Conflict {
  std::string subject;
  std::string text;
};

struct Corrections {
  std::vector<Correction> writes;  // in the order of the members
  std::vector<Conflict> conflicts;
};

// What makes the catalog of `version` agree with `members`. A write that the state machine would
// refuse is a conflict instead: proposing it would put an entry into the log each time and change
// nothing.
Corrections Reconcile(const agent::v1::ListMembersResponse& members, std::string_view datacenter,
                      const state::Version& version);

// Names of the nodes that have a serfHealth and are no members, ascending: agents that the pool has
// forgotten, or has not heard of yet.
std::vector<std::string> AbsentNodes(const agent::v1::ListMembersResponse& members,
                                     const state::Version& version);

// Takes a node away with all that is on it; nothing when it has no serfHealth. Its later writes
// are refused by `generation`, where that is known.
std::optional<Correction> ForgetNode(std::string_view name, std::string_view generation,
                                     std::string_view why, const state::Version& version);

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_RECONCILE_H_
