#include "services/raft/core/text.h"

#include "services/base/strings.h"

namespace consul::raft {
namespace {

using base::StrCat;

std::string Position(Term term, Index index) { return StrCat(term.value, "/", index.value); }

std::string ToText(const VoteRequest& request) {
  return StrCat(request.pre_vote ? "PreVote" : "Vote", " last=",
                Position(request.last_term, request.last_index),
                request.transfer ? " transfer" : "");
}

std::string ToText(const VoteReply& reply) {
  std::string text = StrCat(reply.pre_vote ? "PreVoteReply " : "VoteReply ",
                            reply.granted ? "granted" : "refused");
  if (reply.vote_wait > Duration{0}) {
    base::StrAppend(&text, " wait=", reply.vote_wait / std::chrono::milliseconds(1), "ms");
  }
  return text;
}

std::string ToText(const AppendRequest& request) {
  std::string text = StrCat("Append prev=", Position(request.prev_term, request.prev_index),
                            " commit=", request.commit.value);
  if (request.entries.empty()) return text;
  base::StrAppend(&text, " [");
  for (size_t i = 0; i < request.entries.size(); ++i) {
    base::StrAppend(&text, i == 0 ? "" : ", ", ToText(request.entries[i]));
  }
  return text + "]";
}

std::string ToText(const AppendReply& reply) {
  if (reply.accepted) return StrCat("AppendReply match=", reply.match.value);
  return StrCat("AppendReply refused=", reply.refused.value, " hint=",
                Position(reply.hint_term, reply.hint_index));
}

std::string ToText(const Heartbeat& heartbeat) {
  return StrCat("Heartbeat round=", heartbeat.round.value, " commit=", heartbeat.commit.value);
}

std::string ToText(const HeartbeatReply& reply) {
  return StrCat("HeartbeatReply round=", reply.round.value, reply.unmatched ? " unmatched" : "");
}

std::string ToText(const SnapshotChunk& chunk) {
  return StrCat("Snapshot ", Position(chunk.meta.term, chunk.meta.index), " offset=", chunk.offset,
                " bytes=", chunk.bytes == nullptr ? 0 : chunk.bytes->size(),
                chunk.last ? " last" : "");
}

std::string ToText(const SnapshotReply& reply) {
  if (reply.installed) return StrCat("SnapshotReply installed match=", reply.match.value);
  std::string text = StrCat("SnapshotReply next=", reply.next_offset);
  if (reply.match > Index{0}) base::StrAppend(&text, " of=", reply.match.value);
  return text;
}

std::string ToText(const TimeoutNow&) { return "TimeoutNow"; }

std::string ToText(const ForwardedProposals& forwarded) {
  return StrCat("Forwarded first=", forwarded.first_id, " count=", forwarded.commands.size());
}

std::string ToText(const ProposalsPlaced& placed) {
  if (placed.status != ForwardStatus::kPlaced) {
    return StrCat("Placed first=", placed.first_id, " refused=", static_cast<int>(placed.status));
  }
  return StrCat("Placed first=", placed.first_id, " at=", placed.first.value);
}

std::string ToText(const ReadIndexRequest& request) {
  return StrCat("ReadIndex ", request.id.value,
                request.mode == ReadMode::kLease ? " lease" : " consistent");
}

std::string ToText(const ReadIndexReply& reply) {
  if (!reply.granted) return StrCat("ReadIndexReply ", reply.id.value, " refused");
  return StrCat("ReadIndexReply ", reply.id.value, " index=", reply.index.value);
}

std::string_view NameOf(FactKind kind) {
  switch (kind) {
    case FactKind::kHeartbeatTimeout: return "heartbeat timeout";
    case FactKind::kElectionTimeout: return "election timeout";
    case FactKind::kElectionWon: return "election won";
    case FactKind::kPreVoteWon: return "pre-vote won";
    case FactKind::kVoteGranted: return "vote granted";
    case FactKind::kVoteWithheld: return "vote withheld";
    case FactKind::kSteppedDownNewTerm: return "stepped down: new term";
    case FactKind::kSteppedDownNoQuorum: return "stepped down: no quorum";
    case FactKind::kSteppedDownRemoved: return "stepped down: removed";
    case FactKind::kStreamBroken: return "stream broken";
    case FactKind::kLogTruncated: return "log truncated";
    case FactKind::kConfigurationChanged: return "configuration changed";
    case FactKind::kConfigurationFellBack: return "configuration fell back";
    case FactKind::kTransferStarted: return "transfer started";
    case FactKind::kTransferGivenUp: return "transfer given up";
    case FactKind::kTimeoutNowReceived: return "timeout now";
    case FactKind::kPeerNeedsSnapshot: return "peer needs snapshot";
    case FactKind::kSnapshotInstalled: return "snapshot installed";
  }
  return "";
}

}  // namespace

std::string_view ToText(Role role) {
  switch (role) {
    case Role::kFollower: return "follower";
    case Role::kPreCandidate: return "pre-candidate";
    case Role::kCandidate: return "candidate";
    case Role::kLeader: return "leader";
  }
  return "";
}

std::string ToText(const Configuration& configuration) {
  std::string text;
  for (const Member& member : configuration.members()) {
    base::StrAppend(&text, text.empty() ? "" : " ", member.id.value,
                    member.kind == MemberKind::kLearner ? "+" : "");
  }
  return text;
}

std::string ToText(const Entry& entry) {
  std::string text = Position(entry.term, entry.index);
  switch (entry.kind) {
    case EntryKind::kNoOp:
      return text + " noop";
    case EntryKind::kConfiguration:
      return text + " (" + ToText(*Configuration::Decode(*entry.payload)) + ")";
    case EntryKind::kCommand:
      break;
  }
  const std::string payload = entry.payload == nullptr ? "" : *entry.payload;
  if (payload.size() > 40) return StrCat(text, " ", payload.size(), " bytes");
  return text + " " + payload;
}

std::string ToText(const Message& message) {
  const std::string body = std::visit([](const auto& body) { return ToText(body); }, message.body);
  return StrCat(message.from.value, ">", message.to.value, " t", message.term.value, " ", body);
}

std::string ToText(const Persist& persist) {
  std::string text = "persist";
  if (persist.reset_to.has_value()) base::StrAppend(&text, " reset=", persist.reset_to->value);
  if (persist.hard_state.has_value()) {
    base::StrAppend(&text, " term=", persist.hard_state->term.value);
    const std::string& vote = persist.hard_state->voted_for.value;
    if (!vote.empty()) base::StrAppend(&text, " vote=", vote);
  }
  for (size_t i = 0; i < persist.entries.size(); ++i) {
    base::StrAppend(&text, i == 0 ? " [" : ", ", ToText(persist.entries[i]));
  }
  return persist.entries.empty() ? text : text + "]";
}

std::string ToText(const RoleChange& change) {
  return StrCat(ToText(change.role), " term=", change.term.value, " leader=",
                change.leader.empty() ? std::string("-") : change.leader.value);
}

std::string ToText(const Fact& fact) {
  std::string text(NameOf(fact.kind));
  if (!fact.server.empty()) base::StrAppend(&text, " ", fact.server.value);
  if (fact.number != 0) base::StrAppend(&text, " ", fact.number);
  return text;
}

}  // namespace consul::raft
