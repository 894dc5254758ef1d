#include "services/agent/self.h"

#include <sys/utsname.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <string_view>
#include <thread>

#include "services/base/duration.h"
#include "services/base/strings.h"
#include "services/base/version.h"

namespace consul::agent {
namespace {

using google::protobuf::RepeatedPtrField;
using query::v1::StringPair;

void Add(RepeatedPtrField<StringPair>* pairs, std::string_view key, std::string_view value) {
  StringPair* const pair = pairs->Add();
  pair->set_key(std::string(key));
  pair->set_value(std::string(value));
}

void SetTags(const config::Config& config, const std::string& node_id, v1::Member* member) {
  auto* const tags = member->mutable_tags();
  Add(tags, "role", config.server ? "consul" : "node");
  Add(tags, "dc", config.datacenter);
  Add(tags, "vsn", std::to_string(base::kProtocolDefault));
  Add(tags, "vsn_min", std::to_string(base::kProtocolMin));
  Add(tags, "vsn_max", std::to_string(base::kProtocolMax));
  if (config.server) {
    Add(tags, "port", std::to_string(config.ports.server.value_or(0)));
    if (config.bootstrap) Add(tags, "bootstrap", "1");
    if (config.bootstrap_expect > 0) {
      Add(tags, "expect", std::to_string(config.bootstrap_expect));
    }
  }
  Add(tags, "build", base::StrCat(base::kVersion, ":"));
  Add(tags, "id", node_id);
  member->set_protocol_min(base::kProtocolMin);
  member->set_protocol_max(base::kProtocolMax);
  member->set_protocol_cur(base::kProtocolDefault);
  member->set_delegate_min(base::kProtocolMin);
  member->set_delegate_max(base::kProtocolMax);
  member->set_delegate_cur(base::kProtocolDefault);
}

bool IsV6(std::string_view address) { return address.find(':') != std::string_view::npos; }

google::protobuf::Value Text(std::string_view text) {
  google::protobuf::Value value;
  value.set_string_value(std::string(text));
  return value;
}

google::protobuf::Value Number(double number) {
  google::protobuf::Value value;
  value.set_number_value(number);
  return value;
}

google::protobuf::Value Bool(bool truth) {
  google::protobuf::Value value;
  value.set_bool_value(truth);
  return value;
}

google::protobuf::Value Texts(const std::vector<std::string>& texts) {
  google::protobuf::Value value;
  auto* const list = value.mutable_list_value();
  for (const std::string& text : texts) list->add_values()->set_string_value(text);
  return value;
}

std::vector<std::string> Listeners(std::string_view scheme,
                                   const std::vector<config::Endpoint>& endpoints) {
  std::vector<std::string> texts;
  for (const config::Endpoint& endpoint : endpoints) {
    texts.push_back(base::StrCat(scheme, endpoint.ToString()));
  }
  return texts;
}

// -1 is how configurations write a port that is off.
double PortNumber(const std::optional<uint16_t>& port) { return port.has_value() ? *port : -1.0; }

// Names are the reference's where it has the setting.
void FillDebugConfig(const config::Config& config, const std::string& node_id,
                     google::protobuf::Struct* out) {
  std::vector<std::string> dns = Listeners("tcp://", config.dns_listen);
  const std::vector<std::string> udp = Listeners("udp://", config.dns_listen);
  dns.insert(dns.end(), udp.begin(), udp.end());
  const std::map<std::string, google::protobuf::Value> settings = {
      {"AdvertiseAddrLAN", Text(config.advertise_address)},
      {"AdvertiseAddrWAN", Text(config.advertise_address_wan)},
      {"BindAddr", Text(config.bind_address)},
      {"Bootstrap", Bool(config.bootstrap)},
      {"BootstrapExpect", Number(config.bootstrap_expect)},
      {"ClientAddrs", Texts(config.client_addresses)},
      {"DNSAddrs", Texts(dns)},
      {"DNSAltDomain", Text(config.dns.alt_domain)},
      {"DNSDomain", Text(base::StrCat(config.dns.domain, "."))},
      {"DNSNodeTTL", Text(base::FormatDuration(config.dns.node_ttl))},
      {"DNSPort", Number(PortNumber(config.ports.dns))},
      {"DataDir", Text(config.data_dir)},
      {"Datacenter", Text(config.datacenter)},
      {"DefaultQueryTime", Text(base::FormatDuration(config.default_query_time))},
      {"HTTPAddrs", Texts(Listeners("tcp://", config.http_listen))},
      {"HTTPMaxConnsPerClient", Number(config.limits.http_max_conns_per_client)},
      {"HTTPPort", Number(PortNumber(config.ports.http))},
      {"KVMaxValueSize", Number(static_cast<double>(config.limits.kv_max_value_size))},
      {"LeaveOnTerm", Bool(config.leave_on_terminate)},
      {"MaxQueryTime", Text(base::FormatDuration(config.max_query_time))},
      {"NodeID", Text(node_id)},
      {"NodeName", Text(config.node_name)},
      {"RPCAddrs", Texts(Listeners("tcp://", config.rpc_listen))},
      {"RPCHoldTimeout", Text(base::FormatDuration(config.performance.rpc_hold_timeout))},
      {"RaftMultiplier", Number(config.performance.raft_multiplier)},
      {"SerfPortLAN", Number(PortNumber(config.ports.serf_lan))},
      {"SerfPortWAN", Number(PortNumber(config.ports.serf_wan))},
      {"ServerMode", Bool(config.server)},
      {"ServerPort", Number(PortNumber(config.ports.server))},
      {"SkipLeaveOnInt", Bool(config.skip_leave_on_interrupt)},
      {"Version", Text(base::kVersion)},
  };
  out->mutable_fields()->insert(settings.begin(), settings.end());
}

void SetDuration(std::chrono::nanoseconds duration, google::protobuf::Duration* out) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
  out->set_seconds(seconds.count());
  out->set_nanos(static_cast<int32_t>((duration - seconds).count()));
}

std::string StatusLine(std::string_view key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(key)) continue;
    const size_t at = line.find_first_not_of(": \t", key.size());
    return at == std::string::npos ? "" : line.substr(at);
  }
  return "";
}

}  // namespace

