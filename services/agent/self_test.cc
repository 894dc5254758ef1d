#include "services/agent/self.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "services/base/strings.h"
#include "services/base/version.h"

namespace consul::agent {
namespace {

config::Config ServerConfig() {
  config::Config config;
  config.node_name = "a";
  config.server = true;
  config.bootstrap = true;
  config.data_dir = "/data";
  config.advertise_address = "10.0.0.1";
  config.advertise_address_wan = "192.0.2.1";
  return config;
}

std::vector<std::string> TagNames(const v1::Member& member) {
  std::vector<std::string> names;
  for (const auto& tag : member.tags()) names.push_back(tag.key());
  return names;
}

std::string Tag(const v1::Member& member, const std::string& key) {
  for (const auto& tag : member.tags()) {
    if (tag.key() == key) return tag.value();
  }
  return "none";
}

std::string Setting(const v1::GetSelfResponse& self, const std::string& name) {
  const auto found = self.debug_config().fields().find(name);
  return found == self.debug_config().fields().end() ? "none" : found->second.ShortDebugString();
}

// role=consul,dc=dc1,vsn=1,vsn_min=1,vsn_max=1,port=8300,bootstrap=1
TEST(SelfTest, TagsStandInThePagesOrder) {
  const v1::Member member = LanMember(ServerConfig(), "id", "life");
  const std::vector<std::string> names = TagNames(member);
  ASSERT_GE(names.size(), 7);
  EXPECT_EQ(std::vector<std::string>(names.begin(), names.begin() + 7),
            (std::vector<std::string>{"role", "dc", "vsn", "vsn_min", "vsn_max", "port",
                                      "bootstrap"}));
  EXPECT_EQ(Tag(member, "role"), "consul");
  EXPECT_EQ(Tag(member, "port"), "8300");
  EXPECT_EQ(Tag(member, "bootstrap"), "1");
  EXPECT_EQ(Tag(member, "id"), "id");
  EXPECT_EQ(Tag(member, "gen"), "life");
  EXPECT_EQ(Tag(member, "build"), base::StrCat(base::kVersion, ":"));
  EXPECT_EQ(Tag(member, "wan_join_port"), "8302");
}

TEST(SelfTest, OnlyABootstrapServerHasTheTag) {
  config::Config config = ServerConfig();
  config.bootstrap = false;
  EXPECT_EQ(Tag(LanMember(config, "id", "life"), "bootstrap"), "none");
}

TEST(SelfTest, AClientHasNoTagsOfAServer) {
  config::Config config = ServerConfig();
  config.server = false;
  const v1::Member member = LanMember(config, "id", "life");
  EXPECT_EQ(Tag(member, "role"), "node");
  EXPECT_EQ(Tag(member, "port"), "none");
  EXPECT_EQ(Tag(member, "bootstrap"), "none");
  EXPECT_EQ(Tag(member, "wan_join_port"), "none");
}

TEST(SelfTest, WithoutAWanPortThereIsNothingToJoin) {
  config::Config config = ServerConfig();
  config.ports.serf_wan.reset();
  EXPECT_EQ(Tag(LanMember(config, "id", "life"), "wan_join_port"), "none");
}

TEST(SelfTest, NamesInTheWanPoolCarryTheDatacenter) {
  const v1::Member member = WanMember(ServerConfig(), "id");
  EXPECT_EQ(member.name(), "a.dc1");
  EXPECT_EQ(member.addr(), "192.0.2.1");
  EXPECT_EQ(member.port(), 8302);
  EXPECT_EQ(Tag(member, "gen"), "none");
  EXPECT_EQ(LanMember(ServerConfig(), "id", "life").name(), "a");
  EXPECT_EQ(LanMember(ServerConfig(), "id", "life").port(), 8301);
}

TEST(SelfTest, TheNodeHasItsAddressesByTag) {
  config::Config config = ServerConfig();
  config.advertise_address_wan = "2001:db8::1";
  config.node_meta = {{"zone", "x"}, {"rack", "7"}};
  const catalog::v1::Node node = CatalogNode(config, "id");
  std::string text;
  for (const auto& pair : node.tagged_addresses()) {
    text += base::StrCat(pair.key(), "=", pair.value(), " ");
  }
  EXPECT_EQ(text, "lan=10.0.0.1 lan_ipv4=10.0.0.1 wan=2001:db8::1 wan_ipv6=2001:db8::1 ");
  ASSERT_EQ(node.meta_size(), 2);
  EXPECT_EQ(node.meta(0).key(), "rack");  // sorted
  EXPECT_EQ(node.datacenter(), "dc1");
  EXPECT_EQ(node.create_index(), 0);
}

TEST(SelfTest, SelfSaysWhatIsConfigured) {
  config::Config config = ServerConfig();
  config.ports.dns.reset();
  config.http_listen = {{"127.0.0.1", 8500}, {"::1", 8500}};
  const v1::GetSelfResponse self = Self(config, "id");
  EXPECT_EQ(self.config().node_name(), "a");
  EXPECT_EQ(self.config().node_id(), "id");
  EXPECT_TRUE(self.config().server());
  EXPECT_EQ(Setting(self, "DNSPort"), "number_value: -1");
  EXPECT_EQ(Setting(self, "HTTPPort"), "number_value: 8500");
  EXPECT_EQ(Setting(self, "DNSDomain"), "string_value: \"consul.\"");
  EXPECT_NE(Setting(self, "HTTPAddrs").find("tcp://[::1]:8500"), std::string::npos);
  EXPECT_FALSE(self.has_member());
}

TEST(SelfTest, FiguresAreSortedAndFilled) {
  const Figures runtime = RuntimeStats();
  EXPECT_TRUE(std::is_sorted(runtime.begin(), runtime.end()));
  for (const auto& [name, value] : runtime) EXPECT_NE(value, "") << name;
  const Figures build = BuildStats();
  EXPECT_TRUE(std::is_sorted(build.begin(), build.end()));
  const v1::StatGroup group = Group("runtime", runtime);
  EXPECT_EQ(group.key(), "runtime");
  EXPECT_EQ(group.value_size(), static_cast<int>(runtime.size()));
}

}  // namespace
}  // namespace consul::agent
