#include "services/gossip/recent_intents.h"

#include <gtest/gtest.h>

#include <chrono>

namespace consul::gossip {
namespace {

using std::chrono::minutes;
using PutResult = RecentIntents::PutResult;

constexpr Time kStart{std::chrono::hours(1)};

Intent Join(uint64_t time) { return {LamportTime{time}, kJoinIntent}; }
Intent Leave(uint64_t time) { return {LamportTime{time}, kLeaveIntent}; }

TEST(RecentIntentsTest, TheNewestIsKeptUntilItIsTaken) {
  RecentIntents intents(minutes(5), 10);
  EXPECT_EQ(intents.Put(kStart, "a", Join(3)), PutResult::kNewer);
  EXPECT_EQ(intents.Put(kStart, "a", Leave(2)), PutResult::kOld);
  EXPECT_EQ(intents.Put(kStart, "a", Leave(4)), PutResult::kNewer);
  EXPECT_EQ(intents.Take(kStart, "a"), Leave(4));
  EXPECT_EQ(intents.Take(kStart, "a"), Intent{});
}

TEST(RecentIntentsTest, AtOneTimeToLeaveIsNewerThanToJoin) {
  EXPECT_TRUE(IsNewer(Leave(3), Join(3)));
  EXPECT_FALSE(IsNewer(Join(3), Leave(3)));
  EXPECT_FALSE(IsNewer(Join(3), Join(3)));
  EXPECT_TRUE(IsNewer(Join(4), Leave(3)));
  // What was outlived is over, and a newer word is not.
  const Intent outlived{LamportTime{3}, kOutlivedIntent};
  EXPECT_TRUE(IsNewer(outlived, {LamportTime{3}, kPruneIntent}));
  EXPECT_TRUE(IsNewer(Leave(4), outlived));
  EXPECT_FALSE(MeansLeave(outlived));
}

TEST(RecentIntentsTest, TheyAreKeptForAWhile) {
  RecentIntents intents(minutes(5), 10);
  intents.Put(kStart, "a", Leave(9));
  EXPECT_EQ(intents.Take(kStart + minutes(5), "a"), Intent{});
  intents.Put(kStart, "a", Leave(9));
  // What is over does not stand in the way of an older word.
  EXPECT_EQ(intents.Put(kStart + minutes(5), "a", Join(1)), PutResult::kNewer);
  EXPECT_EQ(intents.Take(kStart + minutes(6), "a"), Join(1));
}

TEST(RecentIntentsTest, AFullTableTakesNoMoreUntilSomeAreOld) {
  RecentIntents intents(minutes(5), 2);
  intents.Put(kStart, "a", Join(1));
  intents.Put(kStart + minutes(1), "b", Join(2));
  EXPECT_EQ(intents.Put(kStart + minutes(2), "c", Join(3)), PutResult::kFull);
  EXPECT_EQ(intents.Put(kStart + minutes(5), "c", Join(3)), PutResult::kNewer);
  EXPECT_EQ(intents.size(), 2u);
}

TEST(RecentIntentsTest, WhatNobodyCanHaveSaid) {
  EXPECT_TRUE(IsSaid(Join(1)));
  EXPECT_FALSE(IsSaid(Intent{}));
  EXPECT_FALSE(IsSaid({LamportTime{1}, 5}));
  EXPECT_FALSE(IsSaid({kLamportTimeMax.Next(), kJoinIntent}));
}

}  // namespace
}  // namespace consul::gossip
