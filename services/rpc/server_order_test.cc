// Goal: whom a client agent asks, and for how long. Method: the pure order, with seeds.
#include "services/rpc/server_order.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace consul::rpc {
namespace {

using std::chrono::milliseconds;

ServerList List(const std::string& names, size_t members = 10) {
  ServerList list;
  for (const char name : names) {
    list.servers.push_back({std::string(1, name), std::string(1, name), "10.0.0.1:8300"});
  }
  list.members = members;
  return list;
}

// The names in their order.
std::string OrderOf(const ServerOrder& order) {
  std::string names;
  std::vector<std::string> tried;
  while (const KnownServer* server = order.First(tried)) {
    names += server->id;
    tried.push_back(server->id);
  }
  return names;
}

std::string Sorted(std::string names) {
  std::sort(names.begin(), names.end());
  return names;
}

TEST(ServerOrderTest, WithoutServersThereIsNone) {
  ServerOrder order(1);
  EXPECT_EQ(order.First(), nullptr);
  EXPECT_EQ(order.size(), 0);
  EXPECT_FALSE(order.Failed("a"));
  order.Prefer("a");
  EXPECT_TRUE(order.Shuffled().empty());
}

TEST(ServerOrderTest, AgentsSpreadOverTheServers) {
  std::map<std::string, int> first;
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    ServerOrder order(seed);
    order.Update(List("abc"));
    ++first[OrderOf(order).substr(0, 1)];
  }
  for (const char* name : {"a", "b", "c"}) {
    EXPECT_GT(first[name], 800) << name;
    EXPECT_LT(first[name], 1200) << name;
  }
}

TEST(ServerOrderTest, AListThatSaysTheSameChangesNothing) {
  ServerOrder order(1);
  order.Update(List("abcde"));
  const std::string before = OrderOf(order);
  order.Update(List("edcba"));
  EXPECT_EQ(OrderOf(order), before);
}

TEST(ServerOrderTest, NewServersComeBehindThoseThatAreThere) {
  ServerOrder order(1);
  order.Update(List("ab"));
  const std::string before = OrderOf(order);
  order.Update(List("abcd"));
  EXPECT_EQ(OrderOf(order).substr(0, 2), before);
  EXPECT_EQ(Sorted(OrderOf(order)), "abcd");
}

TEST(ServerOrderTest, ServersThatAreGoneOrNotAliveLeave) {
  ServerOrder order(1);
  order.Update(List("abc"));
  ServerList list = List("bc");
  list.servers[0].standing = ServerStanding::kFailed;
  order.Update(list);
  EXPECT_EQ(OrderOf(order), "c");
}

TEST(ServerOrderTest, AServerKeepsItsPlaceWithAnotherAddress) {
  ServerOrder order(1);
  order.Update(List("abc"));
  const std::string before = OrderOf(order);
  ServerList list = List("abc");
  for (KnownServer& server : list.servers) server.address = "10.0.0.2:8300";
  order.Update(list);
  EXPECT_EQ(OrderOf(order), before);
  EXPECT_EQ(order.First()->address, "10.0.0.2:8300");
}

TEST(ServerOrderTest, AServerThatFailsGoesToTheEnd) {
  ServerOrder order(1);
  order.Update(List("abc"));
  const std::string before = OrderOf(order);
  EXPECT_TRUE(order.Failed(before.substr(0, 1)));
  EXPECT_EQ(OrderOf(order), before.substr(1) + before[0]);
  // Told late: others are asked by now, and the order among them stays.
  EXPECT_FALSE(order.Failed(before.substr(2, 1)));
  EXPECT_EQ(order.First()->id, before.substr(1, 1));
}

TEST(ServerOrderTest, APreferredServerComesFirst) {
  ServerOrder order(1);
  order.Update(List("abc"));
  for (const char* name : {"c", "a", "b"}) {
    order.Prefer(name);
    EXPECT_EQ(order.First()->id, name);
    EXPECT_EQ(Sorted(OrderOf(order)), "abc");
  }
  order.Prefer("gone");
  EXPECT_EQ(order.First()->id, "b");
}

TEST(ServerOrderTest, AShuffleIsNoChangeByItself) {
  ServerOrder order(1);
  order.Update(List("abcdefgh"));
  const std::string before = OrderOf(order);
  std::string shuffled;
  for (const KnownServer& server : order.Shuffled()) shuffled += server.id;
  EXPECT_NE(shuffled, before);
  EXPECT_EQ(Sorted(shuffled), "abcdefgh");
  EXPECT_EQ(OrderOf(order), before);
}

TEST(ServerOrderTest, AnAgentStaysForTwoToThreeMinutes) {
  ServerOrder order(1);
  order.Update(List("abc", 100));
  milliseconds least = milliseconds::max();
  milliseconds most{0};
  for (int i = 0; i < 1000; ++i) {
    const milliseconds stay = order.Stay(kServerStayMin);
    least = std::min(least, stay);
    most = std::max(most, stay);
  }
  EXPECT_GE(least, std::chrono::seconds(120));
  EXPECT_LE(most, std::chrono::seconds(180));
  EXPECT_GT(most - least, std::chrono::seconds(50));
}

// 64 agents a second come anew to each server, at most.
TEST(ServerOrderTest, InALargePoolAgentsStayLonger) {
  ServerOrder order(1);
  order.Update(List("abc", 192'000));
  EXPECT_EQ(order.Stay(kServerStayMin), std::chrono::seconds(1000));
  order.Update(List("abcde", 192'000));
  EXPECT_EQ(order.Stay(kServerStayMin), std::chrono::seconds(600));
}

}  // namespace
}  // namespace consul::rpc
