// Streams of Swim: probes by stream, and exchanges, in which two members bring what they know of
// the pool to one state by sending only what differs. gossip.proto (StreamMessage) is the order of
// messages.
#include <algorithm>
#include <cmath>
#include <utility>
#include <variant>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/gossip/swim.h"

namespace consul::gossip {
namespace {

// In a pool of up to this size, exchanges come at the interval itself.
constexpr double kExchangeScaleFrom = 32;

// One who knows less than this part of what we know gets all of it at once: digests would name
// nearly everything, and cost a round trip.
constexpr size_t kNewcomerDivisor = 4;

FactKind FactOf(GoodbyeKind kind) {
  switch (kind) {
    case GoodbyeKind::kPool:
      return FactKind::kMergeRefused;
    case GoodbyeKind::kName:
    case GoodbyeKind::kCopy:
      return FactKind::kNameHeld;
    case GoodbyeKind::kOther:
      return FactKind::kExchangeFailed;
  }
  return FactKind::kExchangeFailed;
}

}  // namespace

// ---- Streams.

void Swim::StreamAccepted(Time now, StreamId id, const Endpoint& from) {
  CONSUL_CHECK(!id.opened());
  if (!Advance(now) || streams_.size() >= options_.streams_max) {
    output_.stream_closes.push_back({id});
    if (life_ != Life::kGone) {
      SayRarely(&streams_full_count_, FactKind::kStreamsFull, {}, from, options_.streams_max);
    }
    return;
  }
  Stream stream;
  stream.peer = from;
  stream.phase = StreamPhase::kHello;
  stream.expires_at = now_ + options_.stream_timeout;
  streams_.emplace(id, std::move(stream));
}

// 0 when there are too many already.
StreamId Swim::OpenStream(const Endpoint& to, Stream stream) {
  if (streams_.size() >= options_.streams_max) {
    SayRarely(&streams_full_count_, FactKind::kStreamsFull, {}, to, options_.streams_max);
    return StreamId{};
  }
  const StreamId id{StreamId::kOpenedBit | ++last_stream_};
  stream.peer = to;
  streams_.emplace(id, std::move(stream));
  output_.stream_opens.push_back({id, to});
  return id;
}

void Swim::CloseStream(StreamId id) {
  if (streams_.erase(id) > 0) output_.stream_closes.push_back({id});
}

void Swim::StreamOpened(Time now, StreamId id) {
  if (!Advance(now)) return;
  const auto found = streams_.find(id);
  if (found == streams_.end() || found->second.phase != StreamPhase::kOpening) return;
  Stream& stream = found->second;
  if (stream.probe) {
    stream.phase = StreamPhase::kProbing;
    const MemberPtr& target = probe_->target;
    output_.stream_sends.push_back(
        {id, EncodeStreamPing(PingOf(probe_->sequence, target->info.name, target->id_check))});
    return;
  }
  stream.phase = StreamPhase::kHello;
  stream.told_cluster = !pool_.cluster_id.empty();
  const Slot peer = table_.Find(stream.peer_name);
  const std::optional<Entry> about =
      peer ? std::optional<Entry>(table_.entry(peer)) : std::nullopt;
  SendHello(id, stream, about.has_value() ? &*about : nullptr);
}

void Swim::StreamReceived(Time now, StreamId id, std::string_view message) {
  if (Advance(now)) ReceiveMessage(id, message);
}

void Swim::ReceiveMessage(StreamId id, std::string_view message) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  std::optional<StreamMessage> decoded;
  if (message.size() <= options_.stream_message_bytes_max) {
    decoded = DecodeStreamMessage(message, now_);
  }
  if (!decoded.has_value()) {
    Malformed(found->second.peer);
    EndExchange(id, "a malformed message");
    return;
  }
  Stream& stream = found->second;
  const bool early = id.opened() && stream.phase == StreamPhase::kAsking &&
                     !std::holds_alternative<GoodbyeMessage>(*decoded);
  if (!early) {
    std::visit([&](auto& kind) { Handle(id, stream, kind); }, *decoded);
  } else if (stream.held_messages.size() < options_.held_messages_max) {
    stream.held_messages.emplace_back(message);
  } else {
    EndExchange(id, base::StrCat("more than ", options_.held_messages_max, " messages at once"));
  }
}

