#include "services/gossip/swim_invariants.h"

#include <algorithm>

#include "services/base/strings.h"
#include "services/gossip/wire.h"

namespace consul::gossip {

void SwimInvariants::OnStart(uint32_t host, const Swim& swim) {
  lives_[host] = {swim.incarnation(), false, {}};
  Incarnation& highest = highest_[swim.self().id];
  highest = std::max(highest, swim.incarnation());
}

void SwimInvariants::OnPreload(uint32_t host, const Swim& swim) {
  swim.ForEachMember([&](const Entry& entry) {
    MemberPtr& told = lives_[host].known[entry.member->info.name].told;
    if (told == nullptr) told = entry.member;
  });
}

void SwimInvariants::OnForged(const std::string& id, Incarnation incarnation) {
  Incarnation& highest = highest_[id];
  highest = std::max(highest, incarnation);
}

void SwimInvariants::Break(const Swim& swim, std::string what) {
  if (broken_.empty()) broken_ = base::StrCat(swim.self().name, ": ", what);
}

void SwimInvariants::OnOutput(uint32_t host, const Swim& swim, const Output& output,
                              bool ticked) {
  // Raised in this step, and told in it.
  Incarnation& highest = highest_[swim.self().id];
  highest = std::max(highest, swim.incarnation());
  Life& life = lives_[host];
  if (life.gone && (!output.packets.empty() || !output.stream_opens.empty() ||
                    !output.changes.empty() || output.left_done)) {
    Break(swim, "is gone and still speaks");
  }
  life.gone = life.gone || output.left_done;
  for (const Change& change : output.changes) CheckChange(swim, change, &life);
  for (const Packet& packet : output.packets) CheckPacket(swim, packet, ticked);
  for (const StreamSend& send : output.stream_sends) {
    if (send.message.size() > swim.options().stream_message_bytes_max) {
      Break(swim, base::StrCat("a stream message of ", send.message.size(), " bytes"));
    }
  }
}

void SwimInvariants::CheckPacket(const Swim& swim, const Packet& packet, bool ticked) {
  if (packet.bytes.empty()) Break(swim, "an empty packet");
  if (packet.bytes.size() > swim.options().packet_bytes_max) {
    Break(swim, base::StrCat("a packet of ", packet.bytes.size(), " bytes"));
  }
  const auto parts = DecodePacket(packet.bytes);
  if (!parts.has_value()) {
    Break(swim, "sends what it would drop");
    return;
  }
  // What a Tick sends of its own accord is for those who are there, or died not long ago. Nacks
  // answer, and pings name who is meant.
  if (!ticked || parts->nack.has_value()) return;
  bool known = false;
  bool wanted = false;
  swim.ForEachMember([&](const Entry& entry) {
    const MemberInfo& info = entry.member->info;
    if (info.address != packet.to || (parts->ping && parts->ping->target != info.name)) return;
    known = true;
    wanted = wanted || entry.state != LifeState::kLeft;
  });
  if (known && !wanted) {
    Break(swim, base::StrCat("contacts ", packet.to.ToString(), ", which has left"));
  }
}

void SwimInvariants::Check(uint32_t host, const Swim& swim) {
  ++checks_;
  Life& life = lives_[host];
  if (swim.incarnation() < life.incarnation) Break(swim, "its incarnation fell");
  life.incarnation = swim.incarnation();
  Incarnation& highest = highest_[swim.self().id];
  highest = std::max(highest, swim.incarnation());
  CheckTable(swim);
  CheckBeliefs(swim, &life);
  CheckSuspicions(swim);
  const QueueLengths queued = swim.queue_lengths();
  const size_t longest =
      std::max({queued.membership, queued.intents, queued.queries, queued.events});
  if (longest > swim.options().broadcasts_max) Break(swim, "a queue above its limit");
  if (swim.health_score() < 0 || swim.health_score() > swim.options().awareness_max) {
    Break(swim, "a health score out of its bounds");
  }
}

void SwimInvariants::CheckTable(const Swim& swim) {
  const MemberTable& table = swim.table_for_test();
  if (!table.ConsistentForTest()) Break(swim, "ring, counts or index differ from the rows");
  if (table.bucket_hashes() != table.RecomputeBucketHashesForTest()) {
    Break(swim, "bucket hashes differ from their rows");
  }
  if (table.counts().total() > swim.options().members_max) Break(swim, "too many members");
  swim.ForEachMember([&](const Entry& entry) {
    const auto highest = highest_.find(entry.member->info.id);
    if (highest == highest_.end() || entry.incarnation > highest->second) {
      Break(swim, base::StrCat("believes incarnation ", entry.incarnation.value, " of ",
                               entry.member->info.name, ", which never said so"));
    }
  });
  const auto self = swim.Find(swim.self().name);
  const LifeState wanted = swim.leaving() ? LifeState::kLeft : LifeState::kAlive;
  if (!self.has_value() || self->incarnation != swim.incarnation() || self->state != wanted ||
      self->member->info != swim.self()) {
    Break(swim, "its own entry differs from itself");
  }
}

// Changes make sense in their order: whoever follows them knows who is there.
void SwimInvariants::CheckChange(const Swim& swim, const Change& change, Life* life) {
  const Entry& entry = change.entry;
  Known& known = life->known[entry.member->info.name];
  const bool told = known.told != nullptr;
  const bool same = told && known.told->info.id == entry.member->info.id;
  const bool was_living = told && IsLiving(known.told_state);
  bool right = false;
  switch (change.kind) {
    case ChangeKind::kJoined:
      right = !same && !was_living && IsLiving(entry.state);
      break;
    case ChangeKind::kUpdated:
      right = same && was_living && IsLiving(entry.state) &&
              known.told->info != entry.member->info;
      break;
    case ChangeKind::kBack:
      right = same && !was_living && IsLiving(entry.state);
      break;
    case ChangeKind::kFailed:
      right = entry.state == LifeState::kDead &&
              (same ? known.told_state != LifeState::kDead : !was_living);
      break;
    case ChangeKind::kLeft:
      right = entry.state == LifeState::kLeft &&
              (same ? known.told_state != LifeState::kLeft : !was_living);
      break;
  }
  if (!right) {
    Break(swim, base::StrCat("a change of kind ", static_cast<int>(change.kind), " of ",
                             entry.member->info.name, ", which was ",
                             told ? ToText(known.told_state) : "unknown"));
  }
  known.told = entry.member;
  known.told_state = entry.state;
}

// What is believed is what was told, and of one node id it never goes back: to a lower incarnation,
// or within one from dead to living.
void SwimInvariants::CheckBeliefs(const Swim& swim, Life* life) {
  swim.ForEachMember([&](const Entry& entry) {
    const MemberInfo& info = entry.member->info;
    if (info.name == swim.self().name) return;
    Known& known = life->known[info.name];
    const bool as_told = known.told != nullptr && known.told->info == info &&
                         (IsLiving(entry.state) ? IsLiving(known.told_state)
                                                : entry.state == known.told_state);
    if (!as_told) Break(swim, base::StrCat("believes other than it told of ", info.name));
    const bool back = known.id == info.id &&
                      (entry.incarnation < known.incarnation ||
                       (entry.incarnation == known.incarnation && entry.state < known.state));
    if (back) {
      Break(swim, base::StrCat("went back to ", ToText(entry.state), " ", entry.incarnation.value,
                               " of ", info.name, ", from ", ToText(known.state), " ",
                               known.incarnation.value));
    }
    known.id = info.id;
    known.incarnation = entry.incarnation;
    known.state = entry.state;
  });
  std::erase_if(life->known, [&](const auto& item) {
    if (swim.Find(item.first).has_value()) return false;
    if (IsLiving(item.second.told_state)) {
      Break(swim, base::StrCat("has forgotten ", item.first, ", which it believed living"));
    }
    return true;
  });
}

void SwimInvariants::CheckSuspicions(const Swim& swim) {
  const MemberTable& table = swim.table_for_test();
  const Suspicions& suspicions = swim.suspicions_for_test();
  size_t suspects = 0;
  table.ForEach([&](Slot slot) {
    const Suspicion* suspicion = suspicions.Find(slot);
    const bool suspect = table.state(slot) == LifeState::kSuspect;
    suspects += suspect ? 1 : 0;
    if (suspect != (suspicion != nullptr)) Break(swim, "a suspect without a suspicion");
    if (suspicion == nullptr) return;
    const Duration wait = suspicion->deadline() - suspicion->start();
    const SuspicionBounds& bounds = suspicion->bounds();
    if (wait < bounds.timeout_min || wait > bounds.timeout_max ||
        suspicion->confirmations() > bounds.confirmations_max) {
      Break(swim, "a suspicion out of its bounds");
    }
  });
  if (suspects != suspicions.size()) Break(swim, "a suspicion of nobody");
}

}  // namespace consul::gossip
