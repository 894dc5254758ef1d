#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "services/gossip/awareness.h"
#include "services/gossip/broadcast_queue.h"
#include "services/gossip/member_table.h"
#include "services/gossip/round_trips.h"
#include "services/gossip/suspicion.h"

namespace consul::gossip {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Time At(int second) { return Time{} + seconds(second); }

// ---- Awareness.

TEST(AwarenessTest, StaysWithinItsBounds) {
  Awareness awareness(8);
  awareness.Add(-1);
  EXPECT_EQ(awareness.score(), 0);
  EXPECT_EQ(awareness.Scale(seconds(1)), seconds(1));
  awareness.Add(3);
  EXPECT_EQ(awareness.Scale(milliseconds(500)), milliseconds(2000));
  awareness.Add(100);
  EXPECT_EQ(awareness.score(), 8);
  EXPECT_EQ(awareness.Scale(seconds(1)), seconds(9));
  awareness.Add(-1);
  EXPECT_EQ(awareness.score(), 7);
}

TEST(AwarenessTest, AMaximumOfZeroNeverDoubts) {
  Awareness awareness(0);
  awareness.Add(5);
  EXPECT_EQ(awareness.score(), 0);
}

// ---- Round trips.

TEST(RoundTripsTest, TheBoundIsAboveNearlyAllOfThem) {
  RoundTrips round_trips;
  EXPECT_EQ(round_trips.samples(), 0);
  round_trips.Add(milliseconds(10));
  EXPECT_EQ(round_trips.bound(), milliseconds(30));
  Random random(1);
  int above = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto rtt = std::chrono::microseconds(1000 + random.Below(1000));
    above += i > 20 && rtt > round_trips.bound() ? 1 : 0;
    round_trips.Add(rtt);
  }
  EXPECT_LE(above, 5);
  EXPECT_LT(round_trips.bound(), milliseconds(4));
  // One answer that came late raises it, and is forgotten.
  round_trips.Add(milliseconds(100));
  EXPECT_GT(round_trips.bound(), milliseconds(50));
  for (int i = 0; i < 40; ++i) round_trips.Add(milliseconds(1));
  EXPECT_LT(round_trips.bound(), milliseconds(3));
}

// ---- Suspicion.

