#include "services/gossip/swim.h"

#include <algorithm>
#include <utility>

#include "services/base/check.h"

namespace consul::gossip {
namespace {

// A step that comes this much of a probe timeout after it was due means that the process did not
// run: what it did not receive meanwhile proves nothing.
constexpr int kSleepDivisor = 2;

bool PowerOfTwo(uint64_t number) { return (number & (number - 1)) == 0; }

}  // namespace

Swim::Swim(SwimOptions options, PoolIdentity pool, MemberInfo self, uint64_t seed, Time now)
    : options_(options),
      pool_(std::move(pool)),
      self_(std::make_shared<const Member>(std::move(self))),
      random_(seed),
      now_(now),
      table_(self_, incarnation_, now),
      awareness_(options.lifeguard ? options.awareness_max : 0),
      sequence_(static_cast<uint32_t>(random_.Next())),
      membership_(options.broadcasts_max, options.broadcast_bytes_max),
      customs_{BroadcastQueue(options.broadcasts_max, options.broadcast_bytes_max),
               BroadcastQueue(options.broadcasts_max, options.broadcast_bytes_max),
               BroadcastQueue(options.broadcasts_max, options.broadcast_bytes_max)},
      next_gossip_at_(now),
      next_namesake_at_(now),
      next_conflict_at_(now),
      next_copy_said_at_(now) {
  CONSUL_CHECK(self_->info.valid());
  // Members that start together do not probe and exchange in step for ever.
  const auto random_part = [this](Duration whole) {
    return Duration(static_cast<Duration::rep>(
        random_.Below(static_cast<uint64_t>(whole.count()))));
  };
  next_probe_at_ = now + random_part(options_.probe_interval);
  next_exchange_at_ = now + random_part(options_.push_pull_interval);
}

// ---- Time.

// Returns whether there is still a member whom inputs concern.
bool Swim::Advance(Time now) {
  if (life_ == Life::kGone) return false;
  const Time due = NextDeadline();
  now_ = std::max(now_, now);
  const bool slept = due < now_ && now_ - due > options_.probe_timeout / kSleepDivisor;
  if (slept && options_.lifeguard) Slept(now_ - due);
  return true;
}

// Others may have answered, and refuted, while this process did not run. Its probe is void; what
// it suspects has as long to refute as if the time had not passed; an answer of whom it asked for a
// name may be there unread, and is waited for; and it trusts itself less.
void Swim::Slept(Duration late) {
  Say(FactKind::kSlowSelf, {}, {},
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(late).count()));
  awareness_.Add(1);
  if (probe_.has_value()) {
    const StreamId stream = probe_->stream;
    probe_.reset();
    if (stream.value != 0) CloseStream(stream);
  }
  relays_.clear();
  next_probe_at_ = std::max(next_probe_at_, now_);
  suspicions_.Postpone(late);
  for (Succession& each : successions_) {
    each.ask_at = std::max(each.ask_at, now_ + options_.probe_timeout);
  }
  for (auto& [id, stream] : streams_) stream.expires_at += late;
  // Much may have happened: ask somebody, rather than to believe what has become old.
  const bool long_sleep = late > options_.probe_interval * options_.suspicion_mult;
  next_exchange_at_ = long_sleep ? now_ : std::max(next_exchange_at_, now_);
  next_gossip_at_ = std::max(next_gossip_at_, now_);
  if (life_ == Life::kLeaving) leave_ends_at_ = std::max(leave_ends_at_, now_);
}

void Swim::Tick(Time now) {
  if (!Advance(now)) return;
  TickRelays();
  while (const Slot slot = suspicions_.TakeDue(now_)) {
    BecomeGone(slot, table_.incarnation(slot), LifeState::kDead, now_, self().name, {});
  }
  TickSuccessions();
  if (life_ == Life::kMember) TickProbe();
  TickStreams();
  if (life_ == Life::kMember) TickExchange();
  TickGossip();
  if (life_ == Life::kLeaving) TickLeave();
}

Time Swim::NextDeadline() const {
  if (life_ == Life::kGone) return Time::max();
  Time deadline = std::min(suspicions_.next_deadline(), GossipDeadline());
  for (const Relay& relay : relays_) {
    deadline = std::min({deadline, relay.nack_at, relay.expires_at});
  }
  for (const Succession& each : successions_) deadline = std::min(deadline, each.ask_at);
  for (const auto& [id, stream] : streams_) deadline = std::min(deadline, stream.expires_at);
  if (life_ == Life::kLeaving) return std::min(deadline, leave_ends_at_);
  return std::min({deadline, ProbeDeadline(), next_exchange_at_});
}

// ---- Packets.

