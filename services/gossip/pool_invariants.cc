#include "services/gossip/pool_invariants.h"

#include "services/base/strings.h"

namespace consul::gossip {
namespace {

MemberStatus GoneAs(MemberEventKind kind) {
  return kind == MemberEventKind::kLeave ? MemberStatus::kLeft : MemberStatus::kFailed;
}

}  // namespace

void PoolInvariants::Expect(bool holds, std::string_view what, std::string_view about) {
  if (holds || !broken_.empty()) return;
  broken_ = base::StrCat(at_, ": ", what, about.empty() ? "" : ": ", about);
}

void PoolInvariants::Started(const std::string& name, bool coalesces) {
  seen_[name] = Seen{};
  seen_[name].coalesces = coalesces;
}

void PoolInvariants::Check(const std::string& name, const Cluster& cluster,
                           const ClusterOutput& output) {
  ++checks_;
  at_ = name;
  Seen& seen = seen_[name];
  if (!seen.coalesces) CheckMemberEvents(&seen, cluster, output);
  CheckPublished(&seen, cluster, output);
  if (!seen.coalesces) CheckStatuses(seen, cluster);
  CheckWords(&seen, output);
  CheckStats(&seen, cluster);
}

void PoolInvariants::CheckPublished(Seen* seen, const Cluster& cluster,
                                    const ClusterOutput& output) {
  for (const std::string& name : output.members_changed) {
    if (const auto member = cluster.Find(name); member.has_value()) {
      seen->published.insert_or_assign(name, *member);
    } else {
      seen->published.erase(name);
    }
  }
  const std::vector<ClusterMember> members = cluster.Members();
  Expect(members.size() == seen->published.size(),
         "members_changed names whoever appears or vanishes");
  for (const ClusterMember& member : members) {
    const auto found = seen->published.find(member.name);
    Expect(found != seen->published.end() && found->second == member,
           "members_changed names whoever is not what it was", member.name);
  }
}

// Whether `entry` is of a life after the one that was last told gone, if any was.
bool PoolInvariants::InLaterLife(const Seen& seen, const std::string& name,
                                 const std::optional<Entry>& entry) {
  const auto gone = seen.gone.find(name);
  return gone == seen.gone.end() || !entry.has_value() ||
         entry->incarnation > gone->second.incarnation || entry->member->info.id != gone->second.id;
}

void PoolInvariants::CheckMemberEvents(Seen* seen, const Cluster& cluster,
                                       const ClusterOutput& output) {
  // Whoever is forgotten after its time is new when it comes again.
  std::erase_if(seen->gone, [&](const auto& gone) {
    return !seen->told.contains(gone.first) && !cluster.swim().Find(gone.first).has_value();
  });
  for (const MemberEvent& event : output.member_events) {
    const std::string& name = event.member.name;
    const auto told = seen->told.find(name);
    const bool was_there = told != seen->told.end() && told->second == MemberStatus::kAlive;
    const std::optional<Entry> entry = cluster.swim().Find(name);
    switch (event.kind) {
      case MemberEventKind::kJoin:
        Expect(!was_there, "a member joins that was not there", name);
        Expect(InLaterLife(*seen, name, entry), "nobody comes back by old words", name);
        seen->told[name] = MemberStatus::kAlive;
        continue;
      case MemberEventKind::kUpdate:
        Expect(was_there, "a member is updated that is there", name);
        continue;
      case MemberEventKind::kLeave:
      case MemberEventKind::kFailed:
        Expect(was_there || event.heard_late ||
                   (told != seen->told.end() && told->second != GoneAs(event.kind)),
               "a member goes that was there, or that went otherwise", name);
        Expect(!event.heard_late || told == seen->told.end(),
               "only who was not known is heard of late", name);
        if (event.kind == MemberEventKind::kFailed && told != seen->told.end() &&
            told->second == MemberStatus::kLeft) {
          const auto gone = seen->gone.find(name);
          Expect(InLaterLife(*seen, name, entry) || gone->second.state == LifeState::kDead,
                 "who left for Swim fails in a later life", name);
        }
        seen->told[name] = GoneAs(event.kind);
        break;
      case MemberEventKind::kReap:
        Expect(told != seen->told.end() && !was_there, "a member is reaped that is gone", name);
        seen->told.erase(name);
        break;
    }
    if (entry.has_value()) {
      seen->gone[name] = {entry->incarnation, event.member.id, entry->state};
    }
  }
}

void PoolInvariants::CheckStatuses(const Seen& seen, const Cluster& cluster) {
  for (const ClusterMember& member : cluster.Members()) {
    const auto told = seen.told.find(member.name);
    Expect(told != seen.told.end(), "whoever is listed has been told of", member.name);
    if (told == seen.told.end()) continue;
    const bool there = member.status == MemberStatus::kAlive ||
                       member.status == MemberStatus::kLeaving;
    Expect(there ? told->second == MemberStatus::kAlive : told->second == member.status,
           "the last event is what the status says", member.name);
    const std::optional<Entry> entry = cluster.swim().Find(member.name);
    Expect(entry.has_value(), "whoever is listed is in Swim's table", member.name);
    if (!entry.has_value() || member.name == cluster.swim().self().name) continue;
    Expect(there == IsLiving(entry->state), "there is whoever Swim says lives", member.name);
    Expect(entry->state != LifeState::kLeft || member.status == MemberStatus::kLeft,
           "whoever left for Swim has left", member.name);
  }
  Expect(seen.told.size() == cluster.Members().size(), "whoever is told of is listed");
}

void PoolInvariants::CheckWords(Seen* seen, const ClusterOutput& output) {
  for (const UserEvent& event : output.user_events) {
    Expect(seen->events.emplace(event.time.value, event.name, event.payload).second,
           "a user event is told once", event.name);
  }
  for (const QueryReceived& query : output.queries) {
    Expect(seen->queries.insert(query.id).second, "a query has an id of its own", query.name);
  }
  Expect(!output.leave_done || !seen->leave_done, "a leave is done once");
  seen->leave_done = seen->leave_done || output.leave_done;
}

void PoolInvariants::CheckStats(Seen* seen, const Cluster& cluster) {
  const ClusterStats stats = cluster.Stats();
  size_t failed = 0;
  size_t left = 0;
  size_t members = 0;
  for (const ClusterMember& member : cluster.Members()) {
    ++members;
    failed += member.status == MemberStatus::kFailed ? 1 : 0;
    left += member.status == MemberStatus::kLeft ? 1 : 0;
  }
  Expect(stats.failed == failed && stats.left == left && stats.members == members,
         "the counts are those of the list");
  Expect(seen->stats.member_time <= stats.member_time &&
             seen->stats.event_time <= stats.event_time &&
             seen->stats.query_time <= stats.query_time,
         "Lamport clocks never go back");
  seen->stats = stats;
}

}  // namespace consul::gossip
