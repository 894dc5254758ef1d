// Tests of Cluster that need to look at more than its words: limits, rates, what is on the wire.
#include "services/gossip/cluster.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "consul/internal/gossip/v1/cluster.pb.h"
#include "consul/internal/gossip/v1/gossip.pb.h"
#include "services/base/strings.h"
#include "services/gossip/cluster_message.h"
#include "services/gossip/test_pool.h"

namespace consul::gossip {
namespace {

namespace pb = internal::gossip::v1;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr Time kStart{hours(1)};

ClusterSelf Self(std::string name = "a") {
  ClusterSelf self;
  self.name = name;
  self.id = "id-" + name;
  self.address = *Endpoint::Parse("10.0.0.1:8301");
  return self;
}

absl::StatusOr<std::unique_ptr<Cluster>> Create(ClusterSelf self, ClusterOptions options = {},
                                                ClusterRestart restart = {}) {
  return Cluster::Create(options, PoolIdentity{"dc1", false, "", 1, 1}, std::move(self), restart,
                         1, kStart);
}

std::string TextOf(const absl::Status& status) { return std::string(status.message()); }

// A pool of `names`, each of which has joined the first.
void JoinAll(TestPool* pool, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    pool->Add(name);
    if (name != names.front()) pool->Join(name, names.front());
  }
  pool->Run(seconds(5));
  pool->TakeTrace();
  ASSERT_EQ(pool->broken(), "");
}

size_t CountOf(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// The messages of this layer in a packet.
std::vector<pb::ClusterMessage> MessagesIn(const Packet& packet) {
  pb::Packet parsed;
  EXPECT_TRUE(parsed.ParseFromString(packet.bytes));
  std::vector<pb::ClusterMessage> messages;
  for (const std::string& custom : parsed.customs()) {
    messages.push_back(DecodeClusterMessage(custom).value());
  }
  return messages;
}

TEST(ClusterTest, TheDefaultsAreTheReferences) {
  const ClusterOptions options = ClusterOptions::Lan();
  EXPECT_EQ(options.reconnect_interval, seconds(30));
  EXPECT_EQ(options.reconnect_timeout, hours(72));
  EXPECT_EQ(options.tombstone_timeout, hours(24));
  EXPECT_EQ(options.reap_interval, seconds(15));
  EXPECT_EQ(options.broadcast_timeout, seconds(5));
  EXPECT_EQ(options.recent_intent_timeout, minutes(5));
  EXPECT_EQ(options.user_event_bytes_max, 512u);
  EXPECT_EQ(options.query_bytes_max, 1024u);
  EXPECT_EQ(options.response_bytes_max, 1024u);
  EXPECT_EQ(options.query_timeout_mult, 16);
  EXPECT_EQ(options.coalesce_period, Duration{0});
  EXPECT_EQ(ClusterOptions::Wan().swim.probe_interval, seconds(5));
}

TEST(ClusterTest, WhoBreaksALimitIsNotCreated) {
  EXPECT_TRUE(Create(Self()).ok());
  EXPECT_EQ(Create(Self("")).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Create(Self(std::string(256, 'n'))).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Create(Self("\xff")).status().code(), absl::StatusCode::kInvalidArgument);
  ClusterSelf tagged = Self();
  tagged.tags = {{"k", std::string(600, 'x')}};
  EXPECT_EQ(Create(tagged).status().code(), absl::StatusCode::kResourceExhausted);
  ClusterOptions options;
  options.user_event_bytes_max = 2000;
  EXPECT_EQ(TextOf(Create(Self(), options).status()),
            "user events of 2000 bytes do not fit in a packet, 1024 do");
  options = {};
  options.response_bytes_max = 1025;
  EXPECT_EQ(Create(Self(), options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ClusterTest, ClocksGoOnWhereTheLastLifeEnded) {
  const auto cluster = Create(Self(), {}, {LamportTime{7}, LamportTime{8}, LamportTime{9}}).value();
  const ClusterStats stats = cluster->Stats();
  EXPECT_EQ(stats.member_time, LamportTime{7});
  EXPECT_EQ(stats.event_time, LamportTime{8});
  EXPECT_EQ(stats.query_time, LamportTime{9});
}

TEST(ClusterTest, ARespondThatBreaksARuleIsRefusedWithItsName) {
  const auto cluster = Create(Self()).value();
  QueryRequest request;
  request.name = "load";
  ASSERT_TRUE(cluster->Query(kStart, request).ok());
  const ClusterOutput output = cluster->TakeOutput();
  ASSERT_EQ(output.queries.size(), 1u);
  const ReceivedQueryId id = output.queries[0].id;
  EXPECT_EQ(output.queries[0].deadline, kStart + milliseconds(3200));
  EXPECT_EQ(TextOf(cluster->Respond(kStart, id, std::string(1024, 'x'))),
            "response exceeds limit of 1024 bytes");
  EXPECT_EQ(TextOf(cluster->Respond(kStart, {id.value + 1}, "1")),
            "response is past the deadline");
  EXPECT_TRUE(cluster->Respond(kStart, id, "1").ok());
  EXPECT_EQ(TextOf(cluster->Respond(kStart, id, "1")), "response already sent");
  EXPECT_EQ(TextOf(cluster->Respond(kStart + milliseconds(3201), id, "1")),
            "response is past the deadline");
}

TEST(ClusterTest, AQueryThatIsNotTextIsRefused) {
  const auto cluster = Create(Self()).value();
  QueryRequest request;
  request.name = "\xff";
  EXPECT_EQ(TextOf(cluster->Query(kStart, request).status()),
            "the text of a query is not valid UTF-8");
  EXPECT_EQ(TextOf(cluster->SendUserEvent(kStart, "\xff", "", false)),
            "the name of a user event is not valid UTF-8");
  EXPECT_TRUE(cluster->SendUserEvent(kStart, "deploy", "\xff", false).ok());
}

TEST(ClusterTest, ReceivedQueriesThatCanBeAnsweredAreBounded) {
  ClusterOptions options;
  options.queries_received_max = 1;
  const auto cluster = Create(Self(), options).value();
  QueryRequest request;
  request.name = "load";
  ASSERT_TRUE(cluster->Query(kStart, request).ok());
  ASSERT_TRUE(cluster->Query(kStart, request).ok());
  const ClusterOutput output = cluster->TakeOutput();
  ASSERT_EQ(output.queries.size(), 2u);
  EXPECT_FALSE(cluster->Respond(kStart, output.queries[0].id, "1").ok());
  EXPECT_TRUE(cluster->Respond(kStart, output.queries[1].id, "1").ok());
}

TEST(ClusterTest, ChangesOfKeysThatWaitAreBounded) {
  ClusterOptions options;
  options.key_changes_max = 1;
  ClusterSelf self = Self();
  self.keyring = Keyring(Key::FromBytes(std::string(16, 'A')).value());
  const auto cluster = Create(std::move(self), options).value();
  for (const char name : {'B', 'C', 'D'}) {
    const KeyRequest request{KeyOperationKind::kInstall,
                             Key::FromBytes(std::string(16, name)).value()};
    ASSERT_TRUE(cluster->ChangeKeys(kStart, request).ok());
  }
  const ClusterOutput output = cluster->TakeOutput();
  ASSERT_TRUE(output.keyring_store.has_value());  // of B; C waits
  ASSERT_EQ(output.key_results.size(), 1u);
  EXPECT_EQ(output.key_results[0].messages.at("a"),
            "more than 1 changes of the keyring at once");
}

TEST(ClusterTest, AKeyListThatDoesNotFitIsCutAndSaysSo) {
  ClusterOptions options;
  options.response_bytes_max = 600;
  ClusterSelf self = Self();
  self.keyring = Keyring(Key::FromBytes(std::string(32, 'a')).value());
  for (char name = 'b'; name < 'k'; ++name) {
    ASSERT_TRUE(self.keyring->Install(Key::FromBytes(std::string(32, name)).value()).ok());
  }
  const auto cluster = Create(std::move(self), options).value();
  ASSERT_TRUE(cluster->ChangeKeys(kStart, {KeyOperationKind::kList, std::nullopt}).ok());
  const ClusterOutput output = cluster->TakeOutput();
  ASSERT_EQ(output.key_results.size(), 1u);
  EXPECT_EQ(output.key_results[0].messages.at("a"),
            "Truncated key list response, showing first 6 of 10 keys");
  EXPECT_EQ(output.key_results[0].keys.size(), 6u);
  EXPECT_EQ(output.key_results[0].error, "");
}

TEST(ClusterTest, ARelayedAnswerGoesStraightAndByWayOfSoManyOthers) {
  TestPool pool(1);
  JoinAll(&pool, {"a", "b", "c", "d", "e"});
  QueryRequest request;
  request.name = "load";
  request.nodes = {"b"};
  request.relay_factor = 2;
  ASSERT_TRUE(pool.cluster("a").Query(pool.now(), request).ok());
  pool.Pump(pool.at("a"));
  ASSERT_TRUE(pool.RunUntil([&] { return !pool.at("b").queries.empty(); }, seconds(3)));
  Cluster& b = pool.cluster("b");
  ASSERT_TRUE(b.Respond(pool.now(), pool.at("b").queries[0].id, "2").ok());
  size_t straight = 0;
  size_t relayed = 0;
  std::set<Endpoint> to;
  for (const Packet& packet : b.TakeOutput().packets) {
    for (const pb::ClusterMessage& message : MessagesIn(packet)) {
      const bool to_asker = packet.to == pool.at("a").address;
      straight += message.has_reply() && to_asker ? 1 : 0;
      relayed += message.has_relay() && !to_asker && to.insert(packet.to).second ? 1 : 0;
    }
  }
  EXPECT_EQ(straight, 1u);
  EXPECT_EQ(relayed, 2u);
}

TEST(ClusterTest, AFailedMemberIsTriedLessOftenTheLongerItIsGone) {
  TestPool pool(1);
  JoinAll(&pool, {"a", "b"});
  pool.Crash("b");
  pool.Run(minutes(10));
  const size_t soon = CountOf(pool.TakeTrace(), "tries again b");
  EXPECT_GE(soon, 15u);  // every 30 s
  EXPECT_LE(soon, 20u);
  pool.Run(minutes(110));
  pool.TakeTrace();
  pool.Run(hours(1));
  const size_t later = CountOf(pool.TakeTrace(), "tries again b");
  EXPECT_GE(later, 10u);  // every 5 minutes
  EXPECT_LE(later, 12u);
  EXPECT_EQ(pool.broken(), "");
}

TEST(ClusterTest, TheWholePoolTriesAFailedMemberAboutOnceAnInterval) {
  TestPool pool(1);
  std::vector<std::string> names;
  for (int i = 0; i < 20; ++i) names.push_back(base::StrCat("n", 10 + i));
  JoinAll(&pool, names);
  pool.Crash("n29");
  pool.Run(minutes(10));
  const size_t tries = CountOf(pool.TakeTrace(), "tries again n29");
  EXPECT_GE(tries, 10u);
  EXPECT_LE(tries, 35u);
  EXPECT_EQ(pool.broken(), "");
}

TEST(ClusterTest, EqualMembersReplayNothingToEachOther) {
  TestPool pool(1);
  JoinAll(&pool, {"a", "b"});
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(pool.cluster("a").SendUserEvent(pool.now(), "e", base::StrCat(i), false).ok());
    pool.Pump(pool.at("a"));
    pool.Run(milliseconds(50));
  }
  pool.Run(minutes(2));
  EXPECT_EQ(pool.at("b").user_events.size(), 300u);
  size_t replays = 0;
  pool.set_on_packet([&](const Packet& packet) {
    for (const pb::ClusterMessage& message : MessagesIn(packet)) {
      replays += message.has_replay() ? 1 : 0;
    }
  });
  pool.Run(minutes(10));
  EXPECT_EQ(replays, 0u);
  pool.Add("c");
  pool.Join("c", "a");
  pool.Run(seconds(1));
  EXPECT_GT(replays, 0u);
  EXPECT_EQ(pool.broken(), "");
}

TEST(ClusterTest, MuchThatWasMissedComesExchangeByExchange) {
  ClusterOptions options;
  options.replay_bytes_max = 4096;
  TestPool pool(1, options);
  JoinAll(&pool, {"a", "b"});
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(pool.cluster("a")
                    .SendUserEvent(pool.now(), "e", base::StrCat(1000 + i, std::string(100, 'x')),
                                   false)
                    .ok());
    pool.Pump(pool.at("a"));
  }
  pool.Run(minutes(1));
  pool.Add("c");
  pool.Join("c", "a");
  pool.Run(seconds(1));
  const size_t at_once = pool.at("c").user_events.size();
  EXPECT_GE(at_once, 30u);
  EXPECT_LT(at_once, 50u);
  // The newest came first.
  for (const UserEvent& event : pool.at("c").user_events) {
    EXPECT_GE(event.time.value, 100 - at_once);
  }
  pool.Run(minutes(5));
  EXPECT_EQ(pool.at("c").user_events.size(), 100u);
  EXPECT_EQ(pool.broken(), "");
}

TEST(ClusterTest, ClocksAreWrittenAtMostTwiceASecond) {
  const auto cluster = Create(Self()).value();
  size_t written = 0;
  LamportTime last;
  Time now = kStart;
  for (int i = 0; i < 1000; ++i) {
    now += milliseconds(10);
    ASSERT_TRUE(cluster->SendUserEvent(now, "e", base::StrCat(i), false).ok());
    for (const ClusterRecord& record : cluster->TakeOutput().records) {
      const auto* clocks = std::get_if<ClocksRecord>(&record);
      if (clocks == nullptr) continue;
      ++written;
      last = clocks->event_time;
    }
  }
  EXPECT_GE(written, 19u);
  EXPECT_LE(written, 21u);
  // What was said since is written, too, when its time has come.
  ASSERT_LE(cluster->NextDeadline(), now + milliseconds(500));
  cluster->Tick(now + milliseconds(500));
  for (const ClusterRecord& record : cluster->TakeOutput().records) {
    if (const auto* clocks = std::get_if<ClocksRecord>(&record)) last = clocks->event_time;
  }
  EXPECT_EQ(last, LamportTime{1001});
}

TEST(ClusterTest, CoordinatesComeToTellTheRoundTrip) {
  TestPool pool(1);
  pool.network().latency_min = milliseconds(20);
  pool.network().latency_max = milliseconds(20);
  JoinAll(&pool, {"a", "b", "c"});
  pool.Run(minutes(5));
  const Coordinate a = pool.cluster("a").coordinate();
  EXPECT_EQ(pool.cluster("a").CoordinateOf("a"), a);
  const std::optional<Coordinate> b = pool.cluster("a").CoordinateOf("b");
  ASSERT_TRUE(b.has_value());
  EXPECT_GT(a.DistanceTo(*b), milliseconds(35));
  EXPECT_LT(a.DistanceTo(*b), milliseconds(45));
  EXPECT_FALSE(pool.cluster("a").CoordinateOf("x").has_value());
  pool.cluster("b").Leave(pool.now());
  pool.Pump(pool.at("b"));
  pool.Run(seconds(5));
  EXPECT_FALSE(pool.cluster("a").CoordinateOf("b").has_value());
  EXPECT_EQ(pool.broken(), "");
}

TEST(ClusterTest, WithoutCoordinatesNobodyHasOne) {
  ClusterOptions options;
  options.coordinates = false;
  TestPool pool(1, options);
  JoinAll(&pool, {"a", "b"});
  pool.Run(minutes(1));
  EXPECT_FALSE(pool.cluster("a").CoordinateOf("a").has_value());
  EXPECT_FALSE(pool.cluster("a").CoordinateOf("b").has_value());
  EXPECT_EQ(pool.cluster("a").coordinate(), Coordinate{});
}

}  // namespace
}  // namespace consul::gossip