void Swim::StreamClosed(Time now, StreamId id, std::string_view why) {
  if (!Advance(now)) return;
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  const Stream stream = std::move(found->second);
  streams_.erase(found);
  if (stream.probe) {
    ProbeStreamFailed(id);
  } else if (stream.phase != StreamPhase::kClosing) {
    Say(FactKind::kExchangeFailed, stream.peer_name, stream.peer, 0, std::string(why));
    FailJoin(stream, std::string(why));
  }
}

void Swim::EndExchange(StreamId id, std::string_view why) {
  const auto found = streams_.find(id);
  const Stream stream = std::move(found->second);
  CloseStream(id);
  if (stream.probe) {
    ProbeStreamFailed(id);
    return;
  }
  Say(FactKind::kExchangeFailed, stream.peer_name, stream.peer, 0, std::string(why));
  FailJoin(stream, std::string(why));
}

void Swim::FailJoin(const Stream& stream, std::string why) {
  if (!stream.join.has_value()) return;
  output_.join_results.push_back({*stream.join, stream.peer, false, 0, std::move(why)});
}

void Swim::TickStreams() {
  std::vector<StreamId> expired;
  for (const auto& [id, stream] : streams_) {
    if (stream.expires_at <= now_) expired.push_back(id);
  }
  for (const StreamId id : expired) {
    if (streams_.at(id).phase == StreamPhase::kClosing) {
      CloseStream(id);
    } else {
      EndExchange(id, "timed out");
    }
  }
}

// ---- Beginning an exchange.

Duration Swim::ExchangeInterval() const {
  const double count = static_cast<double>(counts().living());
  if (count <= kExchangeScaleFrom) return options_.push_pull_interval;
  const int doublings = static_cast<int>(std::ceil(std::log2(count / kExchangeScaleFrom)));
  return options_.push_pull_interval * (1 + doublings);
}

void Swim::TickExchange() {
  if (next_exchange_at_ > now_) return;
  next_exchange_at_ = now_ + ExchangeInterval();
  const auto skip = [this](Slot slot) { return table_.state(slot) != LifeState::kAlive; };
  const std::vector<Slot> picked = table_.PickLiving(1, &random_, skip);
  if (!picked.empty()) BeginExchange(picked.front());
}

void Swim::BeginExchange(Slot with) {
  const MemberInfo& peer = table_.member(with)->info;
  Stream stream;
  stream.expires_at = now_ + options_.stream_timeout;
  stream.peer_name = peer.name;
  OpenStream(peer.address, std::move(stream));
}

JoinId Swim::Join(Time now, const Endpoint& to) {
  const JoinId join{++last_join_};
  Stream stream;
  stream.peer = to;
  stream.join = join;
  stream.join_of_either = true;
  if (!Advance(now) || life_ != Life::kMember) {
    FailJoin(stream, "this member is leaving");
    return join;
  }
  stream.expires_at = now_ + options_.stream_timeout;
  if (OpenStream(to, stream).value == 0) {
    FailJoin(stream, base::StrCat("more than ", options_.streams_max, " streams at once"));
  }
  return join;
}

void Swim::SendHello(StreamId id, const Stream& stream, const Entry* about_receiver) {
  HelloMessage hello;
  hello.pool = pool_;
  hello.self = table_.entry(MemberTable::self_slot());
  hello.join = stream.join.has_value();
  hello.living_count = counts().living();
  hello.bucket_hashes.assign(table_.bucket_hashes().begin(), table_.bucket_hashes().end());
  if (about_receiver != nullptr) hello.about_receiver = *about_receiver;
  hello.note = stream_note_;
  output_.stream_sends.push_back({id, EncodeHello(hello, now_)});
}

