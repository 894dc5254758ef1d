// services/raft/node_words.h
//
// How raft's events and state read: the reference's log lines and the raft group of `consul info`.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_RAFT_NODE_WORDS_H_
#define CONSUL_SERVICES_RAFT_NODE_WORDS_H_

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "services/raft/core/output.h"
#include "services/raft/node.h"

namespace consul::raft {

struct LogLine {
  LogLevel level = LogLevel::kInfo;
  std::string text;
};

// "Follower", "Candidate", "Leader"; a pre-candidate is still a follower to the world.
std::string_view RoleName(Role role);

// Nothing for a pre-candidate: it has changed nothing yet.
std::optional<LogLine> WordRole(const RoleChange& change, std::string_view address);
// `leader` is whom this server hears, empty where it hears none.
LogLine WordFact(const Fact& fact, const ServerId& leader);

// Who takes part by what was found on the disk. For debugging only: the seed page has no such line.
LogLine WordInitial(const PlacedConfiguration& initial,
                    const std::function<std::string(const ServerId&)>& address_of);

// A change of members that this leader has put into its log; `changed` is the outcome.
LogLine WordChange(const MembershipChange& change, const Configuration& changed,
                   const std::function<std::string(const ServerId&)>& address_of);

// What Stats shows.
struct StatsInput {
  NodeStatus status;
  Term last_term;
  SnapshotMeta snapshot;
  PlacedConfiguration configuration;
  uint64_t apply_pending = 0;
  // "host:port" of a member; empty where it is not known.
  std::function<std::string(const ServerId&)> address_of;
};
std::map<std::string, std::string> WordStats(const StatsInput& input);

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_NODE_WORDS_H_
