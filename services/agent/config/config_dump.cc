#include "services/agent/config/config_dump.h"

#include <string_view>

#include "services/base/duration.h"
#include "services/base/strings.h"

namespace consul::agent::config {
namespace {

class Lines {
 public:
  void Add(const char* name, std::string_view text) { lines_.emplace_back(name, text); }
  void Add(const char* name, const std::string& text) { lines_.emplace_back(name, text); }
  void Add(const char* name, const char* text) { lines_.emplace_back(name, text); }
  void Add(const char* name, bool flag) { Add(name, flag ? "true" : "false"); }
  void Add(const char* name, int number) { Add(name, base::StrCat(number)); }
  void Add(const char* name, uint32_t number) { Add(name, base::StrCat(number)); }
  void Add(const char* name, uint64_t number) { Add(name, base::StrCat(number)); }
  void Add(const char* name, std::chrono::nanoseconds time) {
    Add(name, base::FormatDuration(time));
  }
  void Add(const char* name, std::optional<uint16_t> port) {
    Add(name, port.has_value() ? base::StrCat(*port) : "off");
  }
  void Add(const char* name, const std::optional<Endpoint>& endpoint) {
    Add(name, endpoint.has_value() ? endpoint->ToString() : "off");
  }
  void Add(const char* name, const std::vector<Endpoint>& endpoints) {
    std::string text;
    for (const Endpoint& each : endpoints) Join(each.ToString(), &text);
    Add(name, endpoints.empty() ? "off" : text);
  }
  void Add(const char* name, const std::vector<std::string>& texts) {
    std::string joined;
    for (const std::string& each : texts) Join(each, &joined);
    Add(name, joined);
  }

  std::vector<std::pair<std::string, std::string>> Take() { return std::move(lines_); }

 private:
  static void Join(std::string_view text, std::string* out) {
    if (!out->empty()) out->push_back(' ');
    out->append(text);
  }

  std::vector<std::pair<std::string, std::string>> lines_;
};

void AddDns(const Dns& dns, Lines* lines) {
  lines->Add("dns.domain", dns.domain);
  lines->Add("dns.alt_domain", dns.alt_domain);
  lines->Add("dns.node_ttl", dns.node_ttl);
  lines->Add("dns.allow_stale", dns.allow_stale);
  lines->Add("dns.soa.refresh", dns.soa.refresh_seconds);
  lines->Add("dns.soa.retry", dns.soa.retry_seconds);
  lines->Add("dns.soa.expire", dns.soa.expire_seconds);
  lines->Add("dns.soa.min_ttl", dns.soa.min_ttl_seconds);
}

void AddPool(const std::string& name, const GossipPool& pool, Lines* lines) {
  const auto add = [&name, lines](const char* field, const auto& value) {
    lines->Add((name + "." + field).c_str(), value);
  };
  add("gossip_nodes", pool.profile.gossip_nodes);
  add("gossip_interval", pool.profile.gossip_interval);
  add("probe_interval", pool.profile.probe_interval);
  add("probe_timeout", pool.profile.probe_timeout);
  add("retransmit_mult", pool.profile.retransmit_mult);
  add("suspicion_mult", pool.profile.suspicion_mult);
  add("start_join", pool.start_join);
  add("retry_join", pool.retry_join);
  add("retry_interval", pool.retry_interval);
  add("retry_max", pool.retry_max);
  add("reconnect_timeout", pool.reconnect_timeout);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> Dump(const Config& config) {
  Lines lines;
  lines.Add("node_name", config.node_name);
  lines.Add("node_id", config.node_id);
  std::vector<std::string> meta;
  for (const auto& [key, value] : config.node_meta) meta.push_back(base::StrCat(key, "=", value));
  lines.Add("node_meta", meta);
  lines.Add("datacenter", config.datacenter);
  lines.Add("server", config.server);
  lines.Add("bootstrap", config.bootstrap);
  lines.Add("bootstrap_expect", config.bootstrap_expect);
  lines.Add("data_dir", config.data_dir);
  lines.Add("bind_address", config.bind_address);
  lines.Add("client_addresses", config.client_addresses);
  lines.Add("advertise_address", config.advertise_address);
  lines.Add("advertise_address_wan", config.advertise_address_wan);
  lines.Add("ports.dns", config.ports.dns);
  lines.Add("ports.http", config.ports.http);
  lines.Add("ports.rpc", config.ports.rpc);
  lines.Add("ports.serf_lan", config.ports.serf_lan);
  lines.Add("ports.serf_wan", config.ports.serf_wan);
  lines.Add("ports.server", config.ports.server);
  lines.Add("http_listen", config.http_listen);
  lines.Add("dns_listen", config.dns_listen);
  lines.Add("rpc_listen", config.rpc_listen);
  lines.Add("rpc_port_asked", config.rpc_port_asked);
  lines.Add("server_listen", config.server_listen);
  lines.Add("serf_lan_listen", config.serf_lan_listen);
  lines.Add("serf_wan_listen", config.serf_wan_listen);
  AddPool("lan", config.lan, &lines);
  AddPool("wan", config.wan, &lines);
  // Never the key itself: a dump is for people to look at.
  lines.Add("encrypt", config.encryption.key.empty() ? "none" : "hidden");
  lines.Add("encrypt_verify_incoming", config.encryption.verify_incoming);
  lines.Add("encrypt_verify_outgoing", config.encryption.verify_outgoing);
  lines.Add("disable_keyring_file", config.encryption.disable_keyring_file);
  lines.Add("rejoin_after_leave", config.rejoin_after_leave);
  lines.Add("disable_coordinates", config.disable_coordinates);
  lines.Add("leave_on_terminate", config.leave_on_terminate);
  lines.Add("skip_leave_on_interrupt", config.skip_leave_on_interrupt);
  lines.Add("log_level", base::LogLevelName(config.log_level));
  lines.Add("performance.raft_multiplier", config.performance.raft_multiplier);
  lines.Add("performance.rpc_hold_timeout", config.performance.rpc_hold_timeout);
  lines.Add("autopilot.cleanup_dead_servers", config.autopilot.cleanup_dead_servers);
  lines.Add("autopilot.last_contact_threshold", config.autopilot.last_contact_threshold);
  lines.Add("autopilot.max_trailing_logs", config.autopilot.max_trailing_logs);
  lines.Add("autopilot.min_quorum", config.autopilot.min_quorum);
  lines.Add("autopilot.server_stabilization_time", config.autopilot.server_stabilization_time);
  lines.Add("raft_snapshot_interval", config.raft_log.snapshot_interval);
  lines.Add("raft_snapshot_threshold", config.raft_log.snapshot_threshold);
  lines.Add("raft_trailing_logs", config.raft_log.trailing_logs);
  lines.Add("telemetry.metrics_prefix", config.telemetry.metrics_prefix);
  lines.Add("telemetry.host", config.telemetry.host);
  lines.Add("limits.http_max_conns_per_client", config.limits.http_max_conns_per_client);
  lines.Add("limits.kv_max_value_size", config.limits.kv_max_value_size);
  AddDns(config.dns, &lines);
  lines.Add("default_query_time", config.default_query_time);
  lines.Add("max_query_time", config.max_query_time);
  return lines.Take();
}

}  // namespace consul::agent::config
