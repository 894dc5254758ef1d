#include "services/raft/node_words.h"

#include <chrono>

#include "services/base/duration.h"
#include "services/base/strings.h"
#include "services/base/version.h"

namespace consul::raft {
namespace {

using base::StrCat;

std::string LastContact(const NodeStatus& status) {
  if (status.role == Role::kLeader) return "0";
  if (!status.had_contact) return "never";
  return base::FormatDuration(std::chrono::floor<std::chrono::milliseconds>(status.last_contact));
}

using AddressOf = std::function<std::string(const ServerId&)>;

std::string Members(const Configuration& configuration, const AddressOf& address_of) {
  std::string text;
  for (const Member& member : configuration.members()) {
    base::StrAppend(&text, text.empty() ? "[" : " ", "{Suffrage:",
                    member.kind == MemberKind::kVoter ? "Voter" : "Nonvoter", " ID:",
                    member.id.value, " Address:", address_of(member.id), "}");
  }
  return text.empty() ? "[]" : text + "]";
}

std::string_view CommandName(MembershipChange::Kind kind) {
  switch (kind) {
    case MembershipChange::Kind::kAddLearner:
      return "AddNonvoter";
    case MembershipChange::Kind::kAddVoter:
      return "AddVoter";
    case MembershipChange::Kind::kDemote:
      return "DemoteVoter";
    case MembershipChange::Kind::kRemove:
      return "RemoveServer";
  }
  return "";
}

uint64_t PeersCount(const Configuration& configuration) {
  const size_t voters = configuration.voters_count();
  return voters == 0 ? 0 : voters - 1;
}

}  // namespace

std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kFollower:
    case Role::kPreCandidate:
      return "Follower";
    case Role::kCandidate:
      return "Candidate";
    case Role::kLeader:
      return "Leader";
  }
  return "";
}

std::optional<LogLine> WordRole(const RoleChange& change, std::string_view address) {
  if (change.role == Role::kPreCandidate) return std::nullopt;
  const std::string_view name = RoleName(change.role);
  return LogLine{LogLevel::kInfo,
                 StrCat("raft: Node at ", address, " [", name, "] entering ", name, " state")};
}

LogLine WordFact(const Fact& fact, const ServerId& leader) {
  const std::string& server = fact.server.value;
  const uint64_t number = fact.number;
  switch (fact.kind) {
    case FactKind::kHeartbeatTimeout:
      return {LogLevel::kWarn, "raft: Heartbeat timeout reached, starting election"};
    case FactKind::kElectionTimeout:
      return {LogLevel::kWarn, "raft: Election timeout reached, restarting election"};
    case FactKind::kElectionWon:
      return {LogLevel::kInfo, StrCat("raft: Election won. Tally: ", number)};
    case FactKind::kPreVoteWon:
      return {LogLevel::kDebug, StrCat("raft: Pre-vote won. Tally: ", number)};
    case FactKind::kVoteGranted:
      return {LogLevel::kDebug,
              StrCat("raft: Vote granted: candidate=", server, " term=", fact.term.value)};
    case FactKind::kVoteWithheld:
      return {LogLevel::kWarn,
              StrCat("raft: rejecting vote request since we have a leader: from=", server,
                     " leader=", leader.value)};
    case FactKind::kSteppedDownNewTerm:
      return {LogLevel::kWarn, StrCat("raft: Stepping down, newer term: from=", server)};
    case FactKind::kSteppedDownNoQuorum:
      return {LogLevel::kWarn, "raft: Failed to contact quorum of nodes, stepping down"};
    case FactKind::kSteppedDownRemoved:
      return {LogLevel::kInfo, "raft: Removed ourself, transitioning to follower"};
    case FactKind::kStreamBroken:
      return {LogLevel::kWarn, StrCat("raft: Connection from leader broke: leader=", server)};
    case FactKind::kLogTruncated:
      return {LogLevel::kWarn, StrCat("raft: Clearing log suffix from ", number)};
    case FactKind::kConfigurationChanged:
      return {LogLevel::kDebug, StrCat("raft: Configuration changed: index=", number)};
    case FactKind::kConfigurationFellBack:
      return {LogLevel::kWarn, StrCat("raft: Configuration fell back: index=", number)};
    case FactKind::kTransferStarted:
      return {LogLevel::kInfo, StrCat("raft: Leadership transfer started: target=", server)};
    case FactKind::kTransferGivenUp:
      return {LogLevel::kWarn, StrCat("raft: Leadership transfer given up: target=", server)};
    case FactKind::kTimeoutNowReceived:
      return {LogLevel::kInfo, StrCat("raft: Asked to take over: leader=", server)};
    case FactKind::kPeerNeedsSnapshot:
      return {LogLevel::kInfo,
              StrCat("raft: Peer needs snapshot: peer=", server, " index=", number)};
    case FactKind::kSnapshotInstalled:
      return {LogLevel::kInfo, StrCat("raft: Installed remote snapshot: index=", number)};
  }
  return {};
}

LogLine WordInitial(const PlacedConfiguration& initial, const AddressOf& address_of) {
  return {LogLevel::kDebug,
          StrCat("raft: initial configuration: index=", initial.index.value, " servers=\"",
                 Members(initial.configuration, address_of), "\"")};
}

LogLine WordChange(const MembershipChange& change, const Configuration& changed,
                   const AddressOf& address_of) {
  return {LogLevel::kInfo,
          StrCat("raft: updating configuration: command=", CommandName(change.kind),
                 " server-id=", change.id.value, " server-addr=", address_of(change.id),
                 " servers=\"", Members(changed, address_of), "\"")};
}

std::map<std::string, std::string> WordStats(const StatsInput& input) {
  const NodeStatus& status = input.status;
  return {
      {"applied_index", StrCat(status.applied_index.value)},
      {"commit_index", StrCat(status.commit_index.value)},
      {"fsm_pending", StrCat(input.apply_pending)},
      {"last_contact", LastContact(status)},
      {"last_log_index", StrCat(status.last_index.value)},
      {"last_log_term", StrCat(input.last_term.value)},
      {"last_snapshot_index", StrCat(input.snapshot.index.value)},
      {"last_snapshot_term", StrCat(input.snapshot.term.value)},
      {"latest_configuration", Members(input.configuration.configuration, input.address_of)},
      {"latest_configuration_index", StrCat(input.configuration.index.value)},
      {"num_peers", StrCat(PeersCount(input.configuration.configuration))},
      {"protocol_version", StrCat(base::kRaftProtocol)},
      {"protocol_version_max", StrCat(base::kRaftProtocol)},
      {"protocol_version_min", "0"},
      {"snapshot_version_max", "1"},
      {"snapshot_version_min", "0"},
      {"state", std::string(RoleName(status.role))},
      {"term", StrCat(status.term.value)},
  };
}

}  // namespace consul::raft
