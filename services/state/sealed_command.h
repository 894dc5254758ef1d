// services/state/sealed_command.h
//
// A command that is finished for the log, and what it takes of the cluster that is to apply it. The
// cluster's version is the newest version of the state machine that every voter is known to know: a
// part of the replicated state, which the leader raises when all voters have said that they know
// more (services/server/leader_duties.h). What is newer is not proposed, on any server.
//
// Threads: plain values.
// Background: services/state/README.md (Versions of the program).
#ifndef CONSUL_SERVICES_STATE_SEALED_COMMAND_H_
#define CONSUL_SERVICES_STATE_SEALED_COMMAND_H_

#include <cstdint>
#include <optional>
#include <string>

namespace consul::state {

// The version of a cluster that nobody has raised: what those programs know that are the first to
// tell others what they know, and the last that do not.
inline constexpr uint32_t kBaselineVersion = 3;

struct SealedCommand {
  // An internal.raft.v1.Command.
  std::string bytes;
  // The cluster's version at which it may be proposed. 0: at any, as what raises that version:
  // whoever proposes that has seen to it that every voter knows it.
  uint32_t cluster_version_min = 0;
  // The only term in which it may be proposed, and only by the server that leads in it: what was
  // decided by what that one knew. Nothing: any.
  std::optional<uint64_t> term = std::nullopt;
};

}  // namespace consul::state

#endif  // CONSUL_SERVICES_STATE_SEALED_COMMAND_H_
