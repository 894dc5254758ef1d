#include "services/gossip/cluster_members.h"

#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"

namespace consul::gossip {
namespace {

namespace pb = internal::gossip::v1;

bool IsGone(MemberStatus status) {
  return status == MemberStatus::kLeft || status == MemberStatus::kFailed;
}

MemberStatus StatusOf(LifeState state, bool means_leave) {
  switch (state) {
    case LifeState::kAlive:
    case LifeState::kSuspect:
      return means_leave ? MemberStatus::kLeaving : MemberStatus::kAlive;
    case LifeState::kDead:
      return means_leave ? MemberStatus::kLeft : MemberStatus::kFailed;
    case LifeState::kLeft:
      return MemberStatus::kLeft;
  }
  return MemberStatus::kAlive;
}

// Whether the change means that the member lives after having been gone, or did: one that left can
// only fail in a later life.
bool HasLivedAgain(ChangeKind change, MemberStatus before) {
  switch (change) {
    case ChangeKind::kJoined:
    case ChangeKind::kBack:
      return true;
    case ChangeKind::kFailed:
      return before == MemberStatus::kLeft;
    case ChangeKind::kLeft:
    case ChangeKind::kUpdated:
      return false;
  }
  return false;
}

// An intent to leave of a life that is over is over, too.
Intent IntentOf(const IntentReceived& received) {
  if (!received.of_former_life || !MeansLeave(received.intent)) return received.intent;
  return {received.intent.time, kOutlivedIntent};
}

}  // namespace

ClusterMembers::ClusterMembers(ClusterContext* context)
    : context_(context),
      recent_(context->options.recent_intent_timeout, context->options.recent_intents_max),
      coalescer_(context->options.coalesce_period, context->options.quiescent_period,
                 context->options.coalesce_max) {
  const std::string& name = context_->self_name();
  Refresh(name, &records_[name], /*is_new=*/true);
}

// ---- What Swim says.

void ClusterMembers::Heard(const std::vector<Change>& changes,
                           const std::vector<IntentReceived>& intents) {
  Intents of_new;
  for (const IntentReceived& received : intents) {
    if (!IsSaid(received.intent)) continue;
    context_->member_clock.Witness(received.intent.time);
    if (records_.contains(received.name)) continue;
    const Intent said = IntentOf(received);
    Intent& intent = of_new[received.name];
    if (IsNewer(said, intent)) intent = said;
  }
  for (const Change& change : changes) Changed(change, of_new);
  for (const IntentReceived& received : intents) {
    // What came with a new member is no news for others: whoever hears of it hears of both.
    if (IsSaid(received.intent) && !of_new.contains(received.name)) {
      Hear(received.name, IntentOf(received));
    }
  }
}

void ClusterMembers::Changed(const Change& change, const Intents& intents) {
  const std::string& name = change.entry.member->info.name;
  // What is true by now; changes after this one follow.
  const std::optional<Entry> entry = context_->swim.Find(name);
  if (!entry.has_value()) return;
  if (entry->member->info.id != change.entry.member->info.id) return Displaced(change.entry);
  const auto [found, is_new] = records_.try_emplace(name);
  Record& record = found->second;
  if (is_new) {
    Intent intent = recent_.Take(context_->now, name);
    const auto told = intents.find(name);
    if (told != intents.end() && IsNewer(told->second, intent)) intent = told->second;
    if (IsSaid(intent)) SetIntent(name, &record, intent);
  } else if (HasLivedAgain(change.kind, record.status)) {
    // Swim has forgotten the intent, and is to have what stands here.
    if (MeansLeave(record.intent)) record.intent.kind = kOutlivedIntent;
    if (IsSaid(record.intent)) SetIntent(name, &record, record.intent);
  }
  Refresh(name, &record, is_new);
  // Also when the status is what it was: it may be that of another node id by now.
  if (!record.hidden) context_->members_changed.insert(name);
  if (change.kind == ChangeKind::kUpdated && !is_new && !IsGone(record.status)) {
    CheckMeta(*entry);
    Tell(MemberEventKind::kUpdate, *entry, record);
  }
}

// Another node id has the name by now, as a change after this one says. What there is to tell of
// the one before is its end.
void ClusterMembers::Displaced(const Entry& former) {
  const auto found = records_.find(former.member->info.name);
  if (found == records_.end() || IsLiving(former.state)) return;
  Record& record = found->second;
  const Record before = record;
  record.status = StatusOf(former.state, MeansLeave(record.intent));
  Recount(found->first, before, record, /*is_new=*/false);
  TellTransition(former, before, record, /*is_new=*/false);
}

bool ClusterMembers::JoinEnded(const JoinResult& result) {
  return reconnects_.erase(result.id) > 0;
}

// ---- What members say.

void ClusterMembers::Received(const pb::JoinIntent& intent) {
  const LamportTime time{intent.time()};
  context_->member_clock.Witness(time);
  Hear(intent.name(), {time, kJoinIntent});
}

void ClusterMembers::Received(const pb::LeaveIntent& intent) {
  const LamportTime time{intent.time()};
  context_->member_clock.Witness(time);
  Hear(intent.name(), {time, intent.prune() ? kPruneIntent : kLeaveIntent});
}

void ClusterMembers::Hear(std::string_view name, const Intent& intent) {
  const auto found = records_.find(name);
  if (found == records_.end()) {
    switch (recent_.Put(context_->now, name, intent)) {
      case RecentIntents::PutResult::kNewer:
        PassOn(name, intent);
        return;
      case RecentIntents::PutResult::kOld:
        return;
      case RecentIntents::PutResult::kFull:
        context_->Say({ClusterFactKind::kIntentsFull, std::string(name), {},
                       context_->options.recent_intents_max, ""});
        return;
    }
    return;
  }
  Record& record = found->second;
  if (!IsNewer(intent, record.intent)) return;
  if (context_->IsSelf(name)) {
    // Only this member says what it means to do.
    if (leaving()) return;
    if (MeansLeave(intent)) return RefuteLeave();
  }
  SetIntent(name, &record, intent);
  Refresh(found->first, &record, /*is_new=*/false);
  PassOn(name, intent);
}

void ClusterMembers::PassOn(std::string_view name, const Intent& intent) {
  if (intent.kind == kOutlivedIntent) return;
  pb::ClusterMessage message;
  if (intent.kind == kJoinIntent) {
    message.mutable_join()->set_time(intent.time.value);
    message.mutable_join()->set_name(std::string(name));
  } else {
    message.mutable_leave()->set_time(intent.time.value);
    message.mutable_leave()->set_name(std::string(name));
    message.mutable_leave()->set_prune(intent.kind == kPruneIntent);
  }
  // A newer intent about the same member makes an older one that waits pointless.
  context_->Broadcast(base::StrCat("intent/", name), message, Priority::kIntent);
}

void ClusterMembers::RefuteLeave() {
  AnnounceJoin();
  const Record& self = records_.find(context_->self_name())->second;
  context_->Say({ClusterFactKind::kRefutedLeave, context_->self_name(), {},
                 self.intent.time.value, ""});
}

void ClusterMembers::SetIntent(std::string_view name, Record* record, const Intent& intent) {
  record->intent = intent;
  record->intent_heard_at = context_->swim.Find(name)->incarnation;
  context_->swim.SetIntent(name, intent);
  if (!record->hidden) context_->members_changed.insert(std::string(name));
}

// ---- Status.

// What the record becomes by what Swim believes now, and what is told of it.
void ClusterMembers::Refresh(const std::string& name, Record* record, bool is_new) {
  std::optional<Entry> entry = context_->swim.Find(name);
  CONSUL_CHECK(entry.has_value());
  const Record before = *record;
  if (context_->IsSelf(name)) {
    record->status = SelfStatus();
  } else {
    // Also for Swim it has left: so all others hear of it. Not when its incarnation has risen
    // since: it may be a later life that died, of whose intents we are yet to hear.
    if (entry->state == LifeState::kDead && MeansLeave(record->intent) &&
        entry->incarnation == record->intent_heard_at) {
      context_->swim.MakeLeft(context_->now, name);
      entry = context_->swim.Find(name);
    }
    record->status = StatusOf(entry->state, MeansLeave(record->intent));
    record->reaped = record->reaped && IsGone(record->status) && IsOver(*entry);
    const bool pruned = record->intent.kind == kPruneIntent && IsGone(record->status);
    record->hidden = pruned || record->reaped;
  }
  Recount(name, before, *record, is_new);
  TellTransition(*entry, before, *record, is_new);
}

MemberStatus ClusterMembers::SelfStatus() const {
  switch (leave_) {
    case LeaveStep::kStays:
      return MemberStatus::kAlive;
    case LeaveStep::kTells:
    case LeaveStep::kLeaves:
      return MemberStatus::kLeaving;
    case LeaveStep::kHasLeft:
      return MemberStatus::kLeft;
  }
  return MemberStatus::kAlive;
}

void ClusterMembers::Recount(const std::string& name, const Record& before, const Record& after,
                             bool is_new) {
  const auto add = [this](const Record& record, ptrdiff_t change) {
    if (record.hidden) return;
    counts_.listed += static_cast<size_t>(change);
    if (record.status == MemberStatus::kFailed) counts_.failed += static_cast<size_t>(change);
    if (record.status == MemberStatus::kLeft) counts_.left += static_cast<size_t>(change);
  };
  if (!is_new) add(before, -1);
  add(after, 1);
  if (context_->IsSelf(name)) return;
  if (IsGone(after.status)) {
    gone_.insert(name);
  } else {
    gone_.erase(name);
  }
}

void ClusterMembers::TellTransition(const Entry& entry, const Record& before,
                                    const Record& after, bool is_new) {
  const bool was_listed = !is_new && !before.hidden;
  if (!was_listed && after.hidden) return;
  const std::string& name = entry.member->info.name;
  if (!was_listed || after.hidden || before.status != after.status) {
    context_->members_changed.insert(name);
  }
  if (!was_listed || before.status != after.status) {
    const bool was_there = was_listed && !IsGone(before.status);
    switch (after.status) {
      case MemberStatus::kAlive:
      case MemberStatus::kLeaving:
        if (was_there) break;
        CheckMeta(entry);
        Tell(MemberEventKind::kJoin, entry, after);
        break;
      case MemberStatus::kFailed:
        Tell(MemberEventKind::kFailed, entry, after, /*heard_late=*/!was_listed);
        break;
      case MemberStatus::kLeft:
        Tell(MemberEventKind::kLeave, entry, after, /*heard_late=*/!was_listed);
        break;
    }
  }
  if (after.hidden) Tell(MemberEventKind::kReap, entry, after);
}

void ClusterMembers::Tell(MemberEventKind kind, const Entry& entry, const Record& record,
                          bool heard_late) {
  const MemberInfo& info = entry.member->info;
  context_->members_changed.insert(info.name);
  if (!context_->IsSelf(info.name)) {
    switch (kind) {
      case MemberEventKind::kJoin:
      case MemberEventKind::kUpdate:
        context_->output.records.push_back(AliveRecord{info.name, info.address});
        break;
      case MemberEventKind::kLeave:
      case MemberEventKind::kReap:
        context_->output.records.push_back(NotAliveRecord{info.name});
        forgotten_.push_back(info.name);
        break;
      case MemberEventKind::kFailed:
        break;
    }
  }
  TellAll(coalescer_.Add(context_->now, {kind, View(entry, record), heard_late}));
}

void ClusterMembers::TellAll(std::vector<MemberEvent> events) {
  for (MemberEvent& event : events) context_->output.member_events.push_back(std::move(event));
}

void ClusterMembers::CheckMeta(const Entry& entry) {
  const absl::Status status = DecodeMeta(entry.member->info.meta).status();
  if (status.ok()) return;
  context_->Say({ClusterFactKind::kMetaUnreadable, entry.member->info.name,
                 entry.member->info.address, 0, std::string(status.message())});
}

// ---- What is known.

ClusterMember ClusterMembers::View(const Entry& entry, const Record& record) const {
  const MemberInfo& info = entry.member->info;
  ClusterMember member;
  member.name = info.name;
  member.id = info.id;
  member.address = info.address;
  member.status = record.status;
  member.status_time = record.intent.time;
  member.protocol = info.protocol;
  if (absl::StatusOr<MemberMeta> meta = DecodeMeta(info.meta); meta.ok()) {
    member.tags = std::move(meta->tags);
    member.versions = meta->versions;
  }
  return member;
}

std::optional<ClusterMember> ClusterMembers::Find(std::string_view name) const {
  const auto found = records_.find(name);
  if (found == records_.end() || found->second.hidden) return std::nullopt;
  return View(*context_->swim.Find(name), found->second);
}

std::vector<ClusterMember> ClusterMembers::All() const {
  std::vector<ClusterMember> members;
  members.reserve(counts_.listed);
  for (const auto& [name, record] : records_) {
    if (!record.hidden) members.push_back(View(*context_->swim.Find(name), record));
  }
  return members;
}

std::vector<std::string> ClusterMembers::TakeForgotten() {
  return std::exchange(forgotten_, {});
}

}  // namespace consul::gossip
