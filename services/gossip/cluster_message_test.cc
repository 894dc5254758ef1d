#include "services/gossip/cluster_message.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "services/gossip/event_buffer.h"
#include "services/gossip/lamport_clock.h"

namespace consul::gossip {
namespace {

namespace pb = internal::gossip::v1;

bool Decodes(const pb::ClusterMessage& message) {
  return DecodeClusterMessage(message.SerializeAsString()).has_value();
}

pb::ClusterMessage UserQuery() {
  pb::ClusterMessage message;
  pb::Query& query = *message.mutable_query();
  query.set_time(1);
  query.set_source("a");
  query.set_ip(std::string("\x0a\x00\x00\x01", 4));
  query.set_port(8301);
  query.set_timeout_ms(3200);
  query.mutable_user()->set_name("load");
  return message;
}

pb::ClusterMessage KeyQuery(pb::KeyOperation operation, std::string key) {
  pb::ClusterMessage message = UserQuery();
  message.mutable_query()->mutable_keys()->set_operation(operation);
  message.mutable_query()->mutable_keys()->set_key(std::move(key));
  return message;
}

pb::ClusterMessage Reply() {
  pb::ClusterMessage message;
  message.mutable_reply()->set_time(1);
  message.mutable_reply()->set_from("b");
  message.mutable_reply()->set_payload("2");
  return message;
}

// Each change of a message that is within all limits, and whether it is still taken.
void ExpectAfter(const pb::ClusterMessage& base, bool taken,
                 const std::function<void(pb::ClusterMessage&)>& change) {
  pb::ClusterMessage message = base;
  change(message);
  EXPECT_EQ(Decodes(message), taken) << message.ShortDebugString();
}

TEST(ClusterMessageTest, AMessageSaysSomething) {
  EXPECT_FALSE(DecodeClusterMessage("").has_value());
  EXPECT_FALSE(DecodeClusterMessage("\x0a").has_value());
  EXPECT_FALSE(Decodes(pb::ClusterMessage()));
}

TEST(ClusterMessageTest, TimesAreThoseOfSomethingThatWasSaid) {
  pb::ClusterMessage join;
  join.mutable_join()->set_name("a");
  for (const uint64_t time : {uint64_t{0}, kLamportTimeMax.value + 1, ~uint64_t{0}}) {
    ExpectAfter(join, false, [&](auto& m) { m.mutable_join()->set_time(time); });
    ExpectAfter(Reply(), false, [&](auto& m) { m.mutable_reply()->set_time(time); });
    ExpectAfter(UserQuery(), false, [&](auto& m) { m.mutable_query()->set_time(time); });
  }
  ExpectAfter(join, true, [](auto& m) { m.mutable_join()->set_time(kLamportTimeMax.value); });
}

TEST(ClusterMessageTest, NamesAre1To255BytesOfUtf8) {
  pb::ClusterMessage leave;
  leave.mutable_leave()->set_time(1);
  ExpectAfter(leave, false, [](auto&) {});
  ExpectAfter(leave, true, [](auto& m) { m.mutable_leave()->set_name(std::string(255, 'n')); });
  ExpectAfter(leave, false, [](auto& m) { m.mutable_leave()->set_name(std::string(256, 'n')); });
  EXPECT_FALSE(DecodeClusterMessage(std::string("\x12\x05\x08\x01\x12\x01\xff", 7)).has_value());
  EXPECT_TRUE(DecodeClusterMessage(std::string("\x12\x05\x08\x01\x12\x01n", 7)).has_value());
}

TEST(ClusterMessageTest, UserEventsAreWithinTheirLimit) {
  pb::ClusterMessage event;
  event.mutable_user_event()->set_time(1);
  event.mutable_user_event()->set_name("e");
  const auto payload = [](size_t bytes) {
    return [bytes](auto& m) { m.mutable_user_event()->set_payload(std::string(bytes, 'p')); };
  };
  ExpectAfter(event, true, payload(kUserEventBytesMax - 1));
  ExpectAfter(event, false, payload(kUserEventBytesMax));
  pb::ClusterMessage replay;
  replay.mutable_replay();
  ExpectAfter(replay, false, [](auto&) {});
  ExpectAfter(replay, true, [&](auto& m) {
    *m.mutable_replay()->add_events() = event.user_event();
  });
  ExpectAfter(replay, false, [&](auto& m) {
    *m.mutable_replay()->add_events() = event.user_event();
    m.mutable_replay()->add_events()->set_name("of no time");
  });
}

TEST(ClusterMessageTest, QueriesAreWithinTheirLimits) {
  ExpectAfter(UserQuery(), true, [](auto&) {});
  ExpectAfter(UserQuery(), false, [](auto& m) { m.mutable_query()->clear_question(); });
  ExpectAfter(UserQuery(), false, [](auto& m) { m.mutable_query()->set_source(""); });
  ExpectAfter(UserQuery(), false, [](auto& m) { m.mutable_query()->set_ip("123"); });
  ExpectAfter(UserQuery(), false, [](auto& m) { m.mutable_query()->set_port(0); });
  ExpectAfter(UserQuery(), false, [](auto& m) { m.mutable_query()->set_port(65536); });
  ExpectAfter(UserQuery(), true, [](auto& m) { m.mutable_query()->set_relay_factor(5); });
  ExpectAfter(UserQuery(), false, [](auto& m) { m.mutable_query()->set_relay_factor(6); });
  ExpectAfter(UserQuery(), false, [](auto& m) { m.mutable_query()->set_timeout_ms(0); });
  ExpectAfter(UserQuery(), true, [](auto& m) { m.mutable_query()->set_timeout_ms(3'600'000); });
  ExpectAfter(UserQuery(), false, [](auto& m) { m.mutable_query()->set_timeout_ms(3'600'001); });
  ExpectAfter(UserQuery(), false, [](auto& m) {
    m.mutable_query()->mutable_user()->set_payload(std::string(kQueryBytesMax, 'p'));
  });
}

TEST(ClusterMessageTest, KeysHave16Or24Or32Bytes) {
  EXPECT_TRUE(Decodes(KeyQuery(pb::KEY_OPERATION_LIST, "")));
  EXPECT_FALSE(Decodes(KeyQuery(pb::KEY_OPERATION_LIST, std::string(16, 'k'))));
  for (const size_t bytes : {16, 24, 32}) {
    EXPECT_TRUE(Decodes(KeyQuery(pb::KEY_OPERATION_INSTALL, std::string(bytes, 'k'))));
  }
  EXPECT_FALSE(Decodes(KeyQuery(pb::KEY_OPERATION_USE, std::string(15, 'k'))));
  EXPECT_FALSE(Decodes(KeyQuery(pb::KEY_OPERATION_REMOVE, "")));
  EXPECT_FALSE(Decodes(KeyQuery(pb::KEY_OPERATION_UNSPECIFIED, std::string(16, 'k'))));
  EXPECT_FALSE(Decodes(KeyQuery(static_cast<pb::KeyOperation>(5), std::string(16, 'k'))));
  ExpectAfter(Reply(), true,
              [](auto& m) { m.mutable_reply()->mutable_keys()->add_keys(std::string(16, 'k')); });
  ExpectAfter(Reply(), false,
              [](auto& m) { m.mutable_reply()->mutable_keys()->add_keys("k"); });
}

TEST(ClusterMessageTest, RepliesAreWithinTheirLimitsAlsoByWayOfOthers) {
  const auto too_long = std::string(kQueryReplyBytesMax, 'p');
  ExpectAfter(Reply(), true, [](auto&) {});
  ExpectAfter(Reply(), false, [](auto& m) { m.mutable_reply()->clear_body(); });
  ExpectAfter(Reply(), false, [&](auto& m) { m.mutable_reply()->set_payload(too_long); });
  pb::ClusterMessage relay;
  relay.mutable_relay()->set_to("a");
  *relay.mutable_relay()->mutable_reply() = Reply().reply();
  ExpectAfter(relay, true, [](auto&) {});
  ExpectAfter(relay, false, [](auto& m) { m.mutable_relay()->set_to(""); });
  ExpectAfter(relay, false, [](auto& m) { m.mutable_relay()->clear_reply(); });
  ExpectAfter(relay, false,
              [&](auto& m) { m.mutable_relay()->mutable_reply()->set_payload(too_long); });
}

TEST(ClusterMessageTest, TheLongestAnswerFitsIntoTheLongestRelay) {
  pb::ClusterMessage relay;
  relay.mutable_relay()->set_to(std::string(255, 'n'));
  pb::QueryReply& reply = *relay.mutable_relay()->mutable_reply();
  reply = Reply().reply();
  reply.set_payload(std::string(kQueryReplyBytesMax - reply.ByteSizeLong(), 'p'));
  EXPECT_TRUE(Decodes(relay));
  EXPECT_LE(relay.ByteSizeLong(), kClusterMessageBytesMax);
}

TEST(ClusterMessageTest, ANoteHasThreeTimesAndAllHashesOrNone) {
  pb::Note note;
  note.set_member_time(1);
  note.set_event_time(1);
  const auto decodes = [&] { return DecodeNote(note.SerializeAsString()).has_value(); };
  EXPECT_FALSE(decodes());
  note.set_query_time(1);
  EXPECT_TRUE(decodes());
  for (size_t i = 0; i < EventBuffer::kGroups; ++i) {
    note.add_event_hashes(7);
    EXPECT_EQ(decodes(), i + 1 == EventBuffer::kGroups);
  }
  note.add_event_hashes(7);
  EXPECT_FALSE(decodes());
  EXPECT_FALSE(DecodeNote("\xff").has_value());
}

}  // namespace
}  // namespace consul::gossip
