#include "services/gossip/pool.h"

#include <gtest/gtest.h>

#include <map>

namespace consul::gossip {
namespace {

agent::v1::Member Self() {
  agent::v1::Member member;
  member.set_name("a");
  member.set_addr("10.0.0.1");
  member.set_port(8301);
  return member;
}

TEST(PoolTest, AMemberJoinsItsOwnPool) {
  std::vector<EventKind> events;
  Pool pool(Self(), [&](const Event& event) { events.push_back(event.kind); });
  ASSERT_EQ(pool.members()->members_size(), 1);
  EXPECT_EQ(pool.members()->members(0).status(), agent::v1::MEMBER_STATUS_ALIVE);
  EXPECT_EQ(events, std::vector<EventKind>{EventKind::kMemberJoin});
}

TEST(PoolTest, ALeaveIsToldOnceAndAdvancesTheClock) {
  std::vector<EventKind> events;
  Pool pool(Self(), [&](const Event& event) { events.push_back(event.kind); });
  pool.Leave();
  pool.Leave();
  EXPECT_EQ(pool.members()->members(0).status(), agent::v1::MEMBER_STATUS_LEFT);
  EXPECT_EQ(events, (std::vector<EventKind>{EventKind::kMemberJoin, EventKind::kMemberLeave}));
  const auto figures = pool.Stats();
  const std::map<std::string, std::string> stats(figures.begin(), figures.end());
  EXPECT_EQ(stats.at("member_time"), "2");
  EXPECT_EQ(stats.at("left"), "1");
}

TEST(PoolTest, AReaderKeepsTheListItTook) {
  Pool pool(Self(), [](const Event&) {});
  const auto before = pool.members();
  pool.Leave();
  EXPECT_EQ(before->members(0).status(), agent::v1::MEMBER_STATUS_ALIVE);
}

TEST(PoolTest, StatsAreSortedByName) {
  Pool pool(Self(), [](const Event&) {});
  const auto stats = pool.Stats();
  EXPECT_TRUE(std::is_sorted(stats.begin(), stats.end()));
}

}  // namespace
}  // namespace consul::gossip