v1::Member LanMember(const config::Config& config, const std::string& node_id,
                     const std::string& generation) {
  v1::Member member;
  member.set_name(config.node_name);
  member.set_addr(config.advertise_address);
  member.set_port(config.ports.serf_lan.value_or(0));
  SetTags(config, node_id, &member);
  if (config.server && config.ports.serf_wan.has_value()) {
    Add(member.mutable_tags(), "wan_join_port", std::to_string(*config.ports.serf_wan));
  }
  if (!generation.empty()) Add(member.mutable_tags(), "gen", generation);
  return member;
}

v1::Member WanMember(const config::Config& config, const std::string& node_id) {
  v1::Member member;
  SetTags(config, node_id, &member);
  member.set_name(base::StrCat(config.node_name, ".", config.datacenter));
  member.set_addr(config.advertise_address_wan);
  member.set_port(config.ports.serf_wan.value_or(0));
  return member;
}

catalog::v1::Node CatalogNode(const config::Config& config, const std::string& node_id) {
  catalog::v1::Node node;
  node.set_id(node_id);
  node.set_node(config.node_name);
  node.set_address(config.advertise_address);
  node.set_datacenter(config.datacenter);
  const std::string& lan = config.advertise_address;
  const std::string& wan = config.advertise_address_wan;
  auto* const tagged = node.mutable_tagged_addresses();
  Add(tagged, "lan", lan);
  Add(tagged, IsV6(lan) ? "lan_ipv6" : "lan_ipv4", lan);
  Add(tagged, "wan", wan);
  Add(tagged, IsV6(wan) ? "wan_ipv6" : "wan_ipv4", wan);
  for (const auto& [key, value] : config.node_meta) Add(node.mutable_meta(), key, value);
  return node;
}

v1::GetSelfResponse Self(const config::Config& config, const std::string& node_id) {
  v1::GetSelfResponse self;
  v1::AgentConfig* const own = self.mutable_config();
  own->set_datacenter(config.datacenter);
  own->set_node_name(config.node_name);
  own->set_node_id(node_id);
  own->set_server(config.server);
  own->set_version(std::string(base::kVersion));
  FillDebugConfig(config, node_id, self.mutable_debug_config());
  for (const auto& [key, value] : config.node_meta) Add(self.mutable_meta(), key, value);
  return self;
}

v1::GatewaySettings GatewaySettings(const config::Config& config) {
  v1::GatewaySettings settings;
  settings.set_datacenter(config.datacenter);
  v1::DnsSettings* const dns = settings.mutable_dns();
  dns->set_domain(config.dns.domain);
  dns->set_alt_domain(config.dns.alt_domain);
  SetDuration(config.dns.node_ttl, dns->mutable_node_ttl());
  dns->set_allow_stale(config.dns.allow_stale);
  v1::SoaSettings* const soa = dns->mutable_soa();
  soa->mutable_refresh()->set_seconds(config.dns.soa.refresh_seconds);
  soa->mutable_retry()->set_seconds(config.dns.soa.retry_seconds);
  soa->mutable_expire()->set_seconds(config.dns.soa.expire_seconds);
  soa->mutable_min_ttl()->set_seconds(config.dns.soa.min_ttl_seconds);
  v1::HttpSettings* const http = settings.mutable_http();
  http->set_connections_per_client_max(
      static_cast<uint32_t>(config.limits.http_max_conns_per_client));
  http->set_kv_value_bytes_max(config.limits.kv_max_value_size);
  v1::CallSettings* const calls = settings.mutable_calls();
  SetDuration(config.performance.rpc_hold_timeout, calls->mutable_rpc_hold_timeout());
  SetDuration(config.default_query_time, calls->mutable_default_query_time());
  SetDuration(config.max_query_time, calls->mutable_max_query_time());
  return settings;
}

Figures RuntimeStats() {
  utsname host{};
  uname(&host);
  const std::string cores = std::to_string(std::thread::hardware_concurrency());
  std::string arch = host.machine;
  if (arch == "x86_64") arch = "amd64";
  if (arch == "aarch64") arch = "arm64";
  // `goroutines` and `max_procs` keep their names for whoever reads them: threads, and cores used.
  return {{"arch", arch},
          {"cpu_count", cores},
          {"goroutines", StatusLine("Threads")},
          {"max_procs", cores},
          {"os", "linux"},
          {"version", base::StrCat("c++", __cplusplus / 100 % 100)}};
}

Figures BuildStats() {
  return {{"prerelease", ""}, {"revision", ""}, {"version", std::string(base::kVersion)}};
}

v1::StatGroup Group(std::string name, const Figures& figures) {
  v1::StatGroup group;
  group.set_key(std::move(name));
  for (const auto& [key, value] : figures) Add(group.mutable_value(), key, value);
  return group;
}

}  // namespace consul::agent
