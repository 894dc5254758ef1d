#include "services/gossip/words.h"

#include "services/base/strings.h"

namespace consul::gossip {
namespace {

using base::LogLevel;
using base::StrCat;

LogLine Line(LogLevel level, const char* component, std::string text) {
  return {level, component, std::move(text)};
}

const char* KeyOperation(uint64_t number) {
  switch (static_cast<KeyOperationKind>(number)) {
    case KeyOperationKind::kList: return "list-keys";
    case KeyOperationKind::kInstall: return "install-key";
    case KeyOperationKind::kUse: return "use-key";
    case KeyOperationKind::kRemove: return "remove-key";
  }
  return "unknown";
}

}  // namespace

LogLine Word(const Fact& fact) {
  using enum FactKind;
  constexpr const char* kFrom = "memberlist";
  const std::string at = fact.address.ToString();
  switch (fact.kind) {
    case kSuspected:
      return Line(LogLevel::kDebug, kFrom, StrCat(fact.name, " is suspected by ", fact.text));
    case kRefuted:
      return Line(LogLevel::kWarn, kFrom,
                  StrCat("Refuting a suspect message (from: ", fact.text, ")"));
    case kProbeFailed:
      return Line(LogLevel::kInfo, kFrom,
                  StrCat("Suspect ", fact.name, " has failed, no acks received"));
    case kTcpOnly:
      return Line(LogLevel::kWarn, kFrom,
                  StrCat("Was able to connect to ", fact.name,
                         " over TCP but UDP probes failed, network may be misconfigured"));
    case kWrongName:
      return Line(LogLevel::kWarn, kFrom, StrCat("Got ping for unexpected node '", fact.name,
                                                 "' from=", at, ", this is '", fact.text, "'"));
    case kSlowSelf:
      return Line(LogLevel::kWarn, kFrom,
                  StrCat("this agent was held up for ", fact.number,
                         "ms: its probes of that time do not count"));
    case kMergeRefused:
      return Line(LogLevel::kError, kFrom,
                  StrCat("Cluster merge with ", at, " refused: ", fact.text));
    case kNameHeld:
      return Line(LogLevel::kError, kFrom,
                  StrCat("Member '", fact.name, "' is not let in: ", fact.text, " from=", at));
    case kNameConflict:
      return Line(LogLevel::kError, kFrom,
                  StrCat("Conflicting address or id for ", fact.name, ": ", fact.text));
    case kTableFull:
      return Line(LogLevel::kError, kFrom,
                  StrCat(fact.name, " was not taken in: there are ", fact.number,
                         " members, the limit"));
    case kBroadcastDropped:
      return Line(LogLevel::kWarn, kFrom,
                  StrCat("a queue of broadcasts is full, the oldest is dropped; the limit is ",
                         fact.number));
    case kExchangeFailed:
      return Line(LogLevel::kWarn, kFrom,
                  StrCat("Push/Pull with ", at, " failed: ", fact.text));
    case kMalformed:
      return Line(LogLevel::kWarn, kFrom,
                  StrCat("malformed message from=", at, ", so far ", fact.number));
    case kStreamsFull:
      return Line(LogLevel::kWarn, kFrom,
                  StrCat("stream from=", at, " refused: ", fact.number, " are open, the limit"));
  }
  return {};
}

LogLine Word(const ClusterFact& fact) {
  using enum ClusterFactKind;
  constexpr const char* kFrom = "serf";
  switch (fact.kind) {
    case kReconnecting:
      return Line(LogLevel::kInfo, kFrom, StrCat("attempting reconnect to ", fact.name, " ",
                                                 fact.address.ToString()));
    case kRefutedLeave:
      return Line(LogLevel::kDebug, kFrom, "Refuting an older leave intent");
    case kIntentsFull:
      return Line(LogLevel::kWarn, kFrom,
                  StrCat("intent about unknown node ", fact.name, " dropped: ", fact.number,
                         " are remembered, the limit"));
    case kEventTooOld:
      return Line(LogLevel::kWarn, kFrom, StrCat("received old event ", fact.name, " from time ",
                                                 fact.number));
    case kEventsFull:
      return Line(LogLevel::kWarn, kFrom,
                  StrCat("event ", fact.name, " dropped: too many of time ", fact.number));
    case kQueryTooOld:
      return Line(LogLevel::kWarn, kFrom, StrCat("received old query from ", fact.name,
                                                 " of time ", fact.number));
    case kReplyUnknown:
      return Line(LogLevel::kWarn, kFrom,
                  StrCat("reply from ", fact.name, " for non-running query (LTime: ", fact.number,
                         ")"));
    case kReplyRepeated:
      return Line(LogLevel::kDebug, kFrom, StrCat("repeated reply from ", fact.name));
    case kLeaveTimedOut:
      return Line(LogLevel::kWarn, kFrom, "timeout while waiting for graceful leave");
    case kMetaUnreadable:
      return Line(LogLevel::kError, kFrom,
                  StrCat("tags of ", fact.name, " cannot be read: ", fact.text));
    case kCoordinateRefused:
      return Line(LogLevel::kWarn, kFrom,
                  StrCat("rejected coordinate from ", fact.name, ": ", fact.text));
    case kKeysAsked:
      if (fact.text.empty()) {
        return Line(LogLevel::kInfo, kFrom,
                    StrCat("Received ", KeyOperation(fact.number), " query from ", fact.name));
      }
      return Line(LogLevel::kError, kFrom, fact.text);
    case kMalformed:
      return Line(LogLevel::kWarn, kFrom, StrCat("malformed message from=",
                                                 fact.address.ToString(), ", so far ",
                                                 fact.number));
  }
  return {};
}

const char* EventName(MemberEventKind kind) {
  switch (kind) {
    case MemberEventKind::kJoin: return "EventMemberJoin";
    case MemberEventKind::kLeave: return "EventMemberLeave";
    case MemberEventKind::kFailed: return "EventMemberFailed";
    case MemberEventKind::kUpdate: return "EventMemberUpdate";
    case MemberEventKind::kReap: return "EventMemberReap";
  }
  return "";
}

}  // namespace consul::gossip
