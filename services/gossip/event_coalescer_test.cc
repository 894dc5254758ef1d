#include "services/gossip/event_coalescer.h"

#include <gtest/gtest.h>

#include <chrono>

#include "services/base/strings.h"
#include "services/gossip/cluster_text.h"

namespace consul::gossip {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Time kStart{std::chrono::hours(1)};

MemberEvent Event(MemberEventKind kind, std::string name) {
  MemberEvent event;
  event.kind = kind;
  event.member.name = std::move(name);
  return event;
}

UserEvent Deploy(uint64_t time, std::string payload, bool coalesce = true) {
  return {LamportTime{time}, "deploy", std::move(payload), coalesce};
}

template <typename T>
std::string Texts(const std::vector<T>& events) {
  std::string text;
  for (const T& event : events) base::StrAppend(&text, text.empty() ? "" : "; ", ToText(event));
  return text;
}

class MemberEventCoalescerTest : public testing::Test {
 protected:
  void Add(Duration at, MemberEventKind kind, std::string name) {
    EXPECT_EQ(Texts(coalescer_.Add(kStart + at, Event(kind, std::move(name)))), "");
  }
  std::string Take(Duration at) { return Texts(coalescer_.Take(kStart + at)); }

  MemberEventCoalescer coalescer_{seconds(3), seconds(1), 3};
};

TEST_F(MemberEventCoalescerTest, ABatchEndsWhenItIsQuietForAMoment) {
  EXPECT_EQ(coalescer_.deadline(), Time::max());
  Add(seconds(0), MemberEventKind::kJoin, "a");
  EXPECT_EQ(coalescer_.deadline(), kStart + seconds(1));
  Add(milliseconds(600), MemberEventKind::kJoin, "b");
  EXPECT_EQ(Take(milliseconds(1599)), "");
  EXPECT_EQ(Take(milliseconds(1600)), "join a; join b");
  EXPECT_EQ(coalescer_.deadline(), Time::max());
}

TEST_F(MemberEventCoalescerTest, ABatchEndsAfterItsPeriodHoweverBusyItIs) {
  for (int i = 0; i < 4; ++i) {
    Add(milliseconds(800) * i, i % 2 == 0 ? MemberEventKind::kFailed : MemberEventKind::kJoin, "a");
  }
  EXPECT_EQ(coalescer_.deadline(), kStart + seconds(3));
  EXPECT_EQ(Take(seconds(3)), "join a");
}

TEST_F(MemberEventCoalescerTest, WhatEndsAsItBeganIsNotTold) {
  Add(seconds(0), MemberEventKind::kJoin, "a");
  EXPECT_EQ(Take(seconds(1)), "join a");
  Add(seconds(10), MemberEventKind::kFailed, "a");
  Add(seconds(10), MemberEventKind::kJoin, "a");
  EXPECT_EQ(Take(seconds(11)), "");
  Add(seconds(20), MemberEventKind::kFailed, "a");
  EXPECT_EQ(Take(seconds(21)), "failed a");
}

TEST_F(MemberEventCoalescerTest, UpdatesAreAlwaysTold) {
  Add(seconds(0), MemberEventKind::kJoin, "a");
  Take(seconds(1));
  for (int i = 1; i <= 2; ++i) {
    Add(seconds(10) * i, MemberEventKind::kUpdate, "a");
    EXPECT_NE(Take(seconds(10) * i + seconds(1)).find("update a"), std::string::npos);
  }
}

TEST_F(MemberEventCoalescerTest, WhoAppearsAndChangesHasAppeared) {
  Add(seconds(0), MemberEventKind::kJoin, "a");
  Add(seconds(0), MemberEventKind::kUpdate, "a");
  EXPECT_EQ(Take(seconds(1)), "join a");
}

TEST_F(MemberEventCoalescerTest, WhoIsBackAndNotAsItWasIsUpdated) {
  Add(seconds(0), MemberEventKind::kJoin, "a");
  Take(seconds(1));
  MemberEvent back = Event(MemberEventKind::kJoin, "a");
  back.member.tags = {{"n", "1"}};
  Add(seconds(10), MemberEventKind::kFailed, "a");
  coalescer_.Add(kStart + seconds(10), back);
  EXPECT_NE(Take(seconds(11)).find("update a n=1"), std::string::npos);
  // The same when the change comes after the return.
  back.member.tags = {{"n", "2"}};
  back.kind = MemberEventKind::kUpdate;
  Add(seconds(20), MemberEventKind::kFailed, "a");
  Add(seconds(20), MemberEventKind::kJoin, "a");
  coalescer_.Add(kStart + seconds(20), back);
  EXPECT_NE(Take(seconds(21)).find("update a n=2"), std::string::npos);
}

TEST_F(MemberEventCoalescerTest, WhoWasForgottenIsNewAgain) {
  Add(seconds(0), MemberEventKind::kLeave, "a");
  EXPECT_EQ(Take(seconds(1)), "left a");
  Add(seconds(2), MemberEventKind::kReap, "a");
  EXPECT_EQ(Take(seconds(3)), "reap a");
  Add(seconds(4), MemberEventKind::kLeave, "a");
  EXPECT_EQ(Take(seconds(5)), "left a");
}

TEST_F(MemberEventCoalescerTest, AFullBatchIsTold) {
  Add(seconds(0), MemberEventKind::kJoin, "a");
  Add(seconds(0), MemberEventKind::kJoin, "b");
  Add(seconds(0), MemberEventKind::kJoin, "c");
  Add(seconds(0), MemberEventKind::kFailed, "c");  // is in it already
  EXPECT_EQ(Texts(coalescer_.Add(kStart, Event(MemberEventKind::kJoin, "d"))),
            "join a; join b; failed c");
  EXPECT_EQ(Take(seconds(1)), "join d");
}

TEST(EventCoalescerTest, WithoutAPeriodAllIsToldAtOnce) {
  MemberEventCoalescer members(Duration{0}, Duration{0}, 3);
  EXPECT_EQ(Texts(members.Add(kStart, Event(MemberEventKind::kJoin, "a"))), "join a");
  EXPECT_EQ(members.deadline(), Time::max());
  UserEventCoalescer events(Duration{0}, Duration{0}, 3);
  EXPECT_EQ(Texts(events.Add(kStart, Deploy(1, "x"))), "event deploy x at 1");
}

TEST(EventCoalescerTest, OfUserEventsOfOneNameTheNewestIsTold) {
  UserEventCoalescer events(seconds(3), seconds(1), 3);
  EXPECT_EQ(Texts(events.Add(kStart, Deploy(2, "new"))), "");
  EXPECT_EQ(Texts(events.Add(kStart, Deploy(1, "old"))), "");
  EXPECT_EQ(Texts(events.Add(kStart, Deploy(2, "as new"))), "");
  EXPECT_EQ(Texts(events.Take(kStart + seconds(1))),
            "event deploy new at 2; event deploy as new at 2");
}

TEST(EventCoalescerTest, UserEventsThatDoNotAskForItAreToldAtOnce) {
  UserEventCoalescer events(seconds(3), seconds(1), 3);
  EXPECT_EQ(Texts(events.Add(kStart, Deploy(1, "x", /*coalesce=*/false))), "event deploy x at 1");
  EXPECT_EQ(events.deadline(), Time::max());
}

TEST(EventCoalescerTest, AFullBatchOfUserEventsIsTold) {
  UserEventCoalescer events(seconds(3), seconds(1), 1);
  EXPECT_EQ(Texts(events.Add(kStart, Deploy(1, "x"))), "");
  EXPECT_EQ(Texts(events.Add(kStart, {LamportTime{2}, "restart", "", true})),
            "event deploy x at 1");
  EXPECT_EQ(Texts(events.Take(kStart + seconds(1))), "event restart  at 2");
}

}  // namespace
}  // namespace consul::gossip