void Swim::SendGoodbye(StreamId id, GoodbyeKind kind, std::string reason, bool turned) {
  output_.stream_sends.push_back(
      {id, EncodeGoodbye({kind, std::move(reason), counts().living(), turned})});
}

void Swim::SetStreamNote(std::string note) {
  CONSUL_CHECK(note.size() <= options_.stream_note_bytes_max);
  stream_note_ = std::move(note);
}

// ---- Hello.

void Swim::Handle(StreamId id, Stream& stream, HelloMessage& hello) {
  const bool about_other = hello.about_receiver.has_value() &&
                           hello.about_receiver->member->info.name != self().name;
  if (stream.phase != StreamPhase::kHello || about_other) {
    EndExchange(id, "a message out of order");
    return;
  }
  stream.peer_name = hello.self.member->info.name;
  stream.join_of_either = stream.join_of_either || hello.join;
  Meet(id, stream, hello);
}

// Whoever has the node id of a member that is elsewhere, or has another name, has moved, or has a
// copy of its data. One who is alone and says to be at the address of a member of its name is
// either its successor or wrong about its own address. It learns which before it believes that it
// has joined, and nothing that it says is believed before.
void Swim::Meet(StreamId id, Stream& stream, HelloMessage& hello) {
  if (Refuses(id, stream, hello)) return;
  const MemberInfo& peer = hello.self.member->info;
  if (AsksFirst(id, stream, hello, LeftBehindBy(peer))) return;
  const bool alone = !id.opened() && hello.living_count <= 1;
  if (alone && AsksFirst(id, stream, hello, HeldAtAddressOf(peer))) return;
  TakeUp(id, stream, hello);
}

bool Swim::AsksFirst(StreamId id, Stream& stream, HelloMessage& hello, Slot about) {
  if (!about) return false;
  if (AskAbout(about, hello.self, {hello.self.member->info.name}, !MayRefuse(hello))) {
    stream.phase = StreamPhase::kAsking;
    stream.held_hello = std::move(hello);
  } else {
    Refuse(id, stream, GoodbyeKind::kOther,
           base::StrCat("more than ", options_.successions_max, " members are asked about"));
  }
  return true;
}

size_t Swim::EndAsking(const Succession& over, const std::string& why) {
  const MemberInfo& asked = over.newcomer.member->info;
  std::vector<StreamId> waiting;
  for (const auto& [id, stream] : streams_) {
    if (stream.phase != StreamPhase::kAsking) continue;
    const MemberInfo& joiner = stream.held_hello->self.member->info;
    if (joiner.name == asked.name && joiner.id == asked.id) waiting.push_back(id);
  }
  for (const StreamId id : waiting) {
    Stream& stream = streams_.at(id);
    HelloMessage hello = *std::exchange(stream.held_hello, std::nullopt);
    const std::vector<std::string> messages = std::exchange(stream.held_messages, {});
    const bool moved = over.kind == SuccessionKind::kMoved;
    if (!why.empty()) {
      Refuse(id, stream, moved ? GoodbyeKind::kCopy : GoodbyeKind::kName, why);
    } else if (moved) {
      Meet(id, stream, hello);
    } else if (!Refuses(id, stream, hello)) {
      TakeUp(id, stream, hello);
    }
    for (const std::string& message : messages) ReceiveMessage(id, message);
  }
  return waiting.size();
}

bool Swim::MayRefuse(const HelloMessage& hello) const {
  return hello.pool.cluster_id.empty() && !pool_.cluster_id.empty();
}

Swim::Source Swim::SourceOf(const Stream& stream) {
  return {stream.peer_name, !stream.newcomer, stream.larger.value_or(false)};
}

