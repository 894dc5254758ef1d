#include "services/gossip/member.h"

#include <string>

#include "gtest/gtest.h"

namespace consul::gossip {
namespace {

MemberInfo Atlas() {
  MemberInfo info;
  info.name = "atlas";
  info.id = "516afd44-74c6-4649-8b9c-cebdbda1cede";
  info.address = *Endpoint::Parse("10.1.10.38:8301");
  info.meta = "tags";
  return info;
}

TEST(MemberTest, LimitsOfEachPart) {
  const auto valid = [](auto change) {
    MemberInfo info = Atlas();
    change(&info);
    return info.valid();
  };
  EXPECT_TRUE(valid([](MemberInfo*) {}));
  EXPECT_TRUE(valid([](MemberInfo* info) { info->name = std::string(255, 'n'); }));
  EXPECT_FALSE(valid([](MemberInfo* info) { info->name = std::string(256, 'n'); }));
  EXPECT_FALSE(valid([](MemberInfo* info) { info->name = ""; }));
  EXPECT_FALSE(valid([](MemberInfo* info) { info->name = "\xff"; }));
  EXPECT_FALSE(valid([](MemberInfo* info) { info->name = "a\nb"; }));
  EXPECT_FALSE(valid([](MemberInfo* info) { info->id = ""; }));
  EXPECT_FALSE(valid([](MemberInfo* info) { info->id = std::string(65, 'i'); }));
  EXPECT_TRUE(valid([](MemberInfo* info) { info->meta = std::string(512, '\xff'); }));
  EXPECT_FALSE(valid([](MemberInfo* info) { info->meta = std::string(513, 'm'); }));
  EXPECT_FALSE(valid([](MemberInfo* info) { info->address.port = 0; }));
  EXPECT_FALSE(valid([](MemberInfo* info) { info->protocol.cur = 2; }));
  EXPECT_FALSE(valid([](MemberInfo* info) { info->protocol.min = 2; }));
}

TEST(MemberTest, EachPartIsInItsHash) {
  const uint64_t hash = Member(Atlas()).info_hash;
  EXPECT_EQ(Member(Atlas()).info_hash, hash);
  const auto differs = [hash](auto change) {
    MemberInfo info = Atlas();
    change(&info);
    return Member(info).info_hash != hash;
  };
  EXPECT_TRUE(differs([](MemberInfo* info) { info->name += "2"; }));
  EXPECT_TRUE(differs([](MemberInfo* info) { info->id += "2"; }));
  EXPECT_TRUE(differs([](MemberInfo* info) { ++info->address.port; }));
  EXPECT_TRUE(differs([](MemberInfo* info) { ++info->address.ip[15]; }));
  EXPECT_TRUE(differs([](MemberInfo* info) { info->meta = ""; }));
  EXPECT_TRUE(differs([](MemberInfo* info) { info->protocol.min = 0; }));
  EXPECT_TRUE(differs([](MemberInfo* info) { info->protocol.max = 2; }));
  EXPECT_TRUE(differs([](MemberInfo* info) { info->protocol.cur = 0; }));
}

std::string Why(const PoolIdentity& ours, const PoolIdentity& theirs) {
  return WhyNotMerge({ours, "atlas"}, {theirs, "boreas"});
}

TEST(PoolIdentityTest, OnePoolMerges) {
  PoolIdentity ours{.datacenter = "dc1", .cluster_id = "c1"};
  EXPECT_EQ(Why(ours, ours), "");
  PoolIdentity theirs = ours;
  theirs.cluster_id = "";
  EXPECT_EQ(Why(ours, theirs), "");
  EXPECT_EQ(Why(theirs, ours), "");
  theirs.protocol_min = 1;
  theirs.protocol_max = 3;
  EXPECT_EQ(Why(ours, theirs), "");
}

TEST(PoolIdentityTest, AnotherPoolIsRefusedWithBothSidesValues) {
  const PoolIdentity ours{.datacenter = "dc1", .cluster_id = "c1"};
  PoolIdentity theirs = ours;
  theirs.wan = true;
  EXPECT_EQ(Why(ours, theirs), "another kind of pool: LAN of atlas, WAN of boreas");
  theirs = ours;
  theirs.datacenter = "dc2";
  EXPECT_EQ(Why(ours, theirs), "another datacenter: dc1 of atlas, dc2 of boreas");
  theirs = ours;
  theirs.cluster_id = "c2";
  EXPECT_EQ(Why(ours, theirs), "another cluster: c1 of atlas, c2 of boreas");
  theirs = ours;
  theirs.protocol_min = 2;
  theirs.protocol_max = 3;
  EXPECT_EQ(Why(ours, theirs),
            "another protocol: versions 1 to 1 of atlas, versions 2 to 3 of boreas");
}

}  // namespace
}  // namespace consul::gossip
