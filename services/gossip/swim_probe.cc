// How Swim finds out who does not answer: one probe in each protocol period, with the help of
// others and of a stream; and the help that it gives to others.
#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/gossip/swim.h"

namespace consul::gossip {
namespace {

// When a helper says that the target is silent: in time for the asker, who then knows that it can
// reach others. That is 80 % of the probe timeout, or of what its period has left after it, which
// in the WAN profile is less.
Duration NackWait(const SwimOptions& options) {
  return std::min(options.probe_timeout, options.probe_interval - options.probe_timeout) * 8 / 10;
}

// The wait for a straight answer is never shorter than this part of the probe timeout, whatever
// round trips were: a member may pause for a moment.
constexpr int kAckWaitDivisor = 2;
// How far above what round trips have been the wait is, and how many must have been seen.
constexpr int kRoundTripFactor = 4;
constexpr int kRoundTripsMin = 5;

}  // namespace

// ---- The own probe.

Time Swim::ProbeDeadline() const {
  if (!probe_.has_value()) return next_probe_at_;
  Time deadline = std::min(probe_->ask_at, probe_->end);
  if (EvidenceComplete()) {
    deadline = std::min(deadline, probe_->stream.value == 0 ? now_ : probe_->evidence_at);
  }
  return deadline;
}

// Every helper says that the target is silent: there is nobody left to wait for but the stream.
bool Swim::EvidenceComplete() const {
  return options_.lifeguard && probe_->asked_count > 0 && probe_->helpers.empty();
}

void Swim::TickProbe() {
  if (probe_.has_value()) {
    if (probe_->ask_at <= now_) AskOthers();
    if (ProbeDeadline() <= now_) JudgeProbe();
  }
  if (!probe_.has_value() && next_probe_at_ <= now_) StartProbe();
}

void Swim::StartProbe() {
  next_probe_at_ = now_ + awareness_.Scale(options_.probe_interval);
  const Slot slot = table_.NextInRing(&random_);
  if (!slot) return;
  Probe probe;
  probe.target = table_.member(slot);
  probe.incarnation = table_.incarnation(slot);
  probe.sequence = NextSequence();
  probe.sent_at = now_;
  probe.ask_at = now_ + awareness_.Scale(AckWait());
  probe.evidence_at = Time::max();
  probe.end = next_probe_at_;
  probe_ = probe;
  std::vector<std::string> parts;
  // The buddy system: nobody has more reason to hear of a suspicion than the suspect.
  if (options_.lifeguard && table_.state(slot) == LifeState::kSuspect) {
    parts.push_back(EncodeSuspect(SuspectClaimOf(slot, self().name)));
  }
  const MemberInfo& info = probe.target->info;
  parts.push_back(EncodePing(PingOf(probe.sequence, info.name, probe.target->id_check)));
  Send(info.address, std::move(parts));
}

// Others are asked sooner where answers come soon: they then have more of the period for it, and a
// death is known sooner.
Duration Swim::AckWait() const {
  if (!options_.lifeguard || round_trips_.samples() < kRoundTripsMin) return options_.probe_timeout;
  return std::clamp(kRoundTripFactor * round_trips_.bound(),
                    options_.probe_timeout / kAckWaitDivisor, options_.probe_timeout);
}

PingMessage Swim::PingOf(Sequence sequence, std::string_view target, uint32_t id_check) const {
  PingMessage ping;
  ping.sequence = sequence;
  ping.target = std::string(target);
  ping.target_id_check = id_check;
  ping.source = self().name;
  const Slot slot = table_.Find(target);
  if (slot && table_.member(slot)->id_check == id_check) {
    ping.incarnation = table_.incarnation(slot);
    ping.info_check = static_cast<uint32_t>(table_.member(slot)->info_hash);
  }
  return ping;
}

void Swim::AskOthers() {
  probe_->ask_at = Time::max();
  probe_->evidence_at = now_ + awareness_.Scale(NackWait(options_));
  const MemberPtr target = probe_->target;
  const MemberInfo& info = target->info;
  const auto skip = [&](Slot slot) {
    return table_.state(slot) != LifeState::kAlive || table_.member(slot)->info.name == info.name;
  };
  const IndirectPingMessage ask{probe_->sequence, info.name, target->id_check, info.address,
                                self().name};
  for (const Slot helper :
       table_.PickLiving(static_cast<size_t>(options_.indirect_checks), &random_, skip)) {
    const MemberInfo& helper_info = table_.member(helper)->info;
    probe_->helpers.push_back(helper_info.name);
    Send(helper_info.address, {EncodeIndirectPing(ask)});
  }
  probe_->asked_count = probe_->helpers.size();
  if (!options_.tcp_probes) return;
  Stream stream;
  stream.probe = true;
  stream.expires_at = probe_->end;
  probe_->stream = OpenStream(info.address, std::move(stream));
}

void Swim::EndProbe(bool answered) {
  const StreamId stream = probe_->stream;
  probe_.reset();
  if (stream.value != 0) CloseStream(stream);
  if (answered) awareness_.Add(-1);
}

void Swim::JudgeProbe() {
  const Probe probe = *probe_;
  const MemberInfo& info = probe.target->info;
  EndProbe(/*answered=*/false);
  Say(FactKind::kProbeFailed, info.name, info.address);
  // Helpers that reported nothing at all are a sign that we are the one who is cut off.
  awareness_.Add(probe.asked_count == 0 ? 1 : static_cast<int>(probe.helpers.size()));
  HearSuspect({info.name, probe.target->id_check, probe.incarnation, self().name}, {});
}

void Swim::HandleAck(const Endpoint& from, AckMessage& ack) {
  if (RivalAnswered(ack) || SuccessorAnswered(ack)) return;
  if (probe_.has_value() && ack.sequence == probe_->sequence) {
    const MemberPtr target = probe_->target;
    if (ack.name != target->info.name) {
      Say(FactKind::kWrongName, target->info.name, from, 0, ack.name);
      return;
    }
    if (probe_->ask_at != Time::max()) {
      const Duration rtt = now_ - probe_->sent_at;
      round_trips_.Add(rtt);
      output_.rtts.push_back({target, rtt, std::move(ack.payload)});
    }
    EndProbe(/*answered=*/true);
    return;
  }
  for (Relay& relay : relays_) {
    if (relay.sequence != ack.sequence || relay.target != ack.name) continue;
    ack.sequence = relay.asker_sequence;
    Send(relay.asker, {EncodeAck(ack)});
    relay = std::move(relays_.back());
    relays_.pop_back();
    return;
  }
}

void Swim::HandleNack(const NackMessage& nack) {
  if (!probe_.has_value() || nack.sequence != probe_->sequence) return;
  std::erase(probe_->helpers, nack.source);
}

void Swim::ProbeAnsweredByStream() {
  Say(FactKind::kTcpOnly, probe_->target->info.name, probe_->target->info.address);
  EndProbe(/*answered=*/true);
}

void Swim::ProbeStreamFailed(StreamId stream) {
  if (probe_.has_value() && probe_->stream == stream) probe_->stream = StreamId{};
}

// ---- For others.

void Swim::HandlePing(const Endpoint& from, const PingMessage& ping, bool stale) {
  const bool ours = ping.target == self().name &&
                    (ping.target_id_check == 0 || ping.target_id_check == self_->id_check);
  if (!ours) {
    if (IsOfOurRival(ping)) return;
    // Addresses are used again. An ack would keep the one who had it before alive for ever.
    if (TellOfSuccession(from, ping)) return;
    Say(FactKind::kWrongName, ping.target, from, 0, self().name);
    return;
  }
  std::vector<std::string> parts;
  if (BelievedWrongly(ping) || (stale && life_ == Life::kMember)) TellOfSelf(&parts);
  // Whoever is believed to be gone and asks all the same is told, and refutes.
  const Slot slot = table_.Find(ping.source);
  if (slot && slot != MemberTable::self_slot() && table_.state(slot) != LifeState::kAlive) {
    parts.push_back(ClaimAgainst(slot));
  }
  parts.push_back(EncodeAck({ping.sequence, self().name, ack_payload_}));
  Send(from, std::move(parts));
}

// A member of this pool means the one who had our name and address before: it has missed the news.
// Who is no member may be one of another pool, which is to let us in first, or not.
bool Swim::TellOfSuccession(const Endpoint& from, const PingMessage& ping) {
  if (life_ != Life::kMember || ping.target != self().name) return false;
  const Slot slot = table_.Find(ping.source);
  if (!slot || slot == MemberTable::self_slot() || !IsLiving(table_.state(slot))) return false;
  // Another pool may have members of the same names, but elsewhere.
  if (table_.member(slot)->info.address != from) return false;
  std::vector<std::string> parts;
  TellOfSelf(&parts);
  Send(from, std::move(parts));
  return true;
}

bool Swim::BelievedWrongly(const PingMessage& ping) {
  if (life_ != Life::kMember || ping.incarnation.value == 0) return false;
  const auto info_check = static_cast<uint32_t>(self_->info_hash);
  if (ping.incarnation == incarnation_ && ping.info_check == info_check) return false;
  // A former life's count was higher, or as high with another address or meta.
  if (ping.incarnation >= incarnation_ && ping.incarnation.valid()) RaiseAbove(ping.incarnation);
  return true;
}

void Swim::HandleIndirectPing(const Endpoint& from, const IndirectPingMessage& ping) {
  if (relays_.size() >= options_.relays_max) return;
  Relay relay;
  relay.sequence = NextSequence();
  relay.asker = from;
  relay.asker_sequence = ping.sequence;
  relay.target = ping.target;
  relay.address = ping.address;
  relay.nack_at = options_.lifeguard ? now_ + NackWait(options_) : Time::max();
  // The asker hears a late answer as long as its own period lasts.
  relay.expires_at = now_ + options_.probe_interval;
  Send(ping.address, {EncodePing(PingOf(relay.sequence, ping.target, ping.target_id_check))});
  relays_.push_back(std::move(relay));
}

void Swim::TickRelays() {
  for (Relay& relay : relays_) {
    if (relay.nack_at > now_) continue;
    relay.nack_at = Time::max();
    Send(relay.asker, {EncodeNack({relay.asker_sequence, self().name})});
  }
  std::erase_if(relays_, [this](const Relay& relay) { return relay.expires_at <= now_; });
}

void Swim::SetAckPayload(std::string payload) {
  CONSUL_CHECK(payload.size() <= options_.ack_payload_bytes_max);
  ack_payload_ = std::move(payload);
}

}  // namespace consul::gossip
