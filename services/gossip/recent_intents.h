// services/gossip/recent_intents.h
//
// Intents about members that are not known yet. Gossip may bring the word about a member before the
// member: it is kept for a while, and applied when the member appears.
//
// Threads: a value type with one owner.
// Background: services/gossip/README.md (Cluster).
#ifndef CONSUL_SERVICES_GOSSIP_RECENT_INTENTS_H_
#define CONSUL_SERVICES_GOSSIP_RECENT_INTENTS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "services/gossip/lamport_clock.h"
#include "services/gossip/member.h"
#include "services/gossip/types.h"

namespace consul::gossip {

// Kinds of Intent::kind, the later ones stronger at equal times. On the wire: frozen.
inline constexpr uint32_t kJoinIntent = 1;
inline constexpr uint32_t kLeaveIntent = 2;
inline constexpr uint32_t kPruneIntent = 3;  // to leave, and to vanish from the list
// The intent to leave of this time is over: the member was gone, and lives again. Nobody says this;
// everybody sees it, and exchanges carry it to those who have not.
inline constexpr uint32_t kOutlivedIntent = 4;

inline bool MeansLeave(const Intent& intent) {
  return intent.kind == kLeaveIntent || intent.kind == kPruneIntent;
}

// Whether another member can have said it.
inline bool IsSaid(const Intent& intent) {
  return intent.time > LamportTime{0} && intent.time <= kLamportTimeMax &&
         intent.kind >= kJoinIntent && intent.kind <= kOutlivedIntent;
}

// Whether `intent` is the newer word of the two. A total order, so that all members that have heard
// the same words believe the same one.
inline bool IsNewer(const Intent& intent, const Intent& than) {
  return than.time < intent.time || (than.time == intent.time && than.kind < intent.kind);
}

class RecentIntents {
 public:
  RecentIntents(Duration timeout, size_t intents_max)
      : timeout_(timeout), intents_max_(intents_max) {}

  enum class PutResult : uint8_t {
    kNewer,  // than what was known
    kOld,
    kFull,
  };
  PutResult Put(Time now, std::string_view name, const Intent& intent);

  // Removes what is kept for `name`; time 0 when that is nothing.
  Intent Take(Time now, std::string_view name);

  size_t size() const { return intents_.size(); }

 private:
  struct Kept {
    Intent intent;
    Time until;
  };
  void DropOld(Time now);

  const Duration timeout_;
  const size_t intents_max_;
  std::map<std::string, Kept, std::less<>> intents_;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_RECENT_INTENTS_H_
