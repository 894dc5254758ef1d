#include "services/gossip/wire.h"

#include <string>
#include <variant>
#include <vector>

#include "consul/internal/gossip/v1/gossip.pb.h"
#include "gtest/gtest.h"
#include "services/gossip/member_table.h"

namespace consul::gossip {
namespace {

namespace pb = internal::gossip::v1;

using std::chrono::seconds;

const Time kNow = Time{} + seconds(1000);

MemberPtr MakeMember(const std::string& name) {
  MemberInfo info;
  info.name = name;
  info.id = "id-" + name;
  info.address = *Endpoint::Parse("[fe80::1]:7946");
  info.meta = std::string("\xff\x00tags", 6);
  info.protocol = {1, 3, 2};
  return std::make_shared<const Member>(info);
}

Entry MakeEntry(const std::string& name, LifeState state = LifeState::kAlive) {
  return {MakeMember(name), Incarnation{7}, state, kNow - seconds(IsLiving(state) ? 0 : 90),
          {LamportTime{5}, 2}};
}

void ExpectSame(const Entry& a, const Entry& b) {
  EXPECT_EQ(a.member->info, b.member->info);
  EXPECT_EQ(a.incarnation, b.incarnation);
  EXPECT_EQ(a.state, b.state);
  EXPECT_EQ(a.since, b.since);
  EXPECT_EQ(a.intent, b.intent);
}

TEST(WireTest, APacketIsItsPartsOneAfterTheOther) {
  const std::string bytes =
      EncodePing({Sequence{9}, "b", 77, "a", Incarnation{3}, 88}) +
      EncodeSuspect({"c", 5, Incarnation{4}, "d"}) + EncodeCustom("hello") +
      EncodeAlive(*MakeMember("e"), Incarnation{6}) +
      EncodeDead({"f", 6, Incarnation{8}, "g", true}) + EncodeCustom("") +
      EncodeIndirectPing({Sequence{1}, "h", 2, *Endpoint::Parse("10.0.0.9:1"), "i"}) +
      EncodeAck({Sequence{2}, "j", "payload"}) + EncodeNack({Sequence{3}, "k"});
  const auto parts = DecodePacket(bytes);
  ASSERT_TRUE(parts.has_value());
  EXPECT_EQ(parts->ping->sequence, Sequence{9});
  EXPECT_EQ(parts->ping->target, "b");
  EXPECT_EQ(parts->ping->target_id_check, 77u);
  EXPECT_EQ(parts->ping->source, "a");
  EXPECT_EQ(parts->ping->incarnation, Incarnation{3});
  EXPECT_EQ(parts->ping->info_check, 88u);
  ASSERT_EQ(parts->suspects.size(), 1u);
  EXPECT_EQ(parts->suspects[0].name, "c");
  EXPECT_EQ(parts->suspects[0].id_check, 5u);
  EXPECT_EQ(parts->suspects[0].incarnation, Incarnation{4});
  EXPECT_EQ(parts->suspects[0].accuser, "d");
  EXPECT_EQ(parts->customs, (std::vector<std::string>{"hello", ""}));
  ASSERT_EQ(parts->alives.size(), 1u);
  EXPECT_EQ(parts->alives[0].member->info, MakeMember("e")->info);
  EXPECT_EQ(parts->alives[0].incarnation, Incarnation{6});
  ASSERT_EQ(parts->deads.size(), 1u);
  EXPECT_EQ(parts->deads[0].name, "f");
  EXPECT_TRUE(parts->deads[0].left);
  EXPECT_EQ(parts->indirect_ping->target, "h");
  EXPECT_EQ(parts->indirect_ping->target_id_check, 2u);
  EXPECT_EQ(parts->indirect_ping->address, *Endpoint::Parse("10.0.0.9:1"));
  EXPECT_EQ(parts->ack->name, "j");
  EXPECT_EQ(parts->ack->payload, "payload");
  EXPECT_EQ(parts->nack->source, "k");
  EXPECT_FALSE(DecodePacket("").has_value());
  EXPECT_FALSE(DecodePacket("xx").has_value());  // an unknown field alone
}

TEST(WireTest, AMalformedPartSpoilsThePacket) {
  const auto decodes = [](auto change) {
    pb::Packet packet;
    EXPECT_TRUE(packet.ParseFromString(
        EncodeAlive(*MakeMember("a"), Incarnation{1}) +
        EncodeSuspect({"b", 0, Incarnation{1}, "a"}) +
        EncodeDead({"c", 0, Incarnation{1}, "a", false}) +
        EncodePing({Sequence{1}, "d", 0, "a", Incarnation{}, 0}) +
        EncodeIndirectPing({Sequence{1}, "e", 0, *Endpoint::Parse("10.0.0.9:1"), "a"}) +
        EncodeAck({Sequence{1}, "f", ""}) + EncodeNack({Sequence{1}, "g"})));
    change(&packet);
    return DecodePacket(packet.SerializeAsString()).has_value();
  };
  const std::string long_name(kNameBytesMax + 1, 'x');
  EXPECT_TRUE(decodes([](pb::Packet*) {}));
  EXPECT_FALSE(decodes([](auto* p) { p->mutable_alives(0)->set_incarnation(0); }));
  EXPECT_FALSE(decodes([](auto* p) { p->mutable_alives(0)->set_incarnation(~0u); }));
  EXPECT_FALSE(decodes([](auto* p) { p->mutable_alives(0)->clear_info(); }));
  EXPECT_FALSE(decodes([](auto* p) { p->mutable_alives(0)->mutable_info()->set_ip("12345"); }));
  EXPECT_FALSE(decodes([](auto* p) { p->mutable_alives(0)->mutable_info()->set_port(70000); }));
  EXPECT_FALSE(decodes([](auto* p) { p->mutable_suspects(0)->set_incarnation(0); }));
  EXPECT_FALSE(decodes([](auto* p) { p->mutable_suspects(0)->set_name(""); }));
  EXPECT_FALSE(decodes([](auto* p) { p->mutable_suspects(0)->set_accuser("a\n"); }));
  EXPECT_FALSE(decodes([&](auto* p) { p->mutable_deads(0)->set_name(long_name); }));
  EXPECT_FALSE(decodes([](auto* p) { p->mutable_deads(0)->set_incarnation(0); }));
  EXPECT_FALSE(decodes([](auto* p) { p->mutable_ping()->set_target(""); }));
  EXPECT_FALSE(decodes([&](auto* p) { p->mutable_ping()->set_source(long_name); }));
  EXPECT_FALSE(decodes([](auto* p) { p->mutable_indirect_ping()->set_port(0); }));
  EXPECT_FALSE(decodes([](auto* p) { p->mutable_indirect_ping()->set_target(""); }));
  EXPECT_FALSE(decodes([](auto* p) { p->mutable_ack()->set_payload(std::string(257, 'x')); }));
  EXPECT_FALSE(decodes([](auto* p) { p->mutable_ack()->set_name(""); }));
  EXPECT_FALSE(decodes([](auto* p) { p->mutable_nack()->set_source(""); }));
  EXPECT_FALSE(DecodePacket("\xff").has_value());
}

HelloMessage MakeHello() {
  HelloMessage hello;
  hello.pool = {"dc1", true, "cluster", 1, 2};
  hello.self = MakeEntry("a");
  hello.join = true;
  hello.living_count = 12;
  hello.bucket_hashes.assign(MemberTable::kBuckets, 0x0123456789abcdef);
  hello.about_receiver = MakeEntry("b", LifeState::kDead);
  hello.note = "note";
  return hello;
}

TEST(WireTest, AHelloComesBack) {
  const HelloMessage hello = MakeHello();
  const auto decoded = DecodeStreamMessage(EncodeHello(hello, kNow), kNow);
  ASSERT_TRUE(decoded.has_value());
  const auto& read = std::get<HelloMessage>(*decoded);
  EXPECT_EQ(read.pool, hello.pool);
  ExpectSame(read.self, hello.self);
  EXPECT_TRUE(read.join);
  EXPECT_EQ(read.living_count, 12u);
  EXPECT_EQ(read.bucket_hashes, hello.bucket_hashes);
  ExpectSame(*read.about_receiver, *hello.about_receiver);
  EXPECT_EQ(read.note, "note");
}

TEST(WireTest, AMalformedStreamMessageIsNone) {
  const auto decodes = [](auto change) {
    pb::StreamMessage message;
    EXPECT_TRUE(message.ParseFromString(EncodeHello(MakeHello(), kNow)));
    change(&message);
    return DecodeStreamMessage(message.SerializeAsString(), kNow).has_value();
  };
  EXPECT_TRUE(decodes([](pb::StreamMessage*) {}));
  EXPECT_FALSE(decodes([](auto* m) { m->mutable_hello()->add_bucket_hashes(1); }));
  EXPECT_FALSE(decodes([](auto* m) { m->mutable_hello()->clear_self(); }));
  EXPECT_FALSE(decodes([](auto* m) {
    m->mutable_hello()->mutable_pool()->set_datacenter("dc\n1");
  }));
  EXPECT_FALSE(decodes([](auto* m) {
    m->mutable_hello()->mutable_about_receiver()->set_incarnation(0);
  }));
  EXPECT_FALSE(decodes([](auto* m) {
    m->mutable_hello()->mutable_self()->set_state(static_cast<pb::LifeState>(5));
  }));
  EXPECT_FALSE(decodes([](auto* m) {
    m->mutable_hello()->mutable_self()->set_intent_kind(256);
  }));
  EXPECT_FALSE(decodes([](auto* m) { m->mutable_digests()->add_name_hashes(1); }));
  EXPECT_FALSE(decodes([](auto* m) {
    m->mutable_digests()->add_buckets(2);
    m->mutable_digests()->add_buckets(1);
  }));
  EXPECT_FALSE(decodes([](auto* m) {
    m->mutable_digests()->add_buckets(1);
    m->mutable_digests()->add_buckets(1);
  }));
  EXPECT_FALSE(decodes([](auto* m) { m->mutable_digests()->add_buckets(256); }));
  EXPECT_FALSE(decodes([](auto* m) { m->mutable_entries()->add_entries(); }));
  EXPECT_FALSE(decodes([](auto* m) {
    m->mutable_goodbye()->set_reason(std::string(kReasonBytesMax + 1, 'x'));
  }));
  EXPECT_FALSE(decodes([](auto* m) { m->mutable_stream_ping()->set_target(""); }));
  EXPECT_FALSE(decodes([](auto* m) { m->mutable_stream_ack()->set_name(""); }));
  EXPECT_FALSE(decodes([](auto* m) { m->clear_kind(); }));
  EXPECT_FALSE(DecodeStreamMessage("\xff", kNow).has_value());
}

TEST(WireTest, ManyEntriesAreManyBoundedMessages) {
  EntriesMessage sent;
  for (int i = 0; i < 1000; ++i) {
    sent.entries.push_back(MakeEntry("m" + std::to_string(i), static_cast<LifeState>(1 + i % 4)));
    sent.wanted.push_back(static_cast<uint64_t>(i));
  }
  const auto messages = EncodeEntries(sent, kNow, 4096);
  EXPECT_GT(messages.size(), 10u);
  EntriesMessage read;
  for (const std::string& message : messages) {
    EXPECT_LE(message.size(), 4096u);
    EXPECT_FALSE(read.last);
    const auto decoded = DecodeStreamMessage(message, kNow);
    ASSERT_TRUE(decoded.has_value());
    const auto& part = std::get<EntriesMessage>(*decoded);
    read.entries.insert(read.entries.end(), part.entries.begin(), part.entries.end());
    read.wanted.insert(read.wanted.end(), part.wanted.begin(), part.wanted.end());
    read.last = part.last;
  }
  EXPECT_TRUE(read.last);
  EXPECT_EQ(read.wanted, sent.wanted);
  ASSERT_EQ(read.entries.size(), sent.entries.size());
  for (size_t i = 0; i < read.entries.size(); ++i) ExpectSame(read.entries[i], sent.entries[i]);
  const auto none = EncodeEntries({}, kNow, 4096);
  ASSERT_EQ(none.size(), 1u);
  EXPECT_TRUE(std::get<EntriesMessage>(*DecodeStreamMessage(none[0], kNow)).last);
}

TEST(WireTest, ManyDigestsAreManyBoundedMessages) {
  DigestsMessage sent;
  for (uint32_t i = 0; i < MemberTable::kBuckets; ++i) sent.buckets.push_back(i);
  for (uint64_t i = 0; i < 1000; ++i) sent.digests.push_back({i, ~i});
  const auto messages = EncodeDigests(sent, kStreamMessageBytesMin);
  EXPECT_GT(messages.size(), 5u);
  DigestsMessage read;
  for (const std::string& message : messages) {
    EXPECT_LE(message.size(), kStreamMessageBytesMin);
    EXPECT_FALSE(read.last);
    const auto decoded = DecodeStreamMessage(message, kNow);
    ASSERT_TRUE(decoded.has_value());
    const auto& part = std::get<DigestsMessage>(*decoded);
    read.buckets.insert(read.buckets.end(), part.buckets.begin(), part.buckets.end());
    read.digests.insert(read.digests.end(), part.digests.begin(), part.digests.end());
    read.last = part.last;
  }
  EXPECT_TRUE(read.last);
  EXPECT_EQ(read.buckets, sent.buckets);
  EXPECT_EQ(read.digests, sent.digests);
}

TEST(WireTest, TheLongestOfEverythingFits) {
  MemberInfo info;
  info.name = std::string(kNameBytesMax, 'n');
  info.id = std::string(kIdBytesMax, 'i');
  info.meta = std::string(kMetaBytesMax, 'm');
  info.address = *Endpoint::Parse("[fe80::1]:65535");
  info.protocol = {~0u, ~0u, ~0u};
  const auto member = std::make_shared<const Member>(info);
  ASSERT_TRUE(info.valid());
  EXPECT_LE(EncodeAlive(*member, Incarnation{Incarnation::kMax}).size(), 1024u);
  EntriesMessage entries;
  for (int i = 0; i < 5; ++i) {
    entries.entries.push_back({member, Incarnation{Incarnation::kMax}, LifeState::kLeft, Time{},
                               {LamportTime{~uint64_t{0}}, 255}});
  }
  for (const std::string& message : EncodeEntries(entries, kNow, kStreamMessageBytesMin)) {
    EXPECT_LE(message.size(), kStreamMessageBytesMin);
  }
}

TEST(WireTest, AGoodbyeIsCutBetweenCharacters) {
  std::string reason(kReasonBytesMax - 1, 'x');
  reason += "\xc3\xa9";
  const auto decoded =
      DecodeStreamMessage(EncodeGoodbye({GoodbyeKind::kName, reason}), kNow);
  ASSERT_TRUE(decoded.has_value());
  const auto& read = std::get<GoodbyeMessage>(*decoded);
  EXPECT_EQ(read.reason.size(), kReasonBytesMax - 1);
  EXPECT_EQ(read.kind, GoodbyeKind::kName);
}

TEST(WireTest, EveryKindOfGoodbyeArrives) {
  for (const GoodbyeKind kind :
       {GoodbyeKind::kPool, GoodbyeKind::kName, GoodbyeKind::kCopy, GoodbyeKind::kOther}) {
    const auto message = DecodeStreamMessage(EncodeGoodbye({kind, "why", 7, true}), kNow);
    ASSERT_TRUE(message.has_value());
    EXPECT_EQ(std::get<GoodbyeMessage>(*message).kind, kind);
    EXPECT_EQ(std::get<GoodbyeMessage>(*message).living_count, 7u);
    EXPECT_TRUE(std::get<GoodbyeMessage>(*message).turned);
  }
}

}  // namespace
}  // namespace consul::gossip
