// services/agent/config/config.h
//
// What an agent runs with: every setting that has an effect, checked and with its default filled
// in. A Config is made by Load (load.h) from flags and files, or by hand in a test; nothing in it
// is text that still has to be parsed, and nothing depends on the file system any more.
//
// Threads: a plain value; made once at the start and read by all.
// Background: docs/ARCHITECTURE.md (agent), services/agent/config/README.md.
#ifndef CONSUL_SERVICES_AGENT_CONFIG_CONFIG_H_
#define CONSUL_SERVICES_AGENT_CONFIG_CONFIG_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "services/base/log.h"

namespace consul::agent::config {

// An address to listen on or to tell others. `address` is an IP literal without brackets.
struct Endpoint {
  std::string address;
  uint16_t port = 0;

  // "10.0.0.1:8300", "[::1]:8300".
  std::string ToString() const;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// Takes "TRACE", "DEBUG", "INFO", "WARN", "ERR" and "ERROR", in either case; nullopt for others.
std::optional<base::LogLevel> ParseLogLevel(std::string_view name);

// A port that is off is nullopt: -1 or 0 in a file or a flag. These are the numbers as asked for;
// the listeners below are what to bind.
struct Ports {
  std::optional<uint16_t> dns = 8600;
  std::optional<uint16_t> http = 8500;
  std::optional<uint16_t> rpc = 8400;
  std::optional<uint16_t> serf_lan = 8301;
  std::optional<uint16_t> serf_wan = 8302;
  std::optional<uint16_t> server = 8300;
};

struct Performance {
  // 1 to 10. Election and heartbeat times are multiplied by it.
  int raft_multiplier = 5;
  // How long a request waits for a leader to appear.
  std::chrono::nanoseconds rpc_hold_timeout = std::chrono::seconds(7);
};

// When a server takes a snapshot, and what of the log it keeps behind one. 0 is the default of
// raft::SnapshotOptions, which says what each is.
struct RaftLog {
  uint64_t snapshot_threshold = 0;  // entries
  std::chrono::nanoseconds snapshot_interval{0};
  uint64_t trailing_logs = 0;  // entries
};

// How metrics are named. An empty `host` stands in no name.
struct Telemetry {
  std::string metrics_prefix = "consul";
  std::string host;
};

// What autopilot goes by in a new cluster; operators::v1::AutopilotConfiguration says what each is.
struct Autopilot {
  bool cleanup_dead_servers = true;
  std::chrono::nanoseconds last_contact_threshold = std::chrono::milliseconds(200);
  uint64_t max_trailing_logs = 250;
  uint32_t min_quorum = 0;
  std::chrono::nanoseconds server_stabilization_time = std::chrono::seconds(10);
};

// The greatest kv_max_value_size. A write is one entry of the Raft log, and one entry is at most
// 1 MiB: the value, a key of up to 64 KiB, and 4 KiB more than the fields around them and the
// entry's header take. limits_test holds it against the limits of services/raft and services/api.
inline constexpr uint32_t kKvValueBytesMax = 956 * 1024;

struct Limits {
  // Open HTTP connections from one address; 0 is no limit.
  int http_max_conns_per_client = 200;
  // Bytes of one KV value; at most kKvValueBytesMax.
  uint64_t kv_max_value_size = 512 * 1024;
};

struct Soa {
  uint32_t refresh_seconds = 3600;
  uint32_t retry_seconds = 600;
  uint32_t expire_seconds = 86400;
  uint32_t min_ttl_seconds = 0;
};

struct Dns {
  // Without a final dot: "consul".
  std::string domain = "consul";
  // A second domain that is answered as well; empty for none.
  std::string alt_domain;
  std::chrono::nanoseconds node_ttl{0};
  // False: reads ask for the leader's answer.
  bool allow_stale = true;
  Soa soa;
};

// Times and counts of a gossip pool; services/gossip/options.h says what each does.
struct GossipProfile {
  int gossip_nodes = 3;
  std::chrono::nanoseconds gossip_interval = std::chrono::milliseconds(200);
  std::chrono::nanoseconds probe_interval = std::chrono::seconds(1);
  std::chrono::nanoseconds probe_timeout = std::chrono::milliseconds(500);
  int retransmit_mult = 4;
  int suspicion_mult = 4;
  friend bool operator==(const GossipProfile&, const GossipProfile&) = default;
};

// Who is joined at the start, and what a pool remembers.
struct GossipPool {
  GossipProfile profile;
  // Addresses, names, or either with a port: joined once, an error when none of them answers.
  std::vector<std::string> start_join;
  // The same, and tried again every `retry_interval` until one answers, `retry_max` times at most;
  // 0 is without end.
  std::vector<std::string> retry_join;
  std::chrono::nanoseconds retry_interval = std::chrono::seconds(30);
  int retry_max = 0;
  // A failed member is forgotten after this, and no more looked for.
  std::chrono::nanoseconds reconnect_timeout = std::chrono::hours(72);
};

// Encryption of gossip.
struct GossipEncryption {
  // Base64 of 16, 24 or 32 bytes; empty: none was given.
  std::string key;
  // What is not encrypted is refused, or is taken and sent all the same while encryption is being
  // introduced.
  bool verify_incoming = true;
  bool verify_outgoing = true;
  // The keyring is not kept in the data-dir.
  bool disable_keyring_file = false;
};

struct Config {
  // Identity. `node_id` is empty when none was asked for: ResolveNodeId (node_id.h) settles it.
  std::string node_name;
  std::string node_id;
  std::map<std::string, std::string> node_meta;
  std::string datacenter = "dc1";

  // Mode. bootstrap_expect of 1 arrives here as `bootstrap`, and as 0 where it is not above 1.
  bool server = false;
  bool bootstrap = false;
  int bootstrap_expect = 0;
  std::string data_dir;

  // Addresses. `bind_address` may be 0.0.0.0 or ::, the advertised ones never are.
  std::string bind_address = "0.0.0.0";
  std::vector<std::string> client_addresses = {"127.0.0.1"};
  std::string advertise_address;
  std::string advertise_address_wan;
  Ports ports;
  // What to bind; empty when the port is off. `rpc_port_asked` tells a port that the user named
  // (taken by another: an error) from the default (taken: a loud warning).
  std::vector<Endpoint> http_listen;
  std::vector<Endpoint> dns_listen;
  std::vector<Endpoint> rpc_listen;
  bool rpc_port_asked = false;
  std::optional<Endpoint> server_listen;
  std::optional<Endpoint> serf_lan_listen;
  std::optional<Endpoint> serf_wan_listen;

  // Gossip. `wan` is for servers.
  GossipPool lan;
  GossipPool wan;
  GossipEncryption encryption;
  // The members that were known before a leave are joined again.
  bool rejoin_after_leave = false;
  // No network coordinates are kept.
  bool disable_coordinates = false;

  // Leaving. The seed page's rule: an interrupt leaves gracefully, on servers too.
  bool leave_on_terminate = true;
  bool skip_leave_on_interrupt = false;

  base::LogLevel log_level = base::LogLevel::kInfo;
  Performance performance;
  RaftLog raft_log;
  Autopilot autopilot;
  Limits limits;
  Telemetry telemetry;
  Dns dns;

  // How long a blocked read waits when it names no time, and at most.
  std::chrono::nanoseconds default_query_time = std::chrono::seconds(300);
  std::chrono::nanoseconds max_query_time = std::chrono::seconds(600);
};

}  // namespace consul::agent::config

#endif  // CONSUL_SERVICES_AGENT_CONFIG_CONFIG_H_
