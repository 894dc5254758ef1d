#include "services/gossip/cluster_text.h"

#include "services/base/strings.h"

namespace consul::gossip {
namespace {

using base::StrAppend;
using base::StrCat;

std::string_view NameOf(MemberEventKind kind) {
  switch (kind) {
    case MemberEventKind::kJoin: return "join";
    case MemberEventKind::kLeave: return "left";
    case MemberEventKind::kFailed: return "failed";
    case MemberEventKind::kUpdate: return "update";
    case MemberEventKind::kReap: return "reap";
  }
  return "";
}

std::string_view NameOf(ClusterFactKind kind) {
  switch (kind) {
    case ClusterFactKind::kReconnecting: return "tries again";
    case ClusterFactKind::kRefutedLeave: return "refutes its leaving";
    case ClusterFactKind::kIntentsFull: return "intents full";
    case ClusterFactKind::kEventTooOld: return "event too old";
    case ClusterFactKind::kEventsFull: return "events full";
    case ClusterFactKind::kQueryTooOld: return "query too old";
    case ClusterFactKind::kReplyUnknown: return "reply to no query of ours";
    case ClusterFactKind::kReplyRepeated: return "reply repeated";
    case ClusterFactKind::kLeaveTimedOut: return "leave timed out";
    case ClusterFactKind::kMetaUnreadable: return "meta unreadable";
    case ClusterFactKind::kCoordinateRefused: return "coordinate refused";
    case ClusterFactKind::kKeysAsked: return "keys asked";
    case ClusterFactKind::kMalformed: return "malformed";
  }
  return "";
}

std::string_view NameOf(KeyOperationKind kind) {
  switch (kind) {
    case KeyOperationKind::kList: return "list";
    case KeyOperationKind::kInstall: return "install";
    case KeyOperationKind::kUse: return "use";
    case KeyOperationKind::kRemove: return "remove";
  }
  return "";
}

std::string Counts(const std::map<std::string, size_t>& keys, size_t nodes) {
  std::string text;
  for (const auto& [key, count] : keys) {
    StrAppend(&text, " ", KeyName(*Key::FromBase64(key)), "[", count, "/", nodes, "]");
  }
  return text;
}

std::string ToText(const AliveRecord& record) {
  return StrCat("alive ", record.name, " ", record.address.ToString());
}
std::string ToText(const NotAliveRecord& record) { return StrCat("not alive ", record.name); }
std::string ToText(const ClocksRecord& record) {
  return StrCat("clocks ", record.member_time.value, " ", record.event_time.value, " ",
                record.query_time.value);
}
std::string ToText(const LeaveRecord&) { return "leave"; }

}  // namespace

std::string_view ToText(MemberStatus status) {
  switch (status) {
    case MemberStatus::kAlive: return "alive";
    case MemberStatus::kLeaving: return "leaving";
    case MemberStatus::kLeft: return "left";
    case MemberStatus::kFailed: return "failed";
  }
  return "";
}

std::string ToText(const MemberEvent& event) {
  std::string text = StrCat(NameOf(event.kind), " ", event.member.name);
  if (event.kind == MemberEventKind::kUpdate) {
    for (const auto& [key, value] : event.member.tags) StrAppend(&text, " ", key, "=", value);
    StrAppend(&text, " ", event.member.address.ToString());
  }
  return event.heard_late ? text + " (before us)" : text;
}

std::string ToText(const UserEvent& event) {
  return StrCat("event ", event.name, " ", event.payload, " at ", event.time.value);
}

std::string ToText(const QueryReceived& query) {
  return StrCat("asked ", query.name, " ", query.payload, " by ", query.source);
}

std::string ToText(const QueryProgress& progress) {
  if (!progress.payload.has_value()) return StrCat("ack of ", progress.from);
  return StrCat("answer of ", progress.from, ": ", *progress.payload);
}

std::string ToText(const QueryDone& done) {
  return StrCat("query done: ", done.acks, " acks, ", done.responses, " answers");
}

std::string ToText(const KeyResult& result) {
  std::string text = StrCat("keys ", NameOf(result.operation), ": ", result.answered, "/",
                            result.nodes, " answered", Counts(result.keys, result.nodes));
  if (!result.primary_keys.empty()) {
    StrAppend(&text, " primary", Counts(result.primary_keys, result.nodes));
  }
  for (const auto& [node, message] : result.messages) StrAppend(&text, "\n  ", node, ": ", message);
  if (!result.error.empty()) StrAppend(&text, "\n  ", result.error);
  return text;
}

std::string ToText(const Keyring& keyring) {
  std::string text;
  for (const Key& key : keyring.keys()) StrAppend(&text, text.empty() ? "" : " ", KeyName(key));
  return text;
}

std::string ToText(const ClusterFact& fact) {
  std::string text(NameOf(fact.kind));
  if (!fact.name.empty()) StrAppend(&text, " ", fact.name);
  if (fact.number != 0) StrAppend(&text, " ", fact.number);
  if (!fact.text.empty()) StrAppend(&text, ": ", fact.text);
  return text;
}

std::string ToText(const ClusterRecord& record) {
  return std::visit([](const auto& said) { return ToText(said); }, record);
}

std::string ToText(const JoinResult& result) {
  if (!result.joined) return StrCat("could not join: ", result.error);
  return StrCat("joined, ", result.living_count, " members");
}

Key KeyOf(char name) { return Key::FromBytes(std::string(16, name)).value(); }

std::string KeyName(const Key& key) { return std::string(key.bytes().substr(0, 1)); }

}  // namespace consul::gossip
