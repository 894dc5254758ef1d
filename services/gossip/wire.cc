#include "services/gossip/wire.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "consul/internal/gossip/v1/gossip.pb.h"
#include "services/base/check.h"
#include "services/base/utf8.h"
#include "services/gossip/member_table.h"

namespace consul::gossip {
namespace {

namespace pb = internal::gossip::v1;

constexpr size_t kAckPayloadBytesMax = 256;
constexpr size_t kClusterIdBytesMax = 64;
// A field's tag and length around what was measured.
constexpr size_t kFieldOverheadBytes = 8;

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= kNameBytesMax && base::IsUtf8(text) &&
         base::IsPrintable(text);
}

// ---- Values into messages.

void Fill(const MemberInfo& info, pb::MemberInfo* out) {
  out->set_name(info.name);
  out->set_id(info.id);
  out->set_ip(info.address.IpBytes());
  out->set_port(info.address.port);
  out->set_meta(info.meta);
  out->set_protocol_min(info.protocol.min);
  out->set_protocol_max(info.protocol.max);
  out->set_protocol_cur(info.protocol.cur);
}

void Fill(const Entry& entry, Time now, pb::Entry* out) {
  Fill(entry.member->info, out->mutable_info());
  out->set_incarnation(entry.incarnation.value);
  out->set_state(static_cast<pb::LifeState>(entry.state));
  if (!IsLiving(entry.state)) {
    const auto age = std::chrono::duration_cast<std::chrono::seconds>(now - entry.since).count();
    out->set_age_seconds(static_cast<uint32_t>(
        std::clamp<int64_t>(age, 0, std::numeric_limits<uint32_t>::max())));
  }
  out->set_intent_time(entry.intent.time.value);
  out->set_intent_kind(entry.intent.kind);
}

void Fill(const PoolIdentity& pool, pb::PoolIdentity* out) {
  out->set_datacenter(pool.datacenter);
  out->set_wan(pool.wan);
  out->set_cluster_id(pool.cluster_id);
  out->set_protocol_min(pool.protocol_min);
  out->set_protocol_max(pool.protocol_max);
}

void Fill(const PingMessage& ping, pb::Ping* out) {
  out->set_sequence(ping.sequence.value);
  out->set_target(ping.target);
  out->set_target_id_check(ping.target_id_check);
  out->set_source(ping.source);
  out->set_incarnation(ping.incarnation.value);
  out->set_info_check(ping.info_check);
}

void Fill(const AckMessage& ack, pb::Ack* out) {
  out->set_sequence(ack.sequence.value);
  out->set_name(ack.name);
  out->set_payload(ack.payload);
}

// ---- Messages into values.

std::optional<MemberPtr> Read(pb::MemberInfo* info) {
  const auto address = Endpoint::FromBytes(info->ip(), info->port());
  if (!address.has_value()) return std::nullopt;
  MemberInfo read;
  read.name = std::move(*info->mutable_name());
  read.id = std::move(*info->mutable_id());
  read.address = *address;
  read.meta = std::move(*info->mutable_meta());
  read.protocol = {info->protocol_min(), info->protocol_max(), info->protocol_cur()};
  if (!read.valid()) return std::nullopt;
  return std::make_shared<const Member>(std::move(read));
}

std::optional<Entry> Read(pb::Entry* entry, Time now) {
  const auto member = Read(entry->mutable_info());
  const int state = entry->state();
  if (!member.has_value() || !Incarnation{entry->incarnation()}.valid() ||
      state < pb::LIFE_STATE_ALIVE || state > pb::LIFE_STATE_LEFT || entry->intent_kind() > 255) {
    return std::nullopt;
  }
  Entry read;
  read.member = *member;
  read.incarnation = Incarnation{entry->incarnation()};
  read.state = static_cast<LifeState>(state);
  read.since = now - std::chrono::seconds(entry->age_seconds());
  read.intent = {LamportTime{entry->intent_time()}, entry->intent_kind()};
  return read;
}

bool Read(pb::Packet* packet, PacketParts* parts) {
  for (pb::Alive& alive : *packet->mutable_alives()) {
    const auto member = Read(alive.mutable_info());
    const Incarnation incarnation{alive.incarnation()};
    if (!member.has_value() || !incarnation.valid()) return false;
    parts->alives.push_back({*member, incarnation});
  }
  for (pb::Suspect& claim : *packet->mutable_suspects()) {
    const Incarnation incarnation{claim.incarnation()};
    if (!IsName(claim.name()) || !IsName(claim.accuser()) || !incarnation.valid()) return false;
    parts->suspects.push_back({std::move(*claim.mutable_name()), claim.id_check(), incarnation,
                               std::move(*claim.mutable_accuser())});
  }
  for (pb::Dead& claim : *packet->mutable_deads()) {
    const Incarnation incarnation{claim.incarnation()};
    if (!IsName(claim.name()) || !IsName(claim.accuser()) || !incarnation.valid()) return false;
    parts->deads.push_back({std::move(*claim.mutable_name()), claim.id_check(), incarnation,
                            std::move(*claim.mutable_accuser()), claim.left()});
  }
  for (std::string& custom : *packet->mutable_customs()) {
    parts->customs.push_back(std::move(custom));
  }
  return true;
}

std::optional<PingMessage> Read(pb::Ping* ping) {
  if (!IsName(ping->target()) || !IsName(ping->source())) return std::nullopt;
  return PingMessage{Sequence{ping->sequence()}, std::move(*ping->mutable_target()),
                     ping->target_id_check(), std::move(*ping->mutable_source()),
                     Incarnation{ping->incarnation()}, ping->info_check()};
}

std::optional<AckMessage> Read(pb::Ack* ack) {
  if (!IsName(ack->name()) || ack->payload().size() > kAckPayloadBytesMax) return std::nullopt;
  return AckMessage{Sequence{ack->sequence()}, std::move(*ack->mutable_name()),
                    std::move(*ack->mutable_payload())};
}

bool ReadProbe(pb::Packet* packet, PacketParts* parts) {
  if (packet->has_ping()) {
    parts->ping = Read(packet->mutable_ping());
    if (!parts->ping.has_value()) return false;
  }
  if (packet->has_indirect_ping()) {
    pb::IndirectPing& ping = *packet->mutable_indirect_ping();
    const auto address = Endpoint::FromBytes(ping.ip(), ping.port());
    if (!address.has_value() || !IsName(ping.target()) || !IsName(ping.source())) return false;
    parts->indirect_ping = {Sequence{ping.sequence()}, std::move(*ping.mutable_target()),
                            ping.target_id_check(), *address, std::move(*ping.mutable_source())};
  }
  if (packet->has_ack()) {
    parts->ack = Read(packet->mutable_ack());
    if (!parts->ack.has_value()) return false;
  }
  if (packet->has_nack()) {
    pb::Nack& nack = *packet->mutable_nack();
    if (!IsName(nack.source())) return false;
    parts->nack = {Sequence{nack.sequence()}, std::move(*nack.mutable_source())};
  }
  return true;
}

std::optional<StreamMessage> Read(pb::Hello* hello, Time now) {
  pb::PoolIdentity& pool = *hello->mutable_pool();
  const auto self = Read(hello->mutable_self(), now);
  if (!self.has_value() || hello->bucket_hashes_size() != MemberTable::kBuckets ||
      pool.datacenter().size() > kNameBytesMax || pool.cluster_id().size() > kClusterIdBytesMax ||
      !base::IsPrintable(pool.datacenter()) || !base::IsPrintable(pool.cluster_id())) {
    return std::nullopt;
  }
  HelloMessage read;
  read.pool.datacenter = std::move(*pool.mutable_datacenter());
  read.pool.wan = pool.wan();
  read.pool.cluster_id = std::move(*pool.mutable_cluster_id());
  read.pool.protocol_min = pool.protocol_min();
  read.pool.protocol_max = pool.protocol_max();
  read.self = *self;
  read.join = hello->join();
  read.living_count = hello->living_count();
  read.bucket_hashes.assign(hello->bucket_hashes().begin(), hello->bucket_hashes().end());
  if (hello->has_about_receiver()) {
    read.about_receiver = Read(hello->mutable_about_receiver(), now);
    if (!read.about_receiver.has_value()) return std::nullopt;
  }
  read.note = std::move(*hello->mutable_note());
  return read;
}

std::optional<StreamMessage> Read(pb::Digests* digests) {
  DigestsMessage read;
  if (digests->name_hashes_size() != digests->entry_hashes_size()) return std::nullopt;
  read.buckets.assign(digests->buckets().begin(), digests->buckets().end());
  const bool ascending = std::is_sorted(read.buckets.begin(), read.buckets.end()) &&
                         std::adjacent_find(read.buckets.begin(), read.buckets.end()) ==
                             read.buckets.end();
  if (!ascending || (!read.buckets.empty() && read.buckets.back() >= MemberTable::kBuckets)) {
    return std::nullopt;
  }
  for (int i = 0; i < digests->name_hashes_size(); ++i) {
    read.digests.push_back({digests->name_hashes(i), digests->entry_hashes(i)});
  }
  read.last = digests->last();
  return read;
}

std::optional<StreamMessage> Read(pb::Entries* entries, Time now) {
  EntriesMessage read;
  read.entries.reserve(static_cast<size_t>(entries->entries_size()));
  for (pb::Entry& entry : *entries->mutable_entries()) {
    auto one = Read(&entry, now);
    if (!one.has_value()) return std::nullopt;
    read.entries.push_back(*std::move(one));
  }
  read.wanted.assign(entries->wanted().begin(), entries->wanted().end());
  read.last = entries->last();
  return read;
}

std::optional<StreamMessage> Read(pb::Goodbye* goodbye) {
  if (goodbye->reason().size() > kReasonBytesMax || !base::IsPrintable(goodbye->reason())) {
    return std::nullopt;
  }
  GoodbyeMessage read;
  switch (goodbye->kind()) {
    case pb::GOODBYE_KIND_POOL:
      read.kind = GoodbyeKind::kPool;
      break;
    case pb::GOODBYE_KIND_NAME:
      read.kind = GoodbyeKind::kName;
      break;
    case pb::GOODBYE_KIND_COPY:
      read.kind = GoodbyeKind::kCopy;
      break;
    default:  // The proto's, with kinds that later versions may have.
      read.kind = GoodbyeKind::kOther;
      break;
  }
  read.reason = std::move(*goodbye->mutable_reason());
  read.living_count = goodbye->living_count();
  read.turned = goodbye->turned();
  return read;
}

pb::GoodbyeKind ToProto(GoodbyeKind kind) {
  switch (kind) {
    case GoodbyeKind::kPool:
      return pb::GOODBYE_KIND_POOL;
    case GoodbyeKind::kName:
      return pb::GOODBYE_KIND_NAME;
    case GoodbyeKind::kCopy:
      return pb::GOODBYE_KIND_COPY;
    case GoodbyeKind::kOther:
      return pb::GOODBYE_KIND_OTHER;
  }
  return pb::GOODBYE_KIND_UNSPECIFIED;
}

bool Parse(std::string_view bytes, google::protobuf::MessageLite* message) {
  return bytes.size() <= std::numeric_limits<int>::max() &&
         message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace

// The longest claim is an Alive with every part at its limit: it must fit in a packet by itself.
static_assert(kNameBytesMax + kIdBytesMax + kMetaBytesMax + 128 <= 1024);

std::string EncodeAlive(const Member& member, Incarnation incarnation) {
  pb::Packet packet;
  pb::Alive* alive = packet.add_alives();
  Fill(member.info, alive->mutable_info());
  alive->set_incarnation(incarnation.value);
  return packet.SerializeAsString();
}

std::string EncodeSuspect(const SuspectClaim& claim) {
  pb::Packet packet;
  pb::Suspect* suspect = packet.add_suspects();
  suspect->set_name(claim.name);
  suspect->set_id_check(claim.id_check);
  suspect->set_incarnation(claim.incarnation.value);
  suspect->set_accuser(claim.accuser);
  return packet.SerializeAsString();
}

std::string EncodeDead(const DeadClaim& claim) {
  pb::Packet packet;
  pb::Dead* dead = packet.add_deads();
  dead->set_name(claim.name);
  dead->set_id_check(claim.id_check);
  dead->set_incarnation(claim.incarnation.value);
  dead->set_accuser(claim.accuser);
  dead->set_left(claim.left);
  return packet.SerializeAsString();
}

std::string EncodeCustom(std::string_view message) {
  pb::Packet packet;
  packet.add_customs(message.data(), message.size());
  return packet.SerializeAsString();
}

std::string EncodePing(const PingMessage& ping) {
  pb::Packet packet;
  Fill(ping, packet.mutable_ping());
  return packet.SerializeAsString();
}

std::string EncodeIndirectPing(const IndirectPingMessage& ping) {
  pb::Packet packet;
  pb::IndirectPing* indirect = packet.mutable_indirect_ping();
  indirect->set_sequence(ping.sequence.value);
  indirect->set_target(ping.target);
  indirect->set_target_id_check(ping.target_id_check);
  indirect->set_ip(ping.address.IpBytes());
  indirect->set_port(ping.address.port);
  indirect->set_source(ping.source);
  return packet.SerializeAsString();
}

std::string EncodeAck(const AckMessage& ack) {
  pb::Packet packet;
  Fill(ack, packet.mutable_ack());
  return packet.SerializeAsString();
}

std::string EncodeNack(const NackMessage& nack) {
  pb::Packet packet;
  packet.mutable_nack()->set_sequence(nack.sequence.value);
  packet.mutable_nack()->set_source(nack.source);
  return packet.SerializeAsString();
}

std::optional<PacketParts> DecodePacket(std::string_view bytes) {
  pb::Packet packet;
  PacketParts parts;
  if (!Parse(bytes, &packet) || !Read(&packet, &parts) || !ReadProbe(&packet, &parts)) {
    return std::nullopt;
  }
  const bool empty = parts.alives.empty() && parts.suspects.empty() && parts.deads.empty() &&
                     parts.customs.empty() && !parts.ping.has_value() &&
                     !parts.indirect_ping.has_value() && !parts.ack.has_value() &&
                     !parts.nack.has_value();
  if (empty) return std::nullopt;
  return parts;
}

std::string EncodeHello(const HelloMessage& hello, Time now) {
  pb::StreamMessage message;
  pb::Hello* out = message.mutable_hello();
  Fill(hello.pool, out->mutable_pool());
  Fill(hello.self, now, out->mutable_self());
  out->set_join(hello.join);
  out->set_living_count(static_cast<uint32_t>(hello.living_count));
  out->mutable_bucket_hashes()->Add(hello.bucket_hashes.begin(), hello.bucket_hashes.end());
  if (hello.about_receiver.has_value()) {
    Fill(*hello.about_receiver, now, out->mutable_about_receiver());
  }
  out->set_note(hello.note);
  return message.SerializeAsString();
}

std::string EncodeGoodbye(const GoodbyeMessage& goodbye) {
  pb::StreamMessage message;
  message.mutable_goodbye()->set_kind(ToProto(goodbye.kind));
  std::string_view reason = goodbye.reason;
  // Cut between two characters, or the text is none any more.
  while (reason.size() > kReasonBytesMax || !base::IsUtf8(reason)) reason.remove_suffix(1);
  message.mutable_goodbye()->set_reason(reason.data(), reason.size());
  message.mutable_goodbye()->set_living_count(static_cast<uint32_t>(goodbye.living_count));
  message.mutable_goodbye()->set_turned(goodbye.turned);
  return message.SerializeAsString();
}

std::string EncodeStreamPing(const PingMessage& ping) {
  pb::StreamMessage message;
  Fill(ping, message.mutable_stream_ping());
  return message.SerializeAsString();
}

std::string EncodeStreamAck(const AckMessage& ack) {
  pb::StreamMessage message;
  Fill(ack, message.mutable_stream_ack());
  return message.SerializeAsString();
}

std::vector<std::string> EncodeDigests(const DigestsMessage& digests, size_t bytes_max) {
  CONSUL_CHECK(bytes_max >= kStreamMessageBytesMin);
  std::vector<std::string> messages;
  size_t next = 0;
  do {
    pb::StreamMessage message;
    pb::Digests* out = message.mutable_digests();
    if (next == 0) out->mutable_buckets()->Add(digests.buckets.begin(), digests.buckets.end());
    const size_t room = bytes_max - out->ByteSizeLong() - 4 * kFieldOverheadBytes;
    const size_t end = std::min(digests.digests.size(), next + room / (2 * sizeof(uint64_t)));
    for (; next < end; ++next) {
      out->add_name_hashes(digests.digests[next].name_hash);
      out->add_entry_hashes(digests.digests[next].entry_hash);
    }
    out->set_last(next == digests.digests.size());
    messages.push_back(message.SerializeAsString());
  } while (next < digests.digests.size());
  return messages;
}

std::vector<std::string> EncodeEntries(const EntriesMessage& entries, Time now, size_t bytes_max) {
  CONSUL_CHECK(bytes_max >= kStreamMessageBytesMin);
  std::vector<std::string> messages;
  pb::StreamMessage message;
  pb::Entries* out = message.mutable_entries();
  size_t size = 4 * kFieldOverheadBytes;
  const auto make_room = [&](size_t bytes) {
    if (size + bytes > bytes_max) {
      messages.push_back(message.SerializeAsString());
      out->Clear();
      size = 4 * kFieldOverheadBytes;
    }
    size += bytes;
  };
  for (const Entry& entry : entries.entries) {
    pb::Entry one;
    Fill(entry, now, &one);
    make_room(one.ByteSizeLong() + kFieldOverheadBytes);
    *out->add_entries() = std::move(one);
  }
  for (const uint64_t name_hash : entries.wanted) {
    make_room(sizeof(name_hash));
    out->add_wanted(name_hash);
  }
  out->set_last(true);
  messages.push_back(message.SerializeAsString());
  return messages;
}

std::optional<StreamMessage> DecodeStreamMessage(std::string_view bytes, Time now) {
  pb::StreamMessage message;
  if (!Parse(bytes, &message)) return std::nullopt;
  switch (message.kind_case()) {
    case pb::StreamMessage::kHello:
      return Read(message.mutable_hello(), now);
    case pb::StreamMessage::kDigests:
      return Read(message.mutable_digests());
    case pb::StreamMessage::kEntries:
      return Read(message.mutable_entries(), now);
    case pb::StreamMessage::kGoodbye:
      return Read(message.mutable_goodbye());
    case pb::StreamMessage::kStreamPing:
      if (auto ping = Read(message.mutable_stream_ping())) return *std::move(ping);
      return std::nullopt;
    case pb::StreamMessage::kStreamAck:
      if (auto ack = Read(message.mutable_stream_ack())) return *std::move(ack);
      return std::nullopt;
    case pb::StreamMessage::KIND_NOT_SET:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace consul::gossip
