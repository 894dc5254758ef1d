// Goal: what a pool costs does not grow with it, and it knows of deaths as soon, and errs as
// seldom, as docs/GOSSIP.md says. Method: pools in virtual time, small enough for every run of the
// tests; some differ in nothing but their size. And exchanges between two members that know many.
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "services/base/strings.h"
#include "services/gossip/sim_pool.h"
#include "tests/sim/gossip_scenarios.h"

namespace consul::gossip {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Two members that know `count` others, which are not there.
class TwoMembers {
 public:
  explicit TwoMembers(size_t count) : pool_(Options(), 1), a_(Start("a")), b_(Start("b")) {
    for (size_t i = 0; i < count; ++i) {
      MemberInfo info;
      info.name = base::StrCat("node-", 10'000 + i);
      info.id = base::StrCat("id-", info.name);
      info.address = *Endpoint::Parse(base::StrCat("10.50.", i / 250, ".", 1 + i % 250, ":7946"));
      others_.push_back(std::make_shared<const Member>(info));
    }
  }

  HostId a() const { return a_; }
  HostId b() const { return b_; }
  SimPool& pool() { return pool_; }
  Swim& swim(HostId host) { return pool_.swim(host); }

  // `host` knows both and all others.
  void Teach(HostId host) {
    std::vector<MemberPtr> all = others_;
    all.push_back(swim(a_).table_for_test().member(Slot{0}));
    all.push_back(swim(b_).table_for_test().member(Slot{0}));
    swim(host).PreloadForTest(all);
  }

  // An exchange, begun by b. Returns the bytes on the stream.
  uint64_t Exchange() {
    const uint64_t before = Bytes();
    pool_.Join(b_, a_);
    pool_.network().RunFor(milliseconds(50));
    return Bytes() - before;
  }

 private:
  // Nothing but what a test begins.
  static SwimOptions Options() {
    SwimOptions options;
    options.probe_interval = std::chrono::hours(1000);
    options.push_pull_interval = std::chrono::hours(1000);
    options.gossip_interval = std::chrono::hours(1000);
    return options;
  }

  HostId Start(const std::string& name) {
    const HostId host = pool_.AddHost(name);
    pool_.Start(host);
    return host;
  }

  uint64_t Bytes() {
    return pool_.network().traffic(a_).stream_bytes + pool_.network().traffic(b_).stream_bytes;
  }

  SimPool pool_;
  HostId a_;
  HostId b_;
  std::vector<MemberPtr> others_;
};

TEST(GossipScaleTest, AnExchangeOfTwoWhoAgreeIsAsLargeInAnyPool) {
  std::vector<uint64_t> bytes;
  for (const size_t count : {100, 1000, 10'000}) {
    TwoMembers two(count);
    two.Teach(two.a());
    two.Teach(two.b());
    bytes.push_back(two.Exchange());
    EXPECT_LT(bytes.back(), 5000u);
  }
  for (const uint64_t other : bytes) {
    EXPECT_NEAR(static_cast<double>(other), static_cast<double>(bytes[0]),
                0.05 * static_cast<double>(bytes[0]));
  }
}

TEST(GossipScaleTest, AJoinerLearnsTenThousandMembersInOneExchange) {
  TwoMembers two(10'000);
  two.Teach(two.a());
  size_t streams = 0;
  std::vector<JoinResult> results;
  two.pool().SetListener([&](HostId, const Output& output) {
    streams += output.stream_opens.size();
    results.insert(results.end(), output.join_results.begin(), output.join_results.end());
  });
  two.Exchange();
  EXPECT_EQ(streams, 1u);
  ASSERT_EQ(results.size(), 1u);
  EXPECT_TRUE(results[0].joined);
  EXPECT_EQ(results[0].living_count, 10'002u);
  EXPECT_EQ(two.swim(two.a()).table_for_test().bucket_hashes(),
            two.swim(two.b()).table_for_test().bucket_hashes());
  // What the pool knows already is not told to it anew.
  EXPECT_EQ(two.swim(two.b()).queue_lengths().membership, 0u);
}

TEST(GossipScaleTest, OneDifferenceCostsItsBucketAlone) {
  TwoMembers two(10'000);
  two.Teach(two.a());
  two.Teach(two.b());
  const uint64_t equal = two.Exchange();
  two.pool().With(two.a(), [](Swim* swim, Time) {
    swim->SetIntent("node-10007", {LamportTime{5}, 1});
  });
  const uint64_t different = two.Exchange();
  EXPECT_EQ(two.swim(two.b()).Find("node-10007")->intent.time, LamportTime{5});
  // Forty digests of 16 bytes, and an entry.
  EXPECT_LT(different, equal + 2500);
  EXPECT_GT(different, equal);
  EXPECT_EQ(two.swim(two.a()).table_for_test().bucket_hashes(),
            two.swim(two.b()).table_for_test().bucket_hashes());
}

TEST(GossipScaleTest, TwoHalvesOfAPoolBecomeOne) {
  TwoMembers two(2000);
  two.Teach(two.a());
  two.Teach(two.b());
  // Each has forgotten another part.
  for (size_t i = 0; i < 1500; ++i) {
    const HostId host = i % 2 == 0 ? two.a() : two.b();
    const std::string name = base::StrCat("node-", 10'000 + i);
    two.pool().With(host, [&](Swim* swim, Time now) {
      const auto entry = swim->Find(name);
      swim->ReceivePacket(now, Endpoint{},
                          EncodeDead({name, entry->member->id_check, Incarnation{1}, "x", true}));
      swim->Evict(name);
    });
  }
  two.Exchange();
  EXPECT_EQ(two.swim(two.a()).counts().living(), 2002u);
  EXPECT_EQ(two.swim(two.b()).counts().living(), 2002u);
}

TEST(GossipScaleTest, APoolAtRestSendsAsMuchForEachMemberInAnySize) {
  const RestFigures small = MeasureRest(SwimOptions(), 50, seconds(60), 1);
  const RestFigures large = MeasureRest(SwimOptions(), 500, seconds(60), 1);
  EXPECT_NEAR(large.packet_bytes, small.packet_bytes, 0.05 * small.packet_bytes);
  EXPECT_NEAR(large.packets, 2, 0.05);  // a ping and an ack
}

TEST(GossipScaleTest, ADeathIsDetectedKnownAndConfirmedInTime) {
  const SwimOptions options;
  const DetectionFigures detection = MeasureDetection(options, 100, 60, seconds(10), 1);
  EXPECT_LT(detection.mean, 1.2 * 1.58);
  EXPECT_GT(detection.mean, 1);
  const SpreadFigures spread = MeasureSpread(options, 100, 5, 1);
  EXPECT_LT(spread.known_max, 1.2 * std::ceil(std::log2(100.0)) * 0.2);
  EXPECT_LT(spread.confirmed_mean, 1.1 * spread.formula);
  EXPECT_GE(spread.confirmed_mean, spread.formula);
}

TEST(GossipScaleTest, MembersWhoseSocketsStopHarmOthersATwentiethAsOftenAsInPlainSwim) {
  Pauses pauses;
  pauses.sockets_only = true;
  pauses.pause = seconds(15);
  const auto duration = std::chrono::minutes(4);
  const FalsePositiveFigures ours = MeasurePauses(SwimOptions(), 100, pauses, duration, 1);
  const FalsePositiveFigures plain = MeasurePauses(PlainSwim(), 100, pauses, duration, 1);
  EXPECT_GT(plain.of_running, 1000u);
  EXPECT_LE(20 * ours.of_running, plain.of_running);
}

TEST(GossipScaleTest, PacketsThatAreLostRaiseATwentiethOfPlainSwimsSuspicions) {
  const auto duration = std::chrono::minutes(4);
  const FalsePositiveFigures ours = MeasureLoss(SwimOptions(), 100, 0.05, duration, 1);
  const FalsePositiveFigures plain = MeasureLoss(PlainSwim(), 100, 0.05, duration, 1);
  EXPECT_GT(plain.suspicions, 500u);
  EXPECT_LE(20 * ours.suspicions, plain.suspicions);
  EXPECT_EQ(ours.of_running, 0u);
}

}  // namespace
}  // namespace consul::gossip