void Swim::TakeUp(StreamId id, Stream& stream, HelloMessage& hello) {
  // An acceptor that knows its cluster has not taken in yet who does not, but all others.
  const bool waits = !stream.told_cluster && !hello.pool.cluster_id.empty() &&
                     !hello.about_receiver.has_value();
  stream.others_count = hello.living_count - (waits ? 0 : 1);
  AdoptCluster(hello.pool.cluster_id, stream.peer_name);
  // What one who is alone learns from a pool is no news to the pool.
  stream.newcomer = counts().living() <= 1 && hello.living_count > 1;
  const MemberInfo& peer = hello.self.member->info;
  const Slot held = table_.Find(peer.name);
  const Slot namesake = HeldAtAddressOf(peer);
  std::optional<Entry> about;
  if (held && table_.member(held)->info.id == peer.id) about = table_.entry(held);
  const Source source = SourceOf(stream);
  if (hello.about_receiver.has_value()) HearEntry(*hello.about_receiver, source);
  if (!id.opened() && MayRefuse(hello) && !about.has_value()) {
    stream.held_note = std::move(hello.note);
  } else {
    HearEntry(hello.self, source);
    output_.notes.push_back({stream.peer_name, std::move(hello.note), stream.join_of_either});
  }
  if (id.opened()) {
    stream.phase = StreamPhase::kDifference;
    return;
  }
  // It may see for itself who is at its address.
  if (namesake) about = table_.entry(namesake);
  SendHello(id, stream, about.has_value() ? &*about : nullptr);
  AnswerHello(id, stream, hello);
}

// Who does not know its cluster belongs to the first that it meets, and with it those who met it
// before: they hear of it at once, so that none of them takes another for its own meanwhile.
void Swim::AdoptCluster(const std::string& cluster_id, std::string_view peer) {
  if (!pool_.cluster_id.empty() || cluster_id.empty()) return;
  pool_.cluster_id = cluster_id;
  const auto skip = [this, peer](Slot slot) {
    return table_.state(slot) != LifeState::kAlive || table_.member(slot)->info.name == peer;
  };
  const auto count = static_cast<size_t>(options_.gossip_nodes);
  for (const Slot slot : table_.PickLiving(count, &random_, skip)) BeginExchange(slot);
}

// Says so on both sides, and merges nothing.
bool Swim::Refuses(StreamId id, const Stream& stream, const HelloMessage& hello) {
  const PoolMember ours{pool_, self().name};
  const PoolMember theirs{hello.pool, hello.self.member->info.name};
  GoodbyeKind kind = GoodbyeKind::kPool;
  std::string why = id.opened() ? WhyNotMerge(ours, theirs) : WhyNotMerge(theirs, ours);
  if (why.empty() && life_ != Life::kMember) {
    kind = GoodbyeKind::kOther;
    why = base::StrCat(self().name, " is leaving");
  }
  // Of two pools that meet, the two members of one name settle it. One who is alone is not let in.
  if (why.empty() && hello.living_count <= 1) {
    kind = GoodbyeKind::kName;
    why = WhyNameHeld(hello.self);
  }
  if (const MemberInfo& peer = hello.self.member->info; why.empty() && IsCopyOfSelf(peer)) {
    kind = GoodbyeKind::kCopy;
    why = WhyCopy(MemberTable::self_slot(), peer);
  }
  if (why.empty()) return false;
  Refuse(id, stream, kind, why);
  return true;
}

void Swim::Refuse(StreamId id, const Stream& stream, GoodbyeKind kind, const std::string& why) {
  Say(FactOf(kind), stream.peer_name, stream.peer, 0, why);
  SendGoodbye(id, kind, why, stream.turns);
  FailJoin(stream, why);
  CloseStream(id);
}

