#include "services/gossip/event_buffer.h"

#include <gtest/gtest.h>

#include <string>

namespace consul::gossip {
namespace {

UserEvent At(uint64_t time, std::string name = "deploy", std::string payload = "") {
  return {LamportTime{time}, std::move(name), std::move(payload), false};
}

std::vector<uint64_t> TimesOf(const std::vector<UserEvent>& events) {
  std::vector<uint64_t> times;
  for (const UserEvent& event : events) times.push_back(event.time.value);
  return times;
}

TEST(EventBufferTest, AnEventIsNewOnce) {
  EventBuffer buffer(32);
  EXPECT_EQ(buffer.Insert(At(1), LamportTime{2}), Novelty::kNew);
  EXPECT_EQ(buffer.Insert(At(1), LamportTime{2}), Novelty::kKnown);
  EXPECT_EQ(buffer.Insert(At(1, "other"), LamportTime{2}), Novelty::kNew);
  EXPECT_EQ(buffer.Insert(At(1, "deploy", "x"), LamportTime{2}), Novelty::kNew);
}

TEST(EventBufferTest, TheBufferReachesBack512TimesAndNotOneMore) {
  EventBuffer buffer(32);
  const LamportTime next{601};
  EXPECT_EQ(buffer.Insert(At(600), next), Novelty::kNew);
  EXPECT_EQ(buffer.Insert(At(89), next), Novelty::kNew);
  EXPECT_EQ(buffer.Insert(At(88), next), Novelty::kTooOld);
  // What shares its slot is as well known as ever.
  EXPECT_EQ(buffer.Insert(At(600), next), Novelty::kKnown);
  EXPECT_EQ(buffer.Insert(At(89), next), Novelty::kKnown);
}

TEST(EventBufferTest, ANewTurnTakesTheSlotOfAnOldOne) {
  EventBuffer buffer(32);
  EXPECT_EQ(buffer.Insert(At(5), LamportTime{6}), Novelty::kNew);
  EXPECT_EQ(buffer.Insert(At(517), LamportTime{518}), Novelty::kNew);
  EXPECT_EQ(buffer.Insert(At(5), LamportTime{518}), Novelty::kTooOld);
  EXPECT_EQ(TimesOf(buffer.Missing({}, LamportTime{518}, 1000)), std::vector<uint64_t>{517});
}

TEST(EventBufferTest, EventsOfOneTimeAreLimited) {
  EventBuffer buffer(2);
  EXPECT_EQ(buffer.Insert(At(1, "a"), LamportTime{2}), Novelty::kNew);
  EXPECT_EQ(buffer.Insert(At(1, "b"), LamportTime{2}), Novelty::kNew);
  EXPECT_EQ(buffer.Insert(At(1, "c"), LamportTime{2}), Novelty::kFull);
  EXPECT_EQ(buffer.Insert(At(1, "b"), LamportTime{2}), Novelty::kKnown);
  EXPECT_EQ(buffer.Insert(At(2, "c"), LamportTime{3}), Novelty::kNew);
}

TEST(EventBufferTest, EqualBuffersHaveEqualHashesInWhateverOrderTheyWereFilled) {
  EventBuffer a(32);
  EventBuffer b(32);
  const LamportTime next{100};
  for (uint64_t time = 1; time < 100; ++time) a.Insert(At(time), next);
  for (uint64_t time = 99; time > 0; --time) b.Insert(At(time), next);
  EXPECT_EQ(a.HashGroups(next), b.HashGroups(next));
  EXPECT_TRUE(a.Missing(b.HashGroups(next), next, 1000).empty());
  b.Insert(At(50, "more"), next);
  EXPECT_NE(a.HashGroups(next), b.HashGroups(next));
}

TEST(EventBufferTest, OnlyGroupsThatDifferAreMissing) {
  EventBuffer a(32);
  EventBuffer b(32);
  const LamportTime next{100};
  for (uint64_t time = 1; time < 64; ++time) {
    a.Insert(At(time), next);
    if (time != 20) b.Insert(At(time), next);
  }
  const std::vector<uint64_t> group = {16, 17, 18, 19, 20, 21, 22, 23,
                                       24, 25, 26, 27, 28, 29, 30, 31};
  EXPECT_EQ(TimesOf(a.Missing(b.HashGroups(next), next, 1000)), group);
}

TEST(EventBufferTest, OfMuchThatIsMissingTheNewestComesFirst) {
  EventBuffer buffer(32);
  const LamportTime next{10};
  for (uint64_t time = 1; time < 10; ++time) buffer.Insert(At(time, "e", "123456789"), next);
  EXPECT_EQ(TimesOf(buffer.Missing({}, next, 30)), (std::vector<uint64_t>{7, 8, 9}));
  // One at least, or it would never get there.
  EXPECT_EQ(TimesOf(buffer.Missing({}, next, 1)), std::vector<uint64_t>{9});
}

TEST(EventBufferTest, WhatTheClockHasPassedIsNotComparedAnyMore) {
  EventBuffer ahead(32);
  EventBuffer behind(32);
  ahead.Insert(At(1), LamportTime{2});
  EXPECT_EQ(ahead.HashGroups(LamportTime{600}), behind.HashGroups(LamportTime{600}));
}

}  // namespace
}  // namespace consul::gossip
