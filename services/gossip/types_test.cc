#include "services/gossip/types.h"

#include <string>

#include "gtest/gtest.h"
#include "services/gossip/hash.h"
#include "services/gossip/random.h"

namespace consul::gossip {
namespace {

TEST(EndpointTest, WhatIsWrittenIsRead) {
  for (const char* text : {"10.0.0.1:8301", "255.255.255.255:65535", "[fe80::1]:1", "[::1]:8302"}) {
    const auto endpoint = Endpoint::Parse(text);
    ASSERT_TRUE(endpoint.has_value()) << text;
    EXPECT_EQ(endpoint->ToString(), text);
    EXPECT_EQ(Endpoint::FromBytes(endpoint->IpBytes(), endpoint->port), endpoint);
  }
}

TEST(EndpointTest, WhatIsNoEndpointIsNone) {
  for (const char* text : {"", ":", "10.0.0.1", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536",
                           "10.0.0.1:+1", "10.0.0.1:000001", "10.0.0:1", "host:1", "::1:8301",
                           "[10.0.0.1]:1", "[::1]", "[::1]8301", "[]:1", "[fe80::1%eth0]:1"}) {
    EXPECT_FALSE(Endpoint::Parse(text).has_value()) << text;
  }
  EXPECT_FALSE(Endpoint::Parse(std::string("10.0.0.1\0:1", 11)).has_value());
  EXPECT_FALSE(Endpoint::FromBytes("12345", 1).has_value());
  EXPECT_FALSE(Endpoint::FromBytes("1234", 0).has_value());
  EXPECT_FALSE(Endpoint::FromBytes("1234", 65536).has_value());
}

TEST(EndpointTest, AnIPv4AddressHasOneForm) {
  const auto plain = Endpoint::Parse("10.1.2.3:1");
  const auto mapped = Endpoint::Parse("[::ffff:10.1.2.3]:1");
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(plain, mapped);
  EXPECT_EQ(mapped->IpBytes().size(), 4u);
  EXPECT_EQ(EndpointHash()(*plain), EndpointHash()(*mapped));
  EXPECT_EQ(mapped->IpToString(), "10.1.2.3");
}

TEST(StableHashTest, StaysWhatItIs) {
  // On the wire: members of different builds compare these.
  EXPECT_EQ(StableHash().Bytes("atlas").value(), 0xca0f74a6a4c27316u);
  EXPECT_EQ(StableHash().Bytes("atlas").Number(7).value(), 0x6f68d61f4d88f3bcu);
}

TEST(StableHashTest, FieldsDoNotRunIntoEachOther) {
  EXPECT_NE(StableHash().Bytes("ab").Bytes("c").value(),
            StableHash().Bytes("a").Bytes("bc").value());
  EXPECT_NE(StableHash().Bytes("").value(), StableHash().value());
}

TEST(RandomTest, OneSeedIsOneSequence) {
  Random one(7);
  Random same(7);
  Random other(8);
  EXPECT_EQ(one.Next(), same.Next());
  EXPECT_NE(one.Next(), other.Next());
}

TEST(RandomTest, BelowIsEvenAndBounded) {
  Random random(1);
  int counts[10] = {};
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t number = random.Below(10);
    ASSERT_LT(number, 10u);
    ++counts[number];
  }
  for (const int count : counts) EXPECT_NEAR(count, 10'000, 500);
  EXPECT_EQ(random.Below(0), 0u);
  for (int i = 0; i < 1000; ++i) {
    const double unit = random.Unit();
    EXPECT_TRUE(unit >= 0 && unit < 1);
  }
}

TEST(RandomTest, EveryOrderComesFromAShuffle) {
  Random random(1);
  int counts[3][3] = {};
  for (int i = 0; i < 30'000; ++i) {
    std::vector<int> items = {0, 1, 2};
    random.Shuffle(&items);
    for (int place = 0; place < 3; ++place) ++counts[place][items[place]];
  }
  for (const auto& row : counts) {
    for (const int count : row) EXPECT_NEAR(count, 10'000, 400);
  }
}

}  // namespace
}  // namespace consul::gossip
