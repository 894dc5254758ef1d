// services/gossip/cluster_members.h
//
// The members as users see them: what Swim believes of each, and what the newest intent about it
// says. A member's status follows from the two:
//
//   Swim says        no intent to leave     an intent to leave
//   alive, suspect   alive                  leaving
//   dead             failed                 left
//   left             left                   left
//
// An intent to leave is over when the member lives again after having been gone. What Swim believes
// and which intent is the newest come to be the same at all members, so the statuses do, too.
//
// This part also forgets those that are gone for long (reap), tries the failed ones again
// (reconnect), makes members leave (force-leave), and leaves itself.
//
// Threads: as Cluster.
// Background: services/gossip/README.md (Cluster).
#ifndef CONSUL_SERVICES_GOSSIP_CLUSTER_MEMBERS_H_
#define CONSUL_SERVICES_GOSSIP_CLUSTER_MEMBERS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "services/gossip/cluster_context.h"
#include "services/gossip/cluster_output.h"
#include "services/gossip/event_coalescer.h"
#include "services/gossip/member.h"
#include "services/gossip/recent_intents.h"
#include "services/gossip/swim_output.h"
#include "services/gossip/types.h"

namespace consul::gossip {

class ClusterMembers {
 public:
  struct Counts {
    size_t listed = 0;
    size_t failed = 0;
    size_t left = 0;
  };

  // Self has joined its own pool.
  explicit ClusterMembers(ClusterContext* context);

  // ---- What Swim says, in one output.
  void Heard(const std::vector<Change>& changes, const std::vector<IntentReceived>& intents);
  // Whether the join was one of this part's own.
  bool JoinEnded(const JoinResult& result);
  void NameLost();
  void SwimLeft();  // left_done

  // ---- What members say.
  void Received(const internal::gossip::v1::JoinIntent& intent);
  void Received(const internal::gossip::v1::LeaveIntent& intent);

  // ---- What the user wants.
  // A newer intent of self to be there, told to all.
  void AnnounceJoin();
  // False: nobody of that name.
  bool ForceLeave(std::string_view name, bool prune);
  void Leave();
  // Self has other words or another address.
  void SelfUpdated();

  void Tick();
  // After each input: what waits for Swim's queues to run empty goes on.
  void Proceed();
  Time NextDeadline() const;

  // ---- What is known, of listed members.
  std::optional<ClusterMember> Find(std::string_view name) const;
  std::vector<ClusterMember> All() const;
  const Counts& counts() const { return counts_; }
  bool leaving() const { return leave_ != LeaveStep::kStays; }
  // Names whose records are gone since the last call.
  std::vector<std::string> TakeForgotten();

 private:
  struct Record {
    MemberStatus status = MemberStatus::kAlive;
    Intent intent;
    Incarnation intent_heard_at;  // the member's, when the intent was set
    bool reaped = false;  // gone for so long that it is about to be forgotten
    // Gone and not to be seen: pruned or reaped. Swim still has it, so that others do not teach us
    // anew.
    bool hidden = false;
    // Not tried again before.
    Time reconnect_at = Time::min();
  };
  using Records = std::map<std::string, Record, std::less<>>;

  // Each step of leaving waits for the one before, or for its time to run out.
  enum class LeaveStep : uint8_t {
    kStays,
    kTells,     // the intent to leave is gossiped, everybody is to see kLeaving
    kLeaves,    // Swim leaves
    kHasLeft,
  };

  using Intents = std::map<std::string_view, Intent>;
  void Changed(const Change& change, const Intents& intents);
  void Displaced(const Entry& former);
  void Hear(std::string_view name, const Intent& intent);
  void PassOn(std::string_view name, const Intent& intent);
  void RefuteLeave();
  void SetIntent(std::string_view name, Record* record, const Intent& intent);
  void Refresh(const std::string& name, Record* record, bool is_new);
  MemberStatus SelfStatus() const;
  void Tell(MemberEventKind kind, const Entry& entry, const Record& record,
            bool heard_late = false);
  void TellTransition(const Entry& entry, const Record& before, const Record& after, bool is_new);
  void TellAll(std::vector<MemberEvent> events);
  ClusterMember View(const Entry& entry, const Record& record) const;
  void CheckMeta(const Entry& entry);
  void Recount(const std::string& name, const Record& before, const Record& after, bool is_new);

  Duration TimeoutOf(const Entry& entry) const;
  // Whether it is gone for so long that it is to be forgotten.
  bool IsOver(const Entry& entry) const;
  void Reap();
  void ReapOne(const std::string& name);
  void Reconnect();
  void ArmTimers();
  void StartSwimLeave();

  ClusterContext* const context_;
  Records records_;
  std::set<std::string> gone_;  // failed or left, hidden ones included
  Counts counts_;
  RecentIntents recent_;
  MemberEventCoalescer coalescer_;
  std::vector<std::string> forgotten_;
  std::map<JoinId, std::string> reconnects_;
  Time reap_at_ = Time::max();
  Time reconnect_at_ = Time::max();
  LeaveStep leave_ = LeaveStep::kStays;
  Time leave_deadline_ = Time::max();
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_CLUSTER_MEMBERS_H_
