// What Swim has to tell everybody: broadcasts, and the last of them, the own leave.
#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/gossip/swim.h"

namespace consul::gossip {

// ---- Queueing.

void Swim::Spread(Slot slot, std::string bytes) {
  if (!Queued()) next_gossip_at_ = std::max(next_gossip_at_, now_);
  // A newer claim about a member makes the older ones pointless, whatever they say.
  if (membership_.Add(table_.member(slot)->info.name, std::move(bytes)) > 0) {
    SayRarely(&dropped_count_, FactKind::kBroadcastDropped, {}, {}, options_.broadcasts_max);
  }
}

void Swim::SpreadAlive(Slot slot) {
  Spread(slot, EncodeAlive(*table_.member(slot), table_.incarnation(slot)));
}

void Swim::SpreadDead(Slot slot, std::string_view accuser) {
  const MemberPtr& member = table_.member(slot);
  Spread(slot, EncodeDead({member->info.name, member->id_check, table_.incarnation(slot),
                           std::string(accuser), table_.state(slot) == LifeState::kLeft}));
}

bool Swim::Broadcast(Time now, std::string_view topic, std::string_view message,
                     Priority priority) {
  if (message.size() > options_.custom_bytes_max) return false;
  if (!Advance(now)) return true;
  if (!Queued()) next_gossip_at_ = std::max(next_gossip_at_, now_);
  BroadcastQueue& queue = customs_[static_cast<size_t>(priority)];
  if (queue.Add(topic, EncodeCustom(message)) > 0) {
    SayRarely(&dropped_count_, FactKind::kBroadcastDropped, {}, {}, options_.broadcasts_max);
  }
  return true;
}

bool Swim::SendCustom(const Endpoint& to, std::string_view message) {
  if (message.size() > options_.custom_bytes_max) return false;
  if (life_ != Life::kGone) Send(to, {EncodeCustom(message)});
  return true;
}

bool Swim::Queued() const {
  return !membership_.empty() ||
         std::any_of(customs_.begin(), customs_.end(),
                     [](const BroadcastQueue& queue) { return !queue.empty(); });
}

// ---- Sending.

void Swim::FillUp(std::string* bytes) {
  const int transmits_max = TransmitLimit(options_.retransmit_mult, counts().living());
  const auto room = [&] {
    return options_.packet_bytes_max - std::min(options_.packet_bytes_max, bytes->size());
  };
  membership_.Take(room(), transmits_max, bytes);
  for (BroadcastQueue& queue : customs_) queue.Take(room(), transmits_max, bytes);
}

void Swim::Send(const Endpoint& to, std::vector<std::string> parts) {
  std::string bytes;
  for (const std::string& part : parts) {
    CONSUL_CHECK(part.size() <= options_.packet_bytes_max);
    if (bytes.size() + part.size() > options_.packet_bytes_max) {
      output_.packets.push_back({to, std::exchange(bytes, {})});
    }
    bytes += part;
  }
  FillUp(&bytes);
  if (!bytes.empty()) output_.packets.push_back({to, std::move(bytes)});
}

// While the own broadcast waits, it fills up every packet and needs no second copy there.
void Swim::TellOfSelf(std::vector<std::string>* parts) {
  if (!membership_.Holds(self().name)) parts->push_back(EncodeAlive(*self_, incarnation_));
}

// ---- Gossip.

Time Swim::GossipDeadline() const { return Queued() ? next_gossip_at_ : Time::max(); }

// News leaves at once if the last packets are an interval old, so that it crosses a quiet pool as
// fast as the network carries it. With nothing to tell, no packet is sent.
void Swim::TickGossip() {
  if (!Queued() || now_ < next_gossip_at_) return;
  next_gossip_at_ = now_ + options_.gossip_interval;
  const std::vector<Endpoint> targets = GossipTargets();
  if (targets.empty()) {
    // Nobody to tell; who joins learns all of it in the exchange.
    membership_.Clear();
    for (BroadcastQueue& queue : customs_) queue.Clear();
  }
  for (const Endpoint& to : targets) {
    std::string bytes;
    FillUp(&bytes);
    if (bytes.empty()) return;
    output_.packets.push_back({to, std::move(bytes)});
  }
}

std::vector<Endpoint> Swim::GossipTargets() {
  ForgetOldDead();
  const std::vector<Slot>& ring = table_.ring();
  std::vector<Endpoint> targets;
  for (const size_t place : random_.Sample(ring.size() + recently_dead_.size(),
                                           static_cast<size_t>(options_.gossip_nodes))) {
    const Slot slot =
        place < ring.size() ? ring[place] : recently_dead_[place - ring.size()].slot;
    targets.push_back(table_.member(slot)->info.address);
  }
  return targets;
}

void Swim::ForgetOldDead() {
  std::erase_if(recently_dead_, [this](const RecentlyDead& dead) {
    return dead.until <= now_ || table_.state(dead.slot) != LifeState::kDead;
  });
}

// ---- Leave.

void Swim::Leave(Time now) {
  if (!Advance(now) || life_ != Life::kMember) return;
  StartLeaving("this member is leaving");
}

void Swim::StartLeaving(const std::string& why) {
  life_ = Life::kLeaving;
  leave_ends_at_ = now_ + options_.leave_timeout;
  Withdraw(why);
  SpreadDead(MemberTable::self_slot(), self().name);
}

void Swim::EndAsCopy(const std::string& why) {
  Withdraw(why);
  life_ = Life::kGone;
  output_.copy_of = why;
  output_.left_done = true;
}

void Swim::Withdraw(const std::string& why) {
  probe_.reset();
  successions_.clear();
  for (const auto& [id, stream] : streams_) {
    const bool in_exchange = !stream.probe && stream.phase != StreamPhase::kOpening &&
                             stream.phase != StreamPhase::kClosing;
    if (in_exchange) SendGoodbye(id, GoodbyeKind::kOther, why);
    output_.stream_closes.push_back({id});
    FailJoin(stream, why);
  }
  streams_.clear();
  table_.Set(MemberTable::self_slot(), self_, incarnation_, LifeState::kLeft, now_, &random_);
}

void Swim::TickLeave() {
  if (membership_.Holds(self().name) && now_ < leave_ends_at_) return;
  life_ = Life::kGone;
  output_.left_done = true;
}

}  // namespace consul::gossip