TEST(SuspicionTest, BoundsGrowWithTheLogarithmOfThePool) {
  const SwimOptions options;
  EXPECT_EQ(BoundsFor(options, 1).timeout_min, seconds(4));
  EXPECT_EQ(BoundsFor(options, 10).timeout_min, seconds(4));
  EXPECT_EQ(BoundsFor(options, 100).timeout_min, seconds(8));
  EXPECT_EQ(BoundsFor(options, 10'000).timeout_min, seconds(16));
  EXPECT_EQ(BoundsFor(options, 100).timeout_max, seconds(48));
  EXPECT_EQ(BoundsFor(options, 100).confirmations_max, 2);
}

TEST(SuspicionTest, WithoutAnybodyToConfirmTheWaitIsShort) {
  const SwimOptions options;
  EXPECT_EQ(BoundsFor(options, 3).confirmations_max, 0);
  EXPECT_EQ(BoundsFor(options, 3).timeout_max, seconds(4));
  EXPECT_EQ(BoundsFor(options, 4).confirmations_max, 2);
  SwimOptions plain;
  plain.lifeguard = false;
  EXPECT_EQ(BoundsFor(plain, 100).confirmations_max, 0);
  EXPECT_EQ(BoundsFor(plain, 100).timeout_max, seconds(8));
}

TEST(SuspicionTest, ConfirmationsShortenTheWaitByLifeguardsCurve) {
  const SuspicionBounds bounds{seconds(2), seconds(30), 3};
  Suspicion suspicion(bounds, At(100), "a");
  EXPECT_EQ(suspicion.deadline(), At(130));
  EXPECT_TRUE(suspicion.Confirm("b"));
  const auto expected = [](int confirmations) {
    return 30 - 28 * std::log(confirmations + 1) / std::log(4);
  };
  const auto wait = [&] {
    return std::chrono::duration<double>(suspicion.deadline() - At(100)).count();
  };
  EXPECT_NEAR(wait(), expected(1), 1e-6);
  EXPECT_TRUE(suspicion.Confirm("c"));
  EXPECT_NEAR(wait(), expected(2), 1e-6);
  EXPECT_TRUE(suspicion.Confirm("d"));
  EXPECT_EQ(suspicion.deadline(), At(102));
  EXPECT_FALSE(suspicion.Confirm("e"));
  EXPECT_EQ(suspicion.deadline(), At(102));
}

TEST(SuspicionTest, OnlyIndependentAccusersConfirm) {
  Suspicion suspicion({seconds(2), seconds(30), 3}, At(0), "a");
  EXPECT_FALSE(suspicion.Confirm("a"));
  EXPECT_TRUE(suspicion.Confirm("b"));
  const Time deadline = suspicion.deadline();
  EXPECT_FALSE(suspicion.Confirm("b"));
  EXPECT_FALSE(suspicion.Confirm("a"));
  EXPECT_EQ(suspicion.deadline(), deadline);
  EXPECT_EQ(suspicion.confirmations(), 1);
}

TEST(SuspicionsTest, TheNearestDeadlineIsTakenFirst) {
  Suspicions suspicions;
  EXPECT_EQ(suspicions.next_deadline(), Time::max());
  suspicions.Begin(Slot{1}, Suspicion({seconds(9), seconds(30), 1}, At(0), "a"));
  suspicions.Begin(Slot{2}, Suspicion({seconds(9), seconds(20), 1}, At(0), "a"));
  EXPECT_EQ(suspicions.next_deadline(), At(20));
  EXPECT_TRUE(suspicions.Confirm(Slot{1}, "b"));
  EXPECT_FALSE(suspicions.Confirm(Slot{3}, "b"));
  EXPECT_EQ(suspicions.next_deadline(), At(9));
  suspicions.Postpone(seconds(5));
  EXPECT_EQ(suspicions.next_deadline(), At(14));
  EXPECT_FALSE(suspicions.TakeDue(At(13)));
  EXPECT_EQ(suspicions.TakeDue(At(14)), Slot{1});
  EXPECT_EQ(suspicions.Find(Slot{1}), nullptr);
  suspicions.End(Slot{2});
  suspicions.End(Slot{2});
  EXPECT_EQ(suspicions.next_deadline(), Time::max());
  EXPECT_EQ(suspicions.size(), 0u);
}

// ---- Broadcasts.

std::string TakeAll(BroadcastQueue* queue, size_t room, int transmits_max) {
  std::string out;
  queue->Take(room, transmits_max, &out);
  return out;
}

TEST(BroadcastQueueTest, TransmitLimitGrowsWithThePool) {
  EXPECT_EQ(TransmitLimit(4, 1), 4);
  EXPECT_EQ(TransmitLimit(4, 9), 4);
  EXPECT_EQ(TransmitLimit(4, 10), 8);
  EXPECT_EQ(TransmitLimit(4, 99), 8);
  EXPECT_EQ(TransmitLimit(4, 10'000), 20);
}

TEST(BroadcastQueueTest, TheLeastSentGoesFirstAndOfThoseTheNewest) {
  BroadcastQueue queue(10, 1000);
  queue.Add("a", "aa");
  queue.Add("b", "bb");
  EXPECT_EQ(TakeAll(&queue, 2, 3), "bb");
  EXPECT_EQ(TakeAll(&queue, 2, 3), "aa");
  EXPECT_EQ(TakeAll(&queue, 2, 3), "bb");
  queue.Add("c", "cc");
  EXPECT_EQ(TakeAll(&queue, 4, 3), "ccaa");
  EXPECT_EQ(TakeAll(&queue, 100, 3), "ccbbaa");
  EXPECT_EQ(TakeAll(&queue, 100, 3), "cc");
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.bytes(), 0u);
}

TEST(BroadcastQueueTest, WhatDoesNotFitIsPassedOver) {
  BroadcastQueue queue(10, 1000);
  queue.Add("a", "a");
  queue.Add("b", "bbbb");
  EXPECT_EQ(TakeAll(&queue, 3, 9), "a");
  EXPECT_EQ(TakeAll(&queue, 0, 9), "");
  EXPECT_EQ(TakeAll(&queue, 4, 9), "bbbb");
}

TEST(BroadcastQueueTest, ANewerMessageOfATopicReplacesTheOlder) {
  BroadcastQueue queue(10, 1000);
  queue.Add("a", "old");
  EXPECT_EQ(TakeAll(&queue, 100, 2), "old");
  queue.Add("a", "new");
  queue.Add("", "x");
  queue.Add("", "y");
  EXPECT_EQ(queue.size(), 3u);
  EXPECT_TRUE(queue.Holds("a"));
  EXPECT_EQ(TakeAll(&queue, 100, 2), "yxnew");
  EXPECT_EQ(TakeAll(&queue, 100, 2), "yxnew");
  EXPECT_FALSE(queue.Holds("a"));
  EXPECT_TRUE(queue.empty());
}

TEST(BroadcastQueueTest, LimitsDropWhatWasSentMostAndIsOldest) {
  BroadcastQueue queue(2, 1000);
  EXPECT_EQ(queue.Add("a", "a"), 0u);
  EXPECT_EQ(queue.Add("b", "b"), 0u);
  EXPECT_EQ(TakeAll(&queue, 1, 9), "b");
  EXPECT_EQ(queue.Add("c", "c"), 1u);
  EXPECT_EQ(TakeAll(&queue, 9, 9), "ca");
  BroadcastQueue small(100, 4);
  EXPECT_EQ(small.Add("a", "aaa"), 0u);
  EXPECT_EQ(small.Add("b", "bb"), 1u);
  EXPECT_EQ(small.bytes(), 2u);
  EXPECT_FALSE(small.Holds("a"));
}

TEST(BroadcastQueueTest, ACancelledTopicIsGone) {
  BroadcastQueue queue(10, 1000);
  queue.Add("a", "a");
  queue.Cancel("b");
  queue.Cancel("a");
  EXPECT_TRUE(queue.empty());
  queue.Add("a", "a");
  queue.Clear();
  EXPECT_FALSE(queue.Holds("a"));
  EXPECT_EQ(queue.bytes(), 0u);
}

// ---- The table.

MemberPtr MakeMember(const std::string& name) {
  MemberInfo info;
  info.name = name;
  info.id = "id-" + name;
  info.address = *Endpoint::Parse("10.0.0.1:7946");
  return std::make_shared<const Member>(info);
}

class MemberTableTest : public testing::Test {
 protected:
  Slot Add(int number, LifeState state = LifeState::kAlive) {
    return table_.Add(MakeMember("m" + std::to_string(number)), Incarnation{1}, state, At(0),
                      &random_);
  }
  void Set(Slot slot, LifeState state) {
    table_.Set(slot, table_.member(slot), table_.incarnation(slot), state, At(1), &random_);
  }
  void ExpectSound() {
    EXPECT_TRUE(table_.ConsistentForTest());
    EXPECT_EQ(table_.bucket_hashes(), table_.RecomputeBucketHashesForTest());
  }

  Random random_{1};
  MemberTable table_{MakeMember("self"), Incarnation{1}, At(0)};
};

TEST_F(MemberTableTest, EachMemberIsProbedOnceInARoundInANewOrder) {
  for (int i = 0; i < 20; ++i) Add(i);
  std::vector<std::vector<Slot>> rounds;
  for (int round = 0; round < 3; ++round) {
    std::vector<Slot> order;
    for (int i = 0; i < 20; ++i) order.push_back(table_.NextInRing(&random_));
    EXPECT_EQ(std::set<Slot>(order.begin(), order.end()).size(), 20u);
    rounds.push_back(order);
  }
  EXPECT_NE(rounds[0], rounds[1]);
  EXPECT_NE(rounds[1], rounds[2]);
}

TEST_F(MemberTableTest, ThoseWhoStayAreProbedOnceThoughOthersComeAndGo) {
  std::vector<Slot> stay;
  for (int i = 0; i < 20; ++i) stay.push_back(Add(i));
  while (table_.NextInRing(&random_) != stay[0]) {
  }
  int number = 100;
  for (int round = 0; round < 50; ++round) {
    // From one probe of a member to the second next one lie all others at least once, whatever
    // happens meanwhile: SWIM's bound of two rounds.
    std::multiset<Slot> probed;
    for (int mine = 0; mine < 2;) {
      const Slot slot = table_.NextInRing(&random_);
      mine += slot == stay[0] ? 1 : 0;
      probed.insert(slot);
      if (random_.Below(3) == 0) {
        const Slot other = Add(++number);
        if (random_.Below(2) == 0) {
          Set(other, LifeState::kDead);
          table_.Remove(other);
        }
      } else if (table_.ring().size() > 40) {
        const Slot leaver = table_.ring()[random_.Below(table_.ring().size())];
        if (std::find(stay.begin(), stay.end(), leaver) == stay.end()) {
          Set(leaver, LifeState::kLeft);
        }
      }
      ExpectSound();
    }
    for (const Slot slot : stay) EXPECT_GE(probed.count(slot), 1u);
    ExpectSound();
  }
}

TEST_F(MemberTableTest, ANewcomerHasARandomPlaceInTheRing) {
  std::set<size_t> places;
  for (int i = 0; i < 10; ++i) Add(i);
  for (int i = 0; i < 5; ++i) table_.NextInRing(&random_);
  for (int trial = 0; trial < 200; ++trial) {
    const Slot slot = Add(1000);
    const auto& ring = table_.ring();
    places.insert(static_cast<size_t>(std::find(ring.begin(), ring.end(), slot) - ring.begin()));
    table_.Remove(slot);
    ExpectSound();
  }
  EXPECT_EQ(places.size(), 11u);
}

TEST_F(MemberTableTest, HashesDoNotTellASuspectFromALivingOne) {
  const Slot slot = Add(1);
  const uint64_t alive = table_.EntryHash(slot);
  Set(slot, LifeState::kSuspect);
  EXPECT_EQ(table_.EntryHash(slot), alive);
  ExpectSound();
  Set(slot, LifeState::kDead);
  const uint64_t dead = table_.EntryHash(slot);
  EXPECT_NE(dead, alive);
  Set(slot, LifeState::kLeft);
  EXPECT_NE(table_.EntryHash(slot), dead);
  ExpectSound();
  const uint64_t left = table_.EntryHash(slot);
  table_.SetIntent(slot, {LamportTime{3}, 1});
  EXPECT_NE(table_.EntryHash(slot), left);
  EXPECT_EQ(table_.entry(slot).intent, (Intent{LamportTime{3}, 1}));
  ExpectSound();
}

TEST_F(MemberTableTest, TwoTablesOfTheSameMembersAreEqualWhateverTheirOrder) {
  MemberTable other(MakeMember("m0"), Incarnation{1}, At(5));
  Random random(9);
  for (int i = 1; i < 100; ++i) Add(i);
  for (int i = 99; i >= 1; --i) {
    other.Add(MakeMember("m" + std::to_string(i)), Incarnation{1}, LifeState::kAlive, At(7),
              &random);
  }
  other.Add(MakeMember("self"), Incarnation{1}, LifeState::kAlive, At(7), &random);
  Add(0);
  EXPECT_EQ(table_.bucket_hashes(), other.bucket_hashes());
}

TEST_F(MemberTableTest, PicksDifferentLivingMembers) {
  const auto nobody = [](Slot) { return false; };
  EXPECT_TRUE(table_.PickLiving(3, &random_, nobody).empty());
  Add(0, LifeState::kDead);
  for (int i = 1; i <= 3; ++i) Add(i);
  EXPECT_EQ(table_.PickLiving(5, &random_, nobody).size(), 3u);
  for (int i = 4; i <= 30; ++i) Add(i);
  const Slot skipped = table_.Find("m7");
  std::set<Slot> seen;
  for (int trial = 0; trial < 500; ++trial) {
    const auto picked =
        table_.PickLiving(3, &random_, [&](Slot slot) { return slot == skipped; });
    EXPECT_EQ(std::set<Slot>(picked.begin(), picked.end()).size(), 3u);
    seen.insert(picked.begin(), picked.end());
  }
  EXPECT_EQ(seen.size(), 29u);
  EXPECT_EQ(seen.count(skipped), 0u);
}

TEST_F(MemberTableTest, FindsByNameAndByHash) {
  for (int i = 0; i < 50; ++i) Add(i);
  EXPECT_FALSE(table_.Find("nobody"));
  const Slot seven = table_.Find("m7");
  ASSERT_TRUE(seven);
  EXPECT_EQ(table_.member(seven)->info.name, "m7");
  std::vector<uint64_t> hashes = {HashName("m7"), HashName("m9"), HashName("nobody")};
  std::sort(hashes.begin(), hashes.end());
  EXPECT_EQ(table_.FindByNameHashes(hashes).size(), 2u);
  EXPECT_TRUE(table_.FindByNameHashes({}).empty());
  std::array<bool, MemberTable::kBuckets> marked{};
  marked[MemberTable::BucketOf(HashName("m7"))] = true;
  const auto in_bucket = table_.InBuckets(marked);
  EXPECT_NE(std::find(in_bucket.begin(), in_bucket.end(), seven), in_bucket.end());
}

}  // namespace
}  // namespace consul::gossip
