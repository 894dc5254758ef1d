#include "services/raft/core/progress.h"

#include "gtest/gtest.h"

namespace consul::raft {
namespace {

using Mode = Progress::Mode;

constexpr uint64_t kBytesMax = 100;
constexpr uint64_t kRequestsMax = 4;

Time At(int ms) { return Time(std::chrono::milliseconds(ms)); }

// A peer known to be equal up to 10, replicating.
Progress Replicating() {
  Progress peer(Index{11}, At(0));
  peer.Sent(Index{10}, 0, At(0));
  peer.Accepted(Index{10}, At(1));
  return peer;
}

TEST(ProgressTest, AProbeIsOneRequestAtATime) {
  Progress peer(Index{11}, At(0));
  EXPECT_TRUE(peer.HasRoom(kBytesMax, kRequestsMax));
  peer.Sent(Index{10}, 0, At(0));
  EXPECT_FALSE(peer.HasRoom(kBytesMax, kRequestsMax));
  peer.ProbeAgain();
  EXPECT_TRUE(peer.HasRoom(kBytesMax, kRequestsMax));
}

TEST(ProgressTest, AnAcceptedProbeStartsReplicating) {
  const Progress peer = Replicating();
  EXPECT_EQ(peer.mode(), Mode::kReplicate);
  EXPECT_EQ(peer.match(), Index{10});
  EXPECT_EQ(peer.next(), Index{11});
}

TEST(ProgressTest, BytesInFlightAreLimited) {
  Progress peer = Replicating();
  peer.Sent(Index{11}, 60, At(2));
  EXPECT_TRUE(peer.HasRoom(kBytesMax, kRequestsMax));
  peer.Sent(Index{12}, 60, At(2));
  EXPECT_FALSE(peer.HasRoom(kBytesMax, kRequestsMax));
  peer.Accepted(Index{11}, At(3));
  EXPECT_EQ(peer.in_flight_bytes(), 60u);
  EXPECT_TRUE(peer.HasRoom(kBytesMax, kRequestsMax));
}

TEST(ProgressTest, AnAckIsAwaitedSinceTheFirstOfWhatIsNotAcknowledged) {
  Progress peer = Replicating();
  peer.Sent(Index{11}, 1, At(10));
  peer.Sent(Index{12}, 1, At(20));
  EXPECT_EQ(peer.awaited_since(), At(10));
  peer.Accepted(Index{11}, At(30));
  EXPECT_EQ(peer.awaited_since(), At(30));
  peer.Sent(Index{13}, 1, At(40));
  peer.Refused(Index{12}, Index{12}, At(50));
  peer.Sent(Index{11}, 1, At(60));
  EXPECT_EQ(peer.awaited_since(), At(30)) << "asking again brings nothing on";
}

TEST(ProgressTest, AProbeThatIsAcceptedWhereNothingWasWrittenIsNoAck) {
  Progress peer = Replicating();
  EXPECT_FALSE(peer.owes());
  peer.Sent(Index{12}, 1, At(10));
  EXPECT_TRUE(peer.owes());
  for (int ms = 20; ms < 100; ms += 20) {
    peer.Refused(Index{12}, Index{11}, At(ms));
    peer.Sent(Index{10}, 0, At(ms));
    EXPECT_TRUE(peer.Accepted(Index{10}, At(ms + 5)));
    peer.Sent(Index{12}, 1, At(ms + 5));
    EXPECT_EQ(peer.awaited_since(), At(10));
  }
  peer.Accepted(Index{12}, At(100));
  EXPECT_FALSE(peer.owes());
  peer.Sent(Index{13}, 1, At(200));
  EXPECT_EQ(peer.awaited_since(), At(200)) << "until then nothing was awaited";
}

TEST(ProgressTest, WhatAProbeCarriesIsOwedAsWell) {
  Progress peer(Index{11}, At(0));
  peer.Sent(Index{10}, 0, At(10));
  EXPECT_FALSE(peer.owes()) << "it carried nothing";
  peer.Refused(Index{10}, Index{6}, At(20));
  for (int ms = 30; ms < 100; ms += 20) {
    peer.Sent(Index{10}, 5, At(ms));
    EXPECT_TRUE(peer.owes());
    EXPECT_EQ(peer.awaited_since(), At(30));
    peer.ProbeAgain();
  }
  peer.Accepted(Index{10}, At(100));
  EXPECT_FALSE(peer.owes());
}

TEST(ProgressTest, RequestsInFlightAreLimited) {
  Progress peer = Replicating();
  for (uint64_t i = 0; i < kRequestsMax; ++i) peer.Sent(Index{11 + i}, 1, At(2));
  EXPECT_FALSE(peer.HasRoom(kBytesMax, kRequestsMax));
}

TEST(ProgressTest, OneAckFreesAllBeforeIt) {
  Progress peer = Replicating();
  for (uint64_t i = 11; i <= 13; ++i) peer.Sent(Index{i}, 10, At(2));
  peer.Accepted(Index{13}, At(3));
  EXPECT_EQ(peer.in_flight_bytes(), 0u);
  EXPECT_EQ(peer.in_flight_requests(), 0u);
}

TEST(ProgressTest, AnOldAckMovesNothingBack) {
  Progress peer = Replicating();
  EXPECT_FALSE(peer.Accepted(Index{7}, At(3)));
  EXPECT_EQ(peer.match(), Index{10});
  EXPECT_EQ(peer.next(), Index{11});
}

TEST(ProgressTest, ARefusalProbesFromTheHint) {
  Progress peer = Replicating();
  peer.Sent(Index{15}, 10, At(2));
  EXPECT_TRUE(peer.Refused(Index{15}, Index{12}, At(3)));
  EXPECT_EQ(peer.mode(), Mode::kProbe);
  EXPECT_EQ(peer.next(), Index{12});
  EXPECT_EQ(peer.in_flight_bytes(), 0u);
}

TEST(ProgressTest, ARefusalNeverProbesBeforeWhatIsKnown) {
  Progress peer = Replicating();
  peer.Sent(Index{15}, 10, At(2));
  EXPECT_TRUE(peer.Refused(Index{15}, Index{3}, At(3)));
  EXPECT_EQ(peer.next(), Index{11});
}

TEST(ProgressTest, AnOldRefusalIsIgnored) {
  Progress peer = Replicating();
  EXPECT_FALSE(peer.Refused(Index{7}, Index{3}, At(3)));
  EXPECT_EQ(peer.mode(), Mode::kReplicate);
}

TEST(ProgressTest, ARefusalOfAnotherProbeIsIgnored) {
  Progress peer(Index{11}, At(0));
  EXPECT_FALSE(peer.Refused(Index{5}, Index{2}, At(0)));
  EXPECT_TRUE(peer.Refused(Index{10}, Index{2}, At(0)));
  EXPECT_EQ(peer.next(), Index{2});
}

TEST(ProgressTest, EachRefusedProbeGoesLower) {
  Progress peer(Index{11}, At(0));
  EXPECT_TRUE(peer.Refused(Index{10}, Index{99}, At(0)));
  EXPECT_EQ(peer.next(), Index{10});
}

TEST(ProgressTest, APeerThatLostItsDiskIsFoundOut) {
  Progress peer = Replicating();
  EXPECT_TRUE(peer.Refused(Index{10}, Index{1}, At(1)));
  EXPECT_EQ(peer.next(), Index{1});
  EXPECT_EQ(peer.match(), Index{0}) << "it is not counted on for anything";
  peer.Sent(Index{10}, 10, At(2));
  EXPECT_TRUE(peer.Accepted(Index{4}, At(3)));
  EXPECT_EQ(peer.next(), Index{5});
  EXPECT_EQ(peer.match(), Index{4});
  EXPECT_EQ(peer.match_max(), Index{10});
}

// It is no full disk that writes nothing: it comes on, though not yet to where it was.
TEST(ProgressTest, WhatAPeerAcknowledgesAnewBringsItOn) {
  Progress peer = Replicating();
  peer.Sent(Index{11}, 1, At(100));
  EXPECT_TRUE(peer.Refused(Index{10}, Index{1}, At(110)));
  EXPECT_TRUE(peer.owes());
  EXPECT_EQ(peer.awaited_since(), At(110));
  peer.Sent(Index{1}, 1, At(120));
  EXPECT_TRUE(peer.Accepted(Index{1}, At(130)));
  EXPECT_EQ(peer.awaited_since(), At(130));
  peer.Sent(Index{2}, 1, At(140));
  EXPECT_TRUE(peer.Accepted(Index{2}, At(150)));
  EXPECT_EQ(peer.awaited_since(), At(150));
}

TEST(ProgressTest, APeerThatLosesItsDiskAgainIsFoundOutAgain) {
  Progress peer = Replicating();
  EXPECT_TRUE(peer.Refused(Index{10}, Index{1}, At(1)));
  peer.Sent(Index{4}, 10, At(2));
  EXPECT_TRUE(peer.Accepted(Index{4}, At(3)));
  peer.Sent(Index{6}, 10, At(4));
  EXPECT_TRUE(peer.Refused(Index{6}, Index{2}, At(5)));
  EXPECT_EQ(peer.next(), Index{5}) << "it may be an old refusal";
  EXPECT_TRUE(peer.Refused(Index{4}, Index{2}, At(6)));
  EXPECT_EQ(peer.next(), Index{2});
  EXPECT_EQ(peer.match(), Index{0}) << "where the logs part is a guess so far";
}

TEST(ProgressTest, ASnapshotEndsWithAProbeBehindIt) {
  Progress peer(Index{2}, At(0));
  SnapshotMeta meta;
  meta.index = Index{50};
  peer.StartSnapshot(meta, At(1));
  EXPECT_FALSE(peer.HasRoom(kBytesMax, kRequestsMax));
  EXPECT_FALSE(peer.Refused(Index{1}, Index{1}, At(1)));
  peer.Accepted(Index{50}, At(2));
  EXPECT_EQ(peer.mode(), Mode::kProbe);
  EXPECT_EQ(peer.next(), Index{51});
}

// The ack was on its way when the log was cut.
TEST(ProgressTest, WhatIsAcknowledgedDuringASnapshotIsNoLossWhenItBeginsAnew) {
  Progress peer = Replicating();
  peer.Sent(Index{20}, 1, At(1));
  SnapshotMeta meta;
  meta.index = Index{50};
  peer.Refused(Index{20}, Index{11}, At(2));
  peer.Sent(Index{15}, 1, At(3));
  peer.StartSnapshot(meta, At(4));
  peer.Accepted(Index{15}, At(5));
  meta.index = Index{60};
  peer.StartSnapshot(meta, At(6));
  EXPECT_EQ(peer.match(), Index{15});
}

TEST(ProgressTest, WhoBeganAnewIsAskedWhatItHasAndGoesOnWithItsSnapshot) {
  Progress peer = Replicating();
  peer.Sent(Index{12}, 20, At(2));
  peer.BeganAnew(Index{11}, At(3));
  EXPECT_EQ(peer.mode(), Mode::kProbe);
  EXPECT_EQ(peer.match(), Index{0});
  EXPECT_EQ(peer.match_max(), Index{10});
  EXPECT_EQ(peer.next(), Index{11});
  EXPECT_EQ(peer.in_flight_bytes(), 0u);
  EXPECT_EQ(peer.awaited_since(), At(3));
  peer.Accepted(Index{10}, At(4));
  SnapshotMeta meta;
  meta.index = Index{20};
  peer.StartSnapshot(meta, At(5));
  peer.BeganAnew(Index{11}, At(6));
  EXPECT_EQ(peer.mode(), Mode::kSnapshot);
  EXPECT_EQ(peer.match(), Index{0});
}

TEST(ProgressTest, WhoIsDoubtedCountsForWhatItSaysAnew) {
  Progress peer = Replicating();
  EXPECT_EQ(peer.counted(), Index{10});
  peer.Doubt(Round{5});
  EXPECT_EQ(peer.match(), Index{10});
  EXPECT_EQ(peer.counted(), Index{0});
  EXPECT_FALSE(peer.Vouched(Round{4}, Index{10})) << "an older word";
  EXPECT_TRUE(peer.Vouched(Round{5}, Index{3}));
  EXPECT_FALSE(peer.Vouched(Round{6}, Index{2})) << "no less than before";
  EXPECT_EQ(peer.counted(), Index{3});
  EXPECT_TRUE(peer.Vouched(Round{6}, Index{10}));
  peer.Sent(Index{12}, 20, At(2));
  peer.Accepted(Index{12}, At(3));
  EXPECT_EQ(peer.counted(), Index{12}) << "the doubt is over";
}

TEST(ProgressTest, TheTimeOfAnAckIsSmoothed) {
  Progress peer = Replicating();
  EXPECT_EQ(peer.ack_time(At(9)), Duration{0});
  peer.Sent(Index{11}, 1, At(10));
  EXPECT_EQ(peer.ack_time(At(13)), At(3) - At(0)) << "it owes one for so long";
  peer.Accepted(Index{11}, At(18));
  EXPECT_EQ(peer.ack_time(At(99)), At(8) - At(0)) << "the first";
  peer.Sent(Index{12}, 1, At(100));
  EXPECT_EQ(peer.ack_time(At(101)), At(8) - At(0)) << "it owes one for less than that";
  peer.Accepted(Index{12}, At(116));
  EXPECT_EQ(peer.ack_time(At(199)), At(9) - At(0)) << "16 ms";
  peer.Sent(Index{13}, 1, At(200));
  peer.Accepted(Index{13}, At(200));
  EXPECT_EQ(peer.ack_time(At(299)), (At(9) - At(0)) * 7 / 8) << "none";
}

TEST(ProgressTest, AnAckOfManyRequestsIsOneTimeTheNewestOnes) {
  Progress peer = Replicating();
  peer.Sent(Index{11}, 1, At(0));
  peer.Accepted(Index{11}, At(8));
  for (uint64_t i = 12; i <= 27; ++i) peer.Sent(Index{i}, 1, At(8));
  peer.Sent(Index{28}, 1, At(208));
  peer.Sent(Index{29}, 1, At(408));
  peer.Accepted(Index{28}, At(1008));  // it stood still for a second
  EXPECT_EQ(peer.ack_time(At(1008)), At(8 + (800 - 8) / 8) - At(0));
}

TEST(ProgressTest, WhatIsForgottenCountsNoMoreThoughItWasSaidAnew) {
  Progress peer = Replicating();
  peer.Doubt(Round{5});
  peer.Vouched(Round{5}, Index{3});
  peer.BeganAnew(Index{11}, At(2));
  EXPECT_EQ(peer.counted(), Index{0});
}

}  // namespace
}  // namespace consul::raft
