// Two node ids of one name: whose it is.
//
// A living incumbent keeps its name; that of a dead one is free after a while, that of one that
// left at once. Two that are both alive settle it between themselves: the one with the larger id,
// once it has heard the other answer, leaves.
//
// At one address there is no such question. Only one process has it, so a member whose machine was
// set up anew is the successor of the one that was there, however lately that was alive. Not
// because it says so, nor because anybody does: each member asks at the address, and the id that
// answers has the name. So a stale word of the former id takes nothing back, and whoever claims a
// living member's address gets nothing: it is not let in, and where it is with others already it
// finds the other at its address and leaves.
#include <algorithm>
#include <utility>

#include "services/base/strings.h"
#include "services/gossip/swim.h"

namespace consul::gossip {
namespace {

// Members learn of a death at different times. Who has just heard of it still takes a newcomer that
// another member, which knew earlier, has let in.
constexpr int kReclaimDivisor = 2;

// Two entries of dead ids are told apart by their ages, which travel in whole seconds.
constexpr Duration kAgeError = std::chrono::seconds(2);

// How often one is asked whether it is there, for packets are lost: a successor a probe timeout
// apart, a member that may have moved within one.
constexpr int kSuccessorAsksMax = 3;

// For so long one may have to learn that whom it knows is a copy. Who has known it for longer is of
// its pool, and keeps to it.
constexpr Duration kNewcomerFor = std::chrono::minutes(1);

// A copy is heard of again in each exchange of whoever believes it.
constexpr Duration kCopySaidEvery = std::chrono::minutes(1);

// Whose the name is, and who wants it.
std::string Belongs(const MemberInfo& newcomer, const MemberInfo& held) {
  const auto of = [](const MemberInfo& who) {
    return base::StrCat("node id ", who.id, " at ", who.address.ToString());
  };
  return base::StrCat("name '", newcomer.name, "' of ", of(newcomer), " belongs to ", of(held));
}

}  // namespace

void Swim::HearOtherId(Slot held, const Entry& entry, const Source& source) {
  const LifeState state = table_.state(held);
  if (!IsLiving(entry.state)) {
    // Of two that are gone the later one is what is told.
    const bool later = entry.since > table_.since(held) + kAgeError;
    if (IsLiving(state) || !later) return;
    table_.Set(held, entry.member, entry.incarnation, entry.state, entry.since, &random_);
    Note(entry.state == LifeState::kLeft ? ChangeKind::kLeft : ChangeKind::kFailed, held);
    return;
  }
  if (IsFree(held)) {
    GiveName(held, entry, source.spread);
  } else if (table_.member(held)->info.address == entry.member->info.address) {
    AskAbout(held, entry, source, /*of_pool=*/true);
  } else if (IsLiving(state)) {
    NoticeConflict(held, entry.member, entry.incarnation);
  }
}

bool Swim::IsFree(Slot held) const {
  const LifeState state = table_.state(held);
  if (IsLiving(state)) return false;
  return state == LifeState::kLeft ||
         now_ - table_.since(held) >= options_.dead_node_reclaim / kReclaimDivisor;
}

void Swim::GiveName(Slot held, const Entry& newcomer, bool spread) {
  if (IsLiving(table_.state(held))) {
    suspicions_.End(held);
    const MemberPtr former = table_.member(held);
    if (probe_.has_value() && probe_->target->info.name == former->info.name) {
      EndProbe(/*answered=*/false);
    }
    table_.Set(held, former, table_.incarnation(held), LifeState::kDead, now_, &random_);
    Note(ChangeKind::kFailed, held);
  }
  table_.Set(held, newcomer.member, newcomer.incarnation, LifeState::kAlive, now_, &random_);
  table_.SetIntent(held, {});
  Note(ChangeKind::kJoined, held);
  if (spread) SpreadAlive(held);
}

// ---- Successors.

Slot Swim::HeldAtAddressOf(const MemberInfo& newcomer) const {
  const Slot held = table_.Find(newcomer.name);
  if (!held || held == MemberTable::self_slot()) return {};
  const MemberInfo& info = table_.member(held)->info;
  const bool claimed = info.id != newcomer.id && info.address == newcomer.address;
  return claimed && !IsFree(held) ? held : Slot{};
}

Slot Swim::LeftBehindBy(const MemberInfo& newcomer) const {
  Slot found;
  for (const Slot slot : table_.FindById(newcomer.id)) {
    if (slot == MemberTable::self_slot() || !IsLiving(table_.state(slot))) continue;
    const MemberInfo& info = table_.member(slot)->info;
    if (info.name == newcomer.name && info.address == newcomer.address) return {};
    if (!IsVacant(slot, newcomer)) found = slot;
  }
  return found;
}

bool Swim::IsVacant(Slot held, const MemberInfo& newcomer) const {
  const MemberInfo& former = table_.member(held)->info;
  return std::any_of(successions_.begin(), successions_.end(), [&](const Succession& each) {
    const MemberInfo& other = each.newcomer.member->info;
    return each.kind == SuccessionKind::kVacant && each.asked == former.name &&
           each.at == former.address && other.name == newcomer.name && other.id == newcomer.id;
  });
}

bool Swim::AskAbout(Slot held, const Entry& newcomer, const Source& source, bool of_pool) {
  const MemberInfo& info = newcomer.member->info;
  const MemberInfo& former = table_.member(held)->info;
  const bool heeds = source.larger && now_ - table_.since(held) < kNewcomerFor;
  const SuccessionKind kind = former.id != info.id ? SuccessionKind::kSuccessor
                              : heeds              ? SuccessionKind::kOriginal
                                                   : SuccessionKind::kMoved;
  const bool itself = source.peer == info.name;
  bool asked_already = false;
  for (Succession& known : successions_) {
    const MemberInfo& other = known.newcomer.member->info;
    const bool same = known.kind == SuccessionKind::kOriginal ? known.at == info.address
                                                              : known.kind == kind;
    if (!same || other.name != info.name || other.id != info.id) continue;
    known.itself = known.itself || itself;
    known.spread = known.spread || source.spread;
    known.of_pool = known.of_pool || of_pool;
    if (newcomer.incarnation > known.newcomer.incarnation) known.newcomer = newcomer;
    if (itself && kind == SuccessionKind::kSuccessor) {
      // It is there now, whoever did not answer before: maybe it was about to start.
      known.asked_count = 0;
      known.ask_at = now_;
    }
    asked_already = true;
  }
  if (asked_already) return life_ == Life::kMember;
  const MemberInfo& asked = kind == SuccessionKind::kMoved ? former : info;
  return Begin({.newcomer = newcomer,
                .asked = asked.name,
                .at = asked.address,
                .kind = kind,
                .spread = source.spread,
                .itself = itself,
                .of_pool = of_pool});
}

void Swim::HastenQuestions(const Endpoint& to) {
  for (Succession& each : successions_) {
    if (each.kind != SuccessionKind::kMoved || each.at != to) continue;
    each.asked_count = kSuccessorAsksMax;
    each.ask_at = now_;
  }
}

// What is heard of again is asked for again.
bool Swim::Begin(Succession succession) {
  if (life_ != Life::kMember || successions_.size() >= options_.successions_max) return false;
  // A number that nobody can guess who does not get the ping.
  succession.sequence = Sequence{static_cast<uint32_t>(random_.Next())};
  successions_.push_back(std::move(succession));
  Ask(&successions_.back());
  return true;
}

void Swim::Ask(Succession* succession) {
  const Member& member = *succession->newcomer.member;
  // Each member asks before it believes a move, and so each hop of the news waits.
  const bool quickly = succession->kind == SuccessionKind::kMoved;
  succession->ask_at = now_ + options_.probe_timeout / (quickly ? kSuccessorAsksMax : 1);
  ++succession->asked_count;
  Send(succession->at,
       {EncodePing(PingOf(succession->sequence, succession->asked, member.id_check))});
}

// The slot of the member whose place it would take; none when there is none by now.
Slot Swim::PlaceOf(const Succession& succession) const {
  const MemberInfo& info = succession.newcomer.member->info;
  const Slot held = table_.Find(succession.asked);
  if (!held) return {};
  const MemberInfo& former = table_.member(held)->info;
  if (former.address != succession.at) return {};
  const bool open = succession.kind == SuccessionKind::kMoved
                        ? former.id == info.id && IsLiving(table_.state(held))
                        : former.id != info.id && table_.state(held) != LifeState::kLeft;
  return open ? held : Slot{};
}

bool Swim::SuccessorAnswered(const AckMessage& ack) {
  const auto found =
      std::find_if(successions_.begin(), successions_.end(), [&](const Succession& each) {
        return each.kind != SuccessionKind::kVacant && each.sequence == ack.sequence &&
               each.asked == ack.name;
      });
  if (found == successions_.end()) return false;
  const Succession succession = *found;
  successions_.erase(found);
  const MemberPtr& newcomer = succession.newcomer.member;
  if (succession.kind == SuccessionKind::kOriginal) {
    HeedOriginal(succession);
    return true;
  }
  const Slot held = PlaceOf(succession);
  if (succession.kind == SuccessionKind::kMoved && held) {
    const std::string why = WhyCopy(held, newcomer->info);
    if (EndAsking(succession, why) == 0) SayCopy(newcomer->info, why);
    return true;
  }
  if (succession.kind == SuccessionKind::kMoved) {
    // It has said meanwhile that it is somewhere else.
    GiveUp(succession);
    return true;
  }
  if (succession.of_pool && held) {
    GiveName(held, succession.newcomer, succession.spread);
  } else if (succession.of_pool) {
    HearAlive(newcomer, succession.newcomer.incarnation, {{}, succession.spread});
  }
  EndAsking(succession, "");
  return true;
}

// The copy is told at once: who believes it here may be all that it knows.
void Swim::HeedOriginal(const Succession& original) {
  const MemberPtr& member = original.newcomer.member;
  const Slot held = LeftBehindBy(member->info);
  if (!held) return;
  const MemberInfo copy = table_.member(held)->info;
  Succession over = original;
  over.asked = copy.name;
  over.at = copy.address;
  Forgo(over);
  if (copy.name != member->info.name) {
    BecomeGone(held, table_.incarnation(held), LifeState::kDead, now_, self().name, {{}, false});
  }
  HearAlive(member, original.newcomer.incarnation, {{}, original.spread});
  Stream stream;
  stream.expires_at = now_ + options_.stream_timeout;
  stream.turns = true;
  OpenStream(copy.address, std::move(stream));
}

void Swim::Forgo(Succession succession) {
  if (successions_.size() >= options_.successions_max) return;
  succession.kind = SuccessionKind::kVacant;
  succession.ask_at = now_ + options_.probe_interval;
  successions_.push_back(std::move(succession));
}

void Swim::TickSuccessions() {
  std::vector<Succession> over;
  for (Succession& succession : successions_) {
    if (succession.ask_at > now_) continue;
    const bool open = succession.kind == SuccessionKind::kOriginal || PlaceOf(succession);
    const bool asks = succession.kind != SuccessionKind::kVacant;
    if (asks && open && succession.asked_count < kSuccessorAsksMax) {
      Ask(&succession);
      continue;
    }
    if (asks) over.push_back(succession);
    succession.ask_at = Time::max();
  }
  std::erase_if(successions_, [](const Succession& each) { return each.ask_at == Time::max(); });
  for (const Succession& succession : over) GiveUp(succession);
}

void Swim::GiveUp(const Succession& succession) {
  const MemberPtr& newcomer = succession.newcomer.member;
  const MemberInfo& info = newcomer->info;
  if (succession.kind == SuccessionKind::kOriginal) return;
  const Slot held = PlaceOf(succession);
  if (succession.kind == SuccessionKind::kMoved) {
    if (held) Forgo(succession);
    if (succession.of_pool) {
      HearAlive(newcomer, succession.newcomer.incarnation, {{}, succession.spread});
    }
    EndAsking(succession, "");
    return;
  }
  const size_t refused = EndAsking(succession, held ? WhyNoSuccessor(held, info) : "");
  const bool all_the_while =
      held && now_ - table_.since(held) > kSuccessorAsksMax * options_.probe_timeout;
  if (!all_the_while || !succession.itself || refused > 0) return;
  Say(FactKind::kNameConflict, info.name, info.address, 0,
      base::StrCat("node id ", table_.member(held)->info.id, " has it, ", info.id,
                   " wants it and does not answer at that one's address"));
}

// ---- Conflicts.

// The two hear of each other, which they may not otherwise: whoever refuses a claim does not pass
// it on.
void Swim::NoticeConflict(Slot held, const MemberPtr& other, Incarnation incarnation) {
  if (now_ < next_conflict_at_) return;
  next_conflict_at_ = now_ + options_.probe_interval;
  const MemberPtr& member = table_.member(held);
  Say(FactKind::kNameConflict, member->info.name, other->info.address, 0,
      base::StrCat("node id ", member->info.id, " has it, ", other->info.id, " wants it"));
  Send(member->info.address, {EncodeAlive(*other, incarnation)});
  Send(other->info.address, {EncodeAlive(*member, table_.incarnation(held))});
}

void Swim::HearRival(const MemberPtr& rival, Incarnation incarnation) {
  if (life_ != Life::kMember) return;
  // At our own address it is a former life of this machine, one that says to be where only we can
  // be, or the one that is there while we are not. Our ping comes to ourselves, or it answers.
  const bool at_ours = rival->info.address == self().address;
  Time& next_at = at_ours ? next_namesake_at_ : next_conflict_at_;
  if (now_ < next_at) return;
  next_at = now_ + options_.probe_interval;
  if (!at_ours && self().id < rival->info.id) {
    Say(FactKind::kNameConflict, self().name, rival->info.address, 0,
        base::StrCat("ours, node id ", self().id, ", keeps it; ", rival->info.id, " loses it"));
    Send(rival->info.address, {EncodeAlive(*self_, incarnation_)});
    SpreadAlive(MemberTable::self_slot());
    return;
  }
  // What was heard may be years old. The rival itself must answer.
  (at_ours ? namesake_ : rival_) = AskRival(rival, incarnation);
}

Rival Swim::AskRival(const MemberPtr& rival, Incarnation incarnation) {
  PingMessage ping;
  ping.sequence = NextSequence();
  ping.target = rival->info.name;
  ping.target_id_check = rival->id_check;
  ping.source = self().name;
  ping.incarnation = incarnation;
  ping.info_check = static_cast<uint32_t>(rival->info_hash);
  Send(rival->info.address, {EncodePing(ping)});
  return {rival, ping.sequence};
}

bool Swim::IsOfOurRival(const PingMessage& ping) {
  if (ping.source != self().name) return false;
  for (std::optional<Rival>* const rival : {&rival_, &namesake_}) {
    if (!rival->has_value() || ping.sequence != (*rival)->sequence ||
        ping.target_id_check != (*rival)->member->id_check) {
      continue;
    }
    rival->reset();
    return true;
  }
  return false;
}

bool Swim::RivalAnswered(const AckMessage& ack) {
  if (ack.name != self().name) return false;
  for (std::optional<Rival>* const rival : {&rival_, &namesake_}) {
    if (!rival->has_value() || ack.sequence != (*rival)->sequence) continue;
    const MemberPtr member = std::exchange(*rival, std::nullopt)->member;
    if (life_ == Life::kMember) LoseName(member);
    return true;
  }
  return false;
}

void Swim::LoseName(const MemberPtr& rival) {
  Say(FactKind::kNameConflict, self().name, rival->info.address, 0,
      base::StrCat("node id ", rival->info.id, " keeps it; ours, ", self().id, ", loses it"));
  output_.name_lost_to = rival;
  StartLeaving(Belongs(self(), rival->info));
}

std::string Swim::WhyNoSuccessor(Slot held, const MemberInfo& newcomer) const {
  return base::StrCat(Belongs(newcomer, table_.member(held)->info), "; node id ", newcomer.id,
                      " does not answer there");
}

bool Swim::IsCopyOfSelf(const MemberInfo& newcomer) const {
  return newcomer.id == self().id &&
         (newcomer.name != self().name || newcomer.address != self().address);
}

// In the reference's words.
std::string Swim::WhyCopy(Slot held, const MemberInfo& newcomer) const {
  const MemberInfo& member = table_.member(held)->info;
  return base::StrCat("Member '", newcomer.name, "' at ", newcomer.address.ToString(),
                      " has conflicting node ID '", newcomer.id, "' with member '", member.name,
                      "' at ", member.address.ToString(),
                      ", which is there: its data is in use, and must not be copied");
}

void Swim::SayCopy(const MemberInfo& copy, const std::string& why) {
  if (now_ < next_copy_said_at_) return;
  next_copy_said_at_ = now_ + kCopySaidEvery;
  Say(FactKind::kNameConflict, copy.name, copy.address, 0, why);
}

// A pool is right that is larger than ours. One of our own pool is not right by itself: it may have
// met a copy of ours before it met us.
bool Swim::IsCopyIndeed(const Stream& stream, const GoodbyeMessage& goodbye) const {
  if (goodbye.kind != GoodbyeKind::kCopy || life_ != Life::kMember) return false;
  if (goodbye.turned) return true;
  bool ours = false;
  table_.ForEach([&](Slot slot) {
    const MemberInfo& info = table_.member(slot)->info;
    const bool peer = info.name == stream.peer_name || info.address == stream.peer;
    ours = ours || (peer && slot != MemberTable::self_slot() && IsLiving(table_.state(slot)));
  });
  const size_t living = counts().living();
  if (ours && living > 2) return false;
  return living < std::max<size_t>(goodbye.living_count, 2);
}

std::string Swim::WhyNameHeld(const Entry& newcomer) const {
  const MemberInfo& info = newcomer.member->info;
  const Slot slot = table_.Find(info.name);
  if (!slot) return "";
  const MemberInfo& held = table_.member(slot)->info;
  if (held.id == info.id) return "";
  // Its successor, which will be asked.
  if (held.address == info.address && slot != MemberTable::self_slot()) return "";
  const std::string names = Belongs(info, held);
  const LifeState state = table_.state(slot);
  if (IsLiving(state)) return base::StrCat(names, ", which is living");
  const Duration gone = now_ - table_.since(slot);
  if (state == LifeState::kLeft || gone >= options_.dead_node_reclaim) return "";
  const auto seconds = [](Duration duration) {
    return std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  };
  return base::StrCat(names, ", which died ", seconds(gone), " s ago: it is free after ",
                      seconds(options_.dead_node_reclaim), " s");
}

}  // namespace consul::gossip
