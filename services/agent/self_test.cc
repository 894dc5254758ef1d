#include "services/agent/self.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "services/agent/config/load.h"
#include "services/agent/config/parse.h"
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

TEST(SelfTest, WhoIsInTheWanPoolNeedNotBeToldWhereItIs) {
  const v1::Member member = WanMember(ServerConfig(), "id");
  EXPECT_EQ(Tag(member, "wan_join_port"), "none");
  EXPECT_EQ(Tag(member, "gen"), "none");
  EXPECT_EQ(Tag(member, "port"), "8300");
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

TEST(GatewaySettingsTest, DefaultsAreTold) {
  EXPECT_EQ(GatewaySettings(ServerConfig()).ShortDebugString(),
            "datacenter: \"dc1\" "
            "dns { domain: \"consul\" node_ttl { } allow_stale: true soa { "
            "refresh { seconds: 3600 } retry { seconds: 600 } expire { seconds: 86400 } "
            "min_ttl { } } } "
            "http { connections_per_client_max: 200 kv_value_bytes_max: 524288 } "
            "calls { rpc_hold_timeout { seconds: 7 } default_query_time { seconds: 300 } "
            "max_query_time { seconds: 600 } }");
}

TEST(GatewaySettingsTest, TimesKeepTheirParts) {
  config::Config config = ServerConfig();
  config.dns.node_ttl = std::chrono::milliseconds(1500);
  EXPECT_EQ(GatewaySettings(config).dns().node_ttl().ShortDebugString(),
            "seconds: 1 nanos: 500000000");
}

// Goal: no setting that shapes answers is forgotten. Method: every key that works is either told to
// gateways or stands here as one that is no business of theirs; a new key fails until it does.
TEST(GatewaySettingsTest, EveryKeyThatWorksIsToldOrListed) {
  const std::set<std::string> not_told = {
      "addresses.dns", "addresses.http", "addresses.rpc", "advertise_addr", "advertise_addr_wan",
      "autopilot.cleanup_dead_servers", "autopilot.last_contact_threshold",
      "autopilot.max_trailing_logs", "autopilot.min_quorum", "autopilot.server_stabilization_time",
      "bind_addr", "bootstrap", "bootstrap_expect", "client_addr", "data_dir",
      "disable_coordinates", "disable_keyring_file", "encrypt", "encrypt_verify_incoming",
      "encrypt_verify_outgoing", "gossip_lan.gossip_interval", "gossip_lan.gossip_nodes",
      "gossip_lan.probe_interval", "gossip_lan.probe_timeout", "gossip_lan.retransmit_mult",
      "gossip_lan.suspicion_mult", "gossip_wan.gossip_interval", "gossip_wan.gossip_nodes",
      "gossip_wan.probe_interval", "gossip_wan.probe_timeout", "gossip_wan.retransmit_mult",
      "gossip_wan.suspicion_mult", "reconnect_timeout", "reconnect_timeout_wan",
      "rejoin_after_leave", "retry_interval", "retry_interval_wan", "retry_join",
      "retry_join_wan", "retry_max", "retry_max_wan", "serf_lan", "serf_lan_bind", "serf_wan",
      "serf_wan_bind", "start_join", "start_join_wan",
      "leave_on_terminate", "log_level", "node_id", "node_meta", "node_name",
      "performance.raft_multiplier", "raft_snapshot_interval", "raft_snapshot_threshold",
      "raft_trailing_logs", "ports.dns", "ports.http", "ports.rpc", "ports.serf_lan",
      "ports.serf_wan", "ports.server", "server", "skip_leave_on_interrupt",
      "telemetry.disable_hostname", "telemetry.metrics_prefix"};
  const config::Machine machine{"h", "10.0.0.1", "", {}};
  config::Sources plain;
  plain.flags.Set("data_dir", "/data");
  plain.flags.Set("server", true);
  const auto before = config::Load(plain, machine);
  ASSERT_TRUE(before.ok()) << before.status();
  const std::string told_before = GatewaySettings(before->config).SerializeAsString();
  std::ifstream file("services/agent/config/testdata/working_keys.txt");
  int told = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line.front() == '#') continue;
    const size_t space = line.find(' ');
    const std::string path = line.substr(0, space);
    const auto parsed =
        config::ParseJson(base::StrCat("{\"v\":", line.substr(space + 1), "}"), "");
    ASSERT_TRUE(parsed.ok()) << path;
    config::Sources sources = plain;
    sources.flags.Set(path, *parsed->Find("v"));
    const auto after = config::Load(sources, machine);
    ASSERT_TRUE(after.ok()) << path << ": " << after.status();
    const bool is_told = GatewaySettings(after->config).SerializeAsString() != told_before;
    EXPECT_NE(is_told, not_told.count(path) != 0) << path;
    told += is_told ? 1 : 0;
  }
  EXPECT_GE(told, 14);
}

}  // namespace
}  // namespace consul::agent
