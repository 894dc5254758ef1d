// What Swim believes of whom, and why: the order of claims, and refutation.
//
// Claims about one node id are ordered by incarnation, and within one alive < suspect < dead <
// left: whatever order they come in, the highest is what remains. Between two ids of one name there
// is no such order: swim_names.cc.
#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/gossip/swim.h"

namespace consul::gossip {
// ---- Others.

void Swim::HearAlive(const MemberPtr& member, Incarnation incarnation, const Source& source) {
  if (member->info.name == self().name) {
    if (member->info.id == self().id) {
      HearOfSelf(member, incarnation);
    } else {
      HearRival(member, incarnation);
    }
    return;
  }
  // Our own former name, or that of a copy: whose it is turns out when the two meet.
  if (member->info.id == self().id) return;
  const Slot slot = table_.Find(member->info.name);
  const bool known = slot && table_.member(slot)->info.id == member->info.id;
  const bool news = !known || incarnation > table_.incarnation(slot);
  // A larger pool may be right about who of two has the id, whatever their incarnations.
  if (!news && !source.larger) return;
  const Entry entry{member, incarnation, LifeState::kAlive, now_, {}};
  const Slot left_behind = LeftBehindBy(member->info);
  // What comes from where it was is its own word.
  if (left_behind && table_.member(left_behind)->info.address != source.from) {
    AskAbout(left_behind, entry, source, /*of_pool=*/true);
    return;
  }
  if (!news) return;
  if (!slot) {
    AddMember(entry, source);
    return;
  }
  if (!known) {
    HearOtherId(slot, entry, source);
    return;
  }
  const LifeState before = table_.state(slot);
  const Time since = before == LifeState::kAlive ? table_.since(slot) : now_;
  const bool changed = table_.member(slot)->info_hash != member->info_hash;
  const MemberPtr now_known = changed ? member : table_.member(slot);
  suspicions_.End(slot);
  table_.Set(slot, now_known, incarnation, LifeState::kAlive, since, &random_);
  if (!IsLiving(before)) {
    table_.SetIntent(slot, {});
    Note(ChangeKind::kBack, slot);
  } else if (changed) {
    Note(ChangeKind::kUpdated, slot);
  }
  if (source.spread) SpreadAlive(slot);
}

void Swim::AddMember(const Entry& entry, const Source& source) {
  if (table_.counts().total() >= options_.members_max) {
    SayRarely(&table_full_count_, FactKind::kTableFull, entry.member->info.name,
              entry.member->info.address, options_.members_max);
    return;
  }
  const Slot slot =
      table_.Add(entry.member, entry.incarnation, entry.state, entry.since, &random_);
  switch (entry.state) {
    case LifeState::kAlive:
    case LifeState::kSuspect:
      Note(ChangeKind::kJoined, slot);
      if (source.spread) SpreadAlive(slot);
      return;
    case LifeState::kDead:
      Note(ChangeKind::kFailed, slot);
      return;
    case LifeState::kLeft:
      Note(ChangeKind::kLeft, slot);
      return;
  }
}

void Swim::HearSuspect(const SuspectClaim& claim, const Source& source) {
  if (claim.name == self().name) {
    if (ClaimIsOfSelf(claim.name, claim.id_check)) Refute(claim.incarnation, claim.accuser);
    return;
  }
  const Slot slot = table_.Find(claim.name);
  if (!slot || table_.member(slot)->id_check != claim.id_check) return;
  if (!IsLiving(table_.state(slot)) || claim.incarnation < table_.incarnation(slot)) return;
  const bool same = claim.incarnation == table_.incarnation(slot);
  if (same && table_.state(slot) == LifeState::kSuspect) {
    // Passed on, or the others would not know that there is one accuser more.
    if (suspicions_.Confirm(slot, claim.accuser)) Spread(slot, EncodeSuspect(claim));
    return;
  }
  BecomeSuspect(slot, claim.incarnation, claim.accuser, source);
}

void Swim::BecomeSuspect(Slot slot, Incarnation incarnation, std::string_view accuser,
                         const Source& source) {
  const MemberPtr member = table_.member(slot);
  table_.Set(slot, member, incarnation, LifeState::kSuspect, now_, &random_);
  suspicions_.Begin(slot,
                    Suspicion(BoundsFor(options_, counts().living()), now_, accuser));
  Say(FactKind::kSuspected, member->info.name, member->info.address, 0, std::string(accuser));
  if (source.spread) Spread(slot, EncodeSuspect(SuspectClaimOf(slot, accuser)));
}

void Swim::HearDead(const DeadClaim& claim, const Source& source) {
  if (claim.name == self().name) {
    if (ClaimIsOfSelf(claim.name, claim.id_check)) Refute(claim.incarnation, claim.accuser);
    return;
  }
  const Slot slot = table_.Find(claim.name);
  if (!slot || table_.member(slot)->id_check != claim.id_check) return;
  const Incarnation held = table_.incarnation(slot);
  const LifeState state = table_.state(slot);
  // Left is above dead, and both are above living, within one incarnation.
  const bool above = IsLiving(state) || (state == LifeState::kDead && claim.left);
  if (claim.incarnation < held || (claim.incarnation == held && !above)) return;
  BecomeGone(slot, claim.incarnation, claim.left ? LifeState::kLeft : LifeState::kDead, now_,
             claim.accuser, source);
}

void Swim::BecomeGone(Slot slot, Incarnation incarnation, LifeState state, Time since,
                      std::string_view accuser, const Source& source) {
  const LifeState before = table_.state(slot);
  const MemberPtr member = table_.member(slot);
  suspicions_.End(slot);
  table_.Set(slot, member, incarnation, state, since, &random_);
  if (state == LifeState::kDead) {
    std::erase_if(recently_dead_, [slot](const RecentlyDead& dead) { return dead.slot == slot; });
    recently_dead_.push_back({slot, now_ + options_.gossip_to_the_dead});
  }
  // One that left can only have died in a later life.
  if (before == LifeState::kLeft && state == LifeState::kDead) table_.SetIntent(slot, {});
  if (state != before) {
    Note(state == LifeState::kLeft ? ChangeKind::kLeft : ChangeKind::kFailed, slot);
  }
  if (source.spread) SpreadDead(slot, accuser);
}

// ---- Entries of exchanges.

void Swim::HearEntry(const Entry& entry, const Source& source) {
  const MemberInfo& info = entry.member->info;
  if (info.name == self().name) {
    const bool ours = info.id == self().id;
    if (IsLiving(entry.state)) {
      HearAlive(entry.member, entry.incarnation, source);
    } else if (ours && life_ == Life::kMember && entry.incarnation >= incarnation_) {
      // Often of a former life: no sign of bad health.
      RaiseAbove(entry.incarnation);
    }
    if (!ours) return;
  } else {
    const Slot slot = table_.Find(info.name);
    if (IsLiving(entry.state)) {
      HearAlive(entry.member, entry.incarnation, source);
    } else if (slot && table_.member(slot)->info.id != info.id) {
      HearOtherId(slot, entry, source);
    } else {
      HearGoneEntry(slot, entry, source);
    }
  }
  const Slot slot = table_.Find(info.name);
  if (!slot || table_.member(slot)->info.id != info.id) return;
  // Hearsay begins a suspicion but does not confirm one: the peer may be no accuser itself. What it
  // says of one that is somewhere else is not about this one.
  const bool there = table_.member(slot)->info.address == info.address;
  if (entry.state == LifeState::kSuspect && there && table_.state(slot) == LifeState::kAlive &&
      entry.incarnation >= table_.incarnation(slot) && slot != MemberTable::self_slot()) {
    BecomeSuspect(slot, entry.incarnation, source.peer, source);
  }
  if (entry.intent.time.value != 0 && entry.intent != table_.entry(slot).intent) {
    const bool former = !IsLiving(entry.state) && entry.incarnation < table_.incarnation(slot);
    output_.intents.push_back({info.name, entry.intent, former});
  }
}

// `slot` is that of the same id, or none.
void Swim::HearGoneEntry(Slot slot, const Entry& entry, const Source& source) {
  const bool left = entry.state == LifeState::kLeft;
  if (!slot) {
    const Duration remembered = left ? options_.remember_left : options_.remember_dead;
    if (now_ - entry.since < remembered && !Evicted(entry)) AddMember(entry, source);
    return;
  }
  const Incarnation held = table_.incarnation(slot);
  if (entry.incarnation < held) return;
  const LifeState state = table_.state(slot);
  if (IsLiving(state) && !left) {
    // It may live, and have had no chance to say so.
    if (state == LifeState::kAlive) BecomeSuspect(slot, entry.incarnation, source.peer, source);
    return;
  }
  const bool above = IsLiving(state) || (state == LifeState::kDead && left);
  if (entry.incarnation == held && !above) return;
  BecomeGone(slot, entry.incarnation, entry.state, entry.since, source.peer, source);
}

// ---- Self.

bool Swim::ClaimIsOfSelf(std::string_view name, uint32_t id_check) const {
  return name == self().name && id_check == self_->id_check;
}

void Swim::Refute(Incarnation claimed, std::string_view accuser) {
  if (life_ != Life::kMember || claimed < incarnation_) return;
  awareness_.Add(1);
  RaiseAbove(claimed);
  Say(FactKind::kRefuted, self().name, {}, incarnation_.value, std::string(accuser));
}

// Of a former life, or of a copy of this machine.
void Swim::HearOfSelf(const MemberPtr& member, Incarnation incarnation) {
  if (life_ != Life::kMember || incarnation < incarnation_) return;
  const bool same = member->info_hash == self_->info_hash;
  if (incarnation == incarnation_ && same) return;
  if (!same && member->info.address != self().address && now_ >= next_conflict_at_) {
    next_conflict_at_ = now_ + options_.probe_interval;
    Say(FactKind::kNameConflict, self().name, member->info.address, incarnation.value,
        base::StrCat("node id ", self().id, " is ours, and was heard of at another address"));
  }
  RaiseAbove(incarnation);
}

void Swim::RaiseAbove(Incarnation claimed) {
  SetSelf(self_, claimed.Next());
  SpreadAlive(MemberTable::self_slot());
}

void Swim::SetSelf(MemberPtr self, Incarnation incarnation) {
  self_ = std::move(self);
  incarnation_ = incarnation;
  const Slot slot = MemberTable::self_slot();
  table_.Set(slot, self_, incarnation_, table_.state(slot), table_.since(slot), &random_);
}

void Swim::UpdateAddress(Time now, const Endpoint& address) {
  if (!Advance(now) || life_ != Life::kMember || address == self().address) return;
  MemberInfo info = self();
  info.address = address;
  CONSUL_CHECK(info.valid());
  SetSelf(std::make_shared<const Member>(std::move(info)), incarnation_.Next());
  SpreadAlive(MemberTable::self_slot());
}

void Swim::UpdateMeta(Time now, std::string meta) {
  if (!Advance(now) || life_ != Life::kMember || meta == self().meta) return;
  MemberInfo info = self();
  info.meta = std::move(meta);
  CONSUL_CHECK(info.valid());
  SetSelf(std::make_shared<const Member>(std::move(info)), incarnation_.Next());
  SpreadAlive(MemberTable::self_slot());
}

void Swim::SetClusterId(std::string cluster_id) { pool_.cluster_id = std::move(cluster_id); }

// ---- Ends.

bool Swim::Evict(std::string_view name) {
  const Slot slot = table_.Find(name);
  if (!slot || slot == MemberTable::self_slot() || IsLiving(table_.state(slot))) return false;
  std::erase_if(recently_dead_, [slot](const RecentlyDead& dead) { return dead.slot == slot; });
  evicted_.push_back({table_.member(slot)->name_hash, table_.member(slot)->id_check,
                      table_.incarnation(slot), now_ + options_.remember_evicted});
  if (evicted_.size() > options_.evicted_max) evicted_.pop_front();
  table_.Remove(slot);
  return true;
}

// Whether a dead or left member was in the table before, and taken out.
bool Swim::Evicted(const Entry& entry) {
  while (!evicted_.empty() && evicted_.front().until <= now_) evicted_.pop_front();
  return std::any_of(evicted_.begin(), evicted_.end(), [&](const EvictedMember& evicted) {
    return evicted.name_hash == entry.member->name_hash &&
           evicted.id_check == entry.member->id_check &&
           evicted.incarnation >= entry.incarnation;
  });
}

bool Swim::MakeLeft(Time now, std::string_view name) {
  if (!Advance(now)) return false;
  const Slot slot = table_.Find(name);
  if (!slot || slot == MemberTable::self_slot()) return false;
  const LifeState state = table_.state(slot);
  if (state == LifeState::kAlive || state == LifeState::kLeft) return false;
  BecomeGone(slot, table_.incarnation(slot), LifeState::kLeft, now_, self().name, {});
  return true;
}

bool Swim::SetIntent(std::string_view name, Intent intent) {
  CONSUL_CHECK(intent.kind <= 255);
  const Slot slot = table_.Find(name);
  if (!slot) return false;
  table_.SetIntent(slot, intent);
  return true;
}

SuspectClaim Swim::SuspectClaimOf(Slot slot, std::string_view accuser) const {
  const MemberPtr& member = table_.member(slot);
  return {member->info.name, member->id_check, table_.incarnation(slot), std::string(accuser)};
}

std::string Swim::ClaimAgainst(Slot slot) const {
  const MemberPtr& member = table_.member(slot);
  switch (table_.state(slot)) {
    case LifeState::kAlive:
      return "";
    case LifeState::kSuspect:
      return EncodeSuspect(SuspectClaimOf(slot, self().name));
    case LifeState::kDead:
    case LifeState::kLeft:
      break;
  }
  return EncodeDead({member->info.name, member->id_check, table_.incarnation(slot), self().name,
                     table_.state(slot) == LifeState::kLeft});
}

}  // namespace consul::gossip