void Swim::ReceivePacket(Time now, const Endpoint& from, std::string_view plain) {
  if (!Advance(now)) return;
  std::optional<PacketParts> parts = DecodePacket(plain);
  if (!parts.has_value()) {
    Malformed(from);
    return;
  }
  Dispatch(from, *parts);
}

// Who answers where a member is asked for is there, and what it says of itself beside the answer is
// its own word, whatever address its packets leave from: a machine may have several.
Endpoint Swim::WhereAsked(const AliveClaim& claim, const PacketParts& parts,
                          const Endpoint& from) const {
  if (!parts.ack.has_value()) return from;
  for (const Succession& each : successions_) {
    const bool answers = each.kind == SuccessionKind::kMoved &&
                         each.sequence == parts.ack->sequence && each.asked == parts.ack->name &&
                         each.newcomer.member->info.id == claim.member->info.id;
    if (answers) return each.at;
  }
  return from;
}

// Claims come before the probe beside them: an ack to the one who suspects us refutes it already.
void Swim::Dispatch(const Endpoint& from, PacketParts& parts) {
  const Incarnation before = incarnation_;
  bool stale = false;
  for (const AliveClaim& claim : parts.alives) {
    HearAlive(claim.member, claim.incarnation, {.from = WhereAsked(claim, parts, from)});
  }
  for (const SuspectClaim& claim : parts.suspects) {
    stale = stale || (ClaimIsOfSelf(claim.name, claim.id_check) && claim.incarnation < before);
    HearSuspect(claim, {});
  }
  for (const DeadClaim& claim : parts.deads) {
    stale = stale || (ClaimIsOfSelf(claim.name, claim.id_check) && claim.incarnation < before);
    HearDead(claim, {});
  }
  for (std::string& custom : parts.customs) {
    output_.customs.push_back({from, std::move(custom)});
  }
  if (parts.ping.has_value()) HandlePing(from, *parts.ping, stale);
  // The sender believes what was refuted long ago, and may be the only one who does.
  if (stale && !parts.ping.has_value() && life_ == Life::kMember) {
    std::vector<std::string> answer;
    TellOfSelf(&answer);
    Send(from, std::move(answer));
  }
  if (parts.indirect_ping.has_value()) HandleIndirectPing(from, *parts.indirect_ping);
  if (parts.ack.has_value()) HandleAck(from, *parts.ack);
  if (parts.nack.has_value()) HandleNack(*parts.nack);
}

void Swim::PacketUndeliverable(Time now, const Endpoint& to) {
  if (!Advance(now)) return;
  const auto hasten = [this](Time* at) {
    if (*at != Time::max()) *at = std::min(*at, now_);
  };
  if (probe_.has_value() && probe_->target->info.address == to) hasten(&probe_->ask_at);
  for (Relay& relay : relays_) {
    if (relay.address == to) hasten(&relay.nack_at);
  }
  HastenQuestions(to);
}

// ---- Words.

void Swim::Malformed(const Endpoint& from) {
  ++malformed_count_;
  if (PowerOfTwo(malformed_count_)) Say(FactKind::kMalformed, {}, from, malformed_count_);
}

void Swim::Say(FactKind kind, std::string_view name, const Endpoint& address, uint64_t number,
               std::string text) {
  output_.facts.push_back({kind, std::string(name), address, number, std::move(text)});
}

void Swim::SayRarely(uint64_t* count, FactKind kind, std::string_view name,
                     const Endpoint& address, uint64_t number) {
  if (PowerOfTwo(++*count)) Say(kind, name, address, number);
}

void Swim::Note(ChangeKind kind, Slot slot) {
  output_.changes.push_back({kind, table_.entry(slot)});
}

Output Swim::TakeOutput() { return std::exchange(output_, Output{}); }

// ---- What is known.

std::optional<Entry> Swim::Find(std::string_view name) const {
  const Slot slot = table_.Find(name);
  if (!slot) return std::nullopt;
  return table_.entry(slot);
}

void Swim::ForEachMember(const std::function<void(const Entry&)>& visit) const {
  table_.ForEach([&](Slot slot) { visit(table_.entry(slot)); });
}

QueueLengths Swim::queue_lengths() const {
  return {membership_.size(), customs_[0].size(), customs_[1].size(), customs_[2].size()};
}

std::string_view Swim::probed_for_test() const {
  return probe_.has_value() ? std::string_view(probe_->target->info.name) : std::string_view();
}

void Swim::PreloadForTest(const std::vector<MemberPtr>& members) {
  for (const MemberPtr& member : members) {
    if (member->info.name == self().name) continue;
    table_.Add(member, Incarnation{1}, LifeState::kAlive, now_, &random_);
  }
}

}  // namespace consul::gossip