void Swim::AnswerHello(StreamId id, Stream& stream, const HelloMessage& hello) {
  stream.phase = StreamPhase::kEntries;
  if (hello.living_count * kNewcomerDivisor <= counts().living()) {
    EntriesMessage all;
    table_.ForEach([&](Slot slot) {
      const bool told = slot == MemberTable::self_slot() ||
                        table_.member(slot)->info.name == stream.peer_name;
      if (!told) all.entries.push_back(table_.entry(slot));
    });
    SendEntries(id, std::move(all));
    return;
  }
  DigestsMessage digests;
  std::array<bool, MemberTable::kBuckets> marked{};
  for (size_t bucket = 0; bucket < MemberTable::kBuckets; ++bucket) {
    if (hello.bucket_hashes[bucket] == table_.bucket_hashes()[bucket]) continue;
    marked[bucket] = true;
    digests.buckets.push_back(static_cast<uint32_t>(bucket));
  }
  if (!digests.buckets.empty()) {
    for (const Slot slot : table_.InBuckets(marked)) {
      digests.digests.push_back({table_.member(slot)->name_hash, table_.EntryHash(slot)});
    }
  } else {
    stream.phase = StreamPhase::kClosing;
  }
  for (std::string& message : EncodeDigests(digests, options_.stream_message_bytes_max)) {
    output_.stream_sends.push_back({id, std::move(message)});
  }
}

// ---- What differs.

void Swim::Handle(StreamId id, Stream& stream, DigestsMessage& digests) {
  stream.received_count += digests.digests.size();
  const bool first = stream.buckets.empty() && stream.digests.empty();
  if (stream.phase != StreamPhase::kDifference || (!first && !digests.buckets.empty()) ||
      !stream.offered.empty() || stream.received_count > options_.members_max) {
    EndExchange(id, "a message out of order");
    return;
  }
  if (first) stream.buckets = std::move(digests.buckets);
  stream.digests.insert(stream.digests.end(), digests.digests.begin(), digests.digests.end());
  if (digests.last) AnswerDigests(id, stream);
}

void Swim::AnswerDigests(StreamId id, Stream& stream) {
  if (stream.buckets.empty()) {
    FinishExchange(id, stream);
    return;
  }
  std::array<bool, MemberTable::kBuckets> marked{};
  for (const uint32_t bucket : stream.buckets) marked[bucket] = true;
  std::vector<Slot> ours = table_.InBuckets(marked);
  const auto name_hash = [this](Slot slot) { return table_.member(slot)->name_hash; };
  std::sort(ours.begin(), ours.end(),
            [&](Slot a, Slot b) { return name_hash(a) < name_hash(b); });
  std::sort(stream.digests.begin(), stream.digests.end());
  EntriesMessage reply;
  auto theirs = stream.digests.begin();
  for (const Slot slot : ours) {
    while (theirs != stream.digests.end() && theirs->name_hash < name_hash(slot)) {
      reply.wanted.push_back((theirs++)->name_hash);
    }
    const bool both = theirs != stream.digests.end() && theirs->name_hash == name_hash(slot);
    if (both && (theirs++)->entry_hash == table_.EntryHash(slot)) continue;
    if (both) reply.wanted.push_back(name_hash(slot));
    reply.entries.push_back(table_.entry(slot));
  }
  for (; theirs != stream.digests.end(); ++theirs) reply.wanted.push_back(theirs->name_hash);
  stream.digests.clear();
  stream.phase = StreamPhase::kEntries;
  SendEntries(id, std::move(reply));
}

void Swim::SendEntries(StreamId id, EntriesMessage entries) {
  for (std::string& message :
       EncodeEntries(entries, now_, options_.stream_message_bytes_max)) {
    output_.stream_sends.push_back({id, std::move(message)});
  }
}

void Swim::Handle(StreamId id, Stream& stream, EntriesMessage& entries) {
  const bool all = stream.phase == StreamPhase::kDifference && stream.buckets.empty();
  if (stream.join.has_value() && !stream.larger.has_value()) {
    stream.larger = stream.others_count + 1 > counts().living();
  }
  stream.received_count += entries.entries.size() + entries.wanted.size();
  if ((!all && stream.phase != StreamPhase::kEntries) || (id.opened() && !entries.wanted.empty()) ||
      stream.received_count > 2 * options_.members_max) {
    EndExchange(id, "a message out of order");
    return;
  }
  if (all && stream.offered.empty()) {
    // What we knew before, self included: it may be something else since the Hello.
    table_.ForEach([&](Slot slot) {
      const std::string& name = table_.member(slot)->info.name;
      if (name != stream.peer_name) stream.offered.push_back(name);
    });
  }
  const Source source = SourceOf(stream);
  for (const Entry& entry : entries.entries) HearEntry(entry, source);
  stream.wanted.insert(stream.wanted.end(), entries.wanted.begin(), entries.wanted.end());
  if (entries.last) FinishEntries(id, stream);
}

// The peer has sent all of its entries.
void Swim::FinishEntries(StreamId id, Stream& stream) {
  if (stream.held_note.has_value()) {
    output_.notes.push_back(
        {stream.peer_name, *std::move(stream.held_note), stream.join_of_either});
  }
  if (id.opened() && stream.phase == StreamPhase::kEntries) {
    FinishExchange(id, stream);
    return;
  }
  EntriesMessage reply;
  if (id.opened()) {
    for (const std::string& name : stream.offered) {
      if (const Slot slot = table_.Find(name)) reply.entries.push_back(table_.entry(slot));
    }
    stream.phase = StreamPhase::kEntries;
  } else {
    std::sort(stream.wanted.begin(), stream.wanted.end());
    for (const Slot slot : table_.FindByNameHashes(stream.wanted)) {
      reply.entries.push_back(table_.entry(slot));
    }
    stream.phase = StreamPhase::kClosing;
  }
  SendEntries(id, std::move(reply));
}

void Swim::FinishExchange(StreamId id, Stream& stream) {
  if (stream.join.has_value()) {
    output_.join_results.push_back({*stream.join, stream.peer, true, counts().living(), {}});
  }
  CloseStream(id);
}

void Swim::Handle(StreamId id, Stream& stream, GoodbyeMessage& goodbye) {
  if (stream.probe) {
    // The peer leaves, and did not know yet that there is no exchange to fail.
    EndExchange(id, goodbye.reason);
    return;
  }
  const FactKind fact = FactOf(goodbye.kind);
  // It is our name that is taken; who says so may not have told its own yet.
  const std::string& name = fact == FactKind::kNameHeld ? self().name : stream.peer_name;
  Say(fact, name, stream.peer, 0, goodbye.reason);
  FailJoin(stream, goodbye.reason);
  const bool copy = IsCopyIndeed(stream, goodbye);
  CloseStream(id);
  if (copy) EndAsCopy(goodbye.reason);
}

// ---- Probes by stream.

void Swim::Handle(StreamId id, Stream& stream, PingMessage& ping) {
  if (id.opened() || stream.phase != StreamPhase::kHello) {
    EndExchange(id, "a message out of order");
    return;
  }
  const bool ours = ping.target == self().name &&
                    (ping.target_id_check == 0 || ping.target_id_check == self_->id_check);
  if (ours) {
    output_.stream_sends.push_back(
        {id, EncodeStreamAck({ping.sequence, self().name, ack_payload_})});
  } else {
    Say(FactKind::kWrongName, ping.target, stream.peer, 0, self().name);
  }
  CloseStream(id);
}

void Swim::Handle(StreamId id, Stream& stream, AckMessage& ack) {
  const bool expected = stream.phase == StreamPhase::kProbing && probe_.has_value() &&
                        probe_->stream == id && ack.sequence == probe_->sequence &&
                        ack.name == probe_->target->info.name;
  if (expected) {
    ProbeAnsweredByStream();
  } else {
    EndExchange(id, "a message out of order");
  }
}

}  // namespace consul::gossip
