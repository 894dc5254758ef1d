#include "cli/agent_flags.h"

#include <memory>
#include <string>
#include <utility>

#include "services/base/strings.h"

namespace consul::cli {
namespace {

using agent::config::List;
using agent::config::Sources;
using agent::config::Value;

enum class Kind { kBool, kInteger, kText, kList };

struct AgentFlag {
  const char* name;
  Kind kind;
  const char* key;  // of the configuration
  const char* help;
};

using enum Kind;

// "Has no effect yet" and "Not supported yet" are what the schema says of the key.
constexpr AgentFlag kFlags[] = {
    {"advertise", kText, "advertise_addr",
     "The address that other agents are told to use. The default is the bind address, or "
     "the address of the default route when all are bound."},
    {"advertise-wan", kText, "advertise_addr_wan",
     "The address that agents of other datacenters are told to use. The default is that of "
     "-advertise."},
    {"allow-write-http-from", kList, "http_config.allow_write_http_from",
     "Takes writes over HTTP only from this network, in CIDR form. Can be given several "
     "times. Not supported yet."},
    {"alt-domain", kText, "alt_domain",
     "A second domain to answer DNS queries for."},
    {"auto-reload-config", kBool, "auto_reload_config",
     "Reads the configuration again when a file of it changes. Has no effect yet."},
    {"bind", kText, "bind_addr",
     "The address that other agents reach this one at. The default is all, 0.0.0.0."},
    {"bootstrap", kBool, "bootstrap",
     "Lets this server become leader on its own: for the first server of a datacenter."},
    {"bootstrap-expect", kInteger, "bootstrap_expect",
     "How many servers found the datacenter, each of which expects as many; 1 is the same as "
     "-bootstrap."},
    {"check_output_max_size", kInteger, "check_output_max_size",
     "Bytes of a check's output that are kept. Has no effect yet."},
    {"client", kText, "client_addr",
     "The address, or several between spaces, that RPC, HTTP and DNS listen on. The "
     "default is 127.0.0.1."},
    {"data-dir", kText, "data_dir",
     "The directory that holds the agent's state. Required."},
    {"datacenter", kText, "datacenter",
     "Name of the datacenter that the agent is in. The default is dc1."},
    {"dc", kText, "datacenter",
     "The same as -datacenter."},
    {"default-query-time", kText, "default_query_time",
     "How long a blocking query waits that does not say. The default is 300s."},
    {"disable-host-node-id", kBool, "disable_host_node_id",
     "Makes the node id at random, which is always so here. Has no effect."},
    {"disable-keyring-file", kBool, "disable_keyring_file",
     "Keeps the keyring out of the data directory."},
    {"dns-port", kInteger, "ports.dns",
     "The port of DNS, -1 for none. The default is 8600."},
    {"domain", kText, "domain",
     "The domain to answer DNS queries for. The default is consul."},
    {"enable-local-script-checks", kBool, "enable_local_script_checks",
     "Allows checks of configuration files to run scripts. Has no effect yet."},
    {"enable-script-checks", kBool, "enable_script_checks",
     "Allows checks to run scripts. Has no effect yet."},
    {"encrypt", kText, "encrypt",
     "The key that gossip is encrypted with, as keygen prints one. Once a keyring is kept in the "
     "data directory, that one is used."},
    {"grpc-port", kInteger, "ports.grpc",
     "The port of gRPC for proxies. Has no effect yet."},
    {"grpc-tls-port", kInteger, "ports.grpc_tls",
     "The port of gRPC for proxies over TLS. Has no effect yet."},
    {"http-port", kInteger, "ports.http",
     "The port of HTTP, -1 for none. The default is 8500."},
    {"https-port", kInteger, "ports.https",
     "The port of HTTPS. Has no effect yet."},
    {"join", kList, "start_join",
     "The address of an agent to join at the start, without which the agent does not start. "
     "Can be given several times."},
    {"join-wan", kList, "start_join_wan",
     "The same for the pool of servers of all datacenters."},
    {"log-file", kText, "log_file",
     "The file that the log is written to. Has no effect yet."},
    {"log-json", kBool, "log_json",
     "Writes the log as JSON. Has no effect yet."},
    {"log-level", kText, "log_level",
     "The least level of the lines to log: trace, debug, info, warn or err. The default is "
     "info."},
    {"log-rotate-bytes", kInteger, "log_rotate_bytes",
     "Bytes after which a new log file is begun. Has no effect yet."},
    {"log-rotate-duration", kText, "log_rotate_duration",
     "The time after which a new log file is begun. Has no effect yet."},
    {"log-rotate-max-files", kInteger, "log_rotate_max_files",
     "How many log files are kept. Has no effect yet."},
    {"max-query-time", kText, "max_query_time",
     "How long a blocking query waits at most. The default is 600s."},
    {"node", kText, "node_name",
     "Name of this node, unique in the datacenter. The default is the name of the host."},
    {"node-id", kText, "node_id",
     "The id of this node, a UUID. The default is made at random at the first start and "
     "kept in the data directory."},
    {"non-voting-server", kBool, "non_voting_server",
     "Makes the server follow without a vote. Has no effect yet."},
    {"partition", kText, "partition",
     "The partition to be in. Has no effect yet."},
    {"pid-file", kText, "pid_file",
     "The file that the process id is written to. Has no effect yet."},
    {"primary-gateway", kList, "primary_gateways",
     "The address of a mesh gateway of the primary datacenter. Has no effect yet."},
    {"protocol", kInteger, "protocol",
     "The version of the protocol among agents. Has no effect yet."},
    {"raft-protocol", kInteger, "raft_protocol",
     "The version of the protocol among servers. Has no effect yet."},
    {"read-replica", kBool, "read_replica",
     "The same as -non-voting-server."},
    {"recursor", kList, "recursors",
     "The address of a DNS server that is asked for all other names. Can be given several "
     "times. Has no effect yet."},
    {"rejoin", kBool, "rejoin_after_leave",
     "Joins the members that were known before a leave again."},
    {"retry-interval", kText, "retry_interval",
     "The time between attempts of -retry-join. The default is 30s."},
    {"retry-interval-wan", kText, "retry_interval_wan",
     "The same for the pool of servers of all datacenters."},
    {"retry-join", kList, "retry_join",
     "The address of an agent to join, tried again until it succeeds. Can be given several "
     "times."},
    {"retry-join-wan", kList, "retry_join_wan",
     "The same for the pool of servers of all datacenters."},
    {"retry-max", kInteger, "retry_max",
     "How often -retry-join tries before the agent ends; 0, the default, is without end."},
    {"retry-max-wan", kInteger, "retry_max_wan",
     "The same for the pool of servers of all datacenters."},
    {"segment", kText, "segment",
     "The network segment to join. Has no effect yet."},
    {"serf-lan-allowed-cidrs", kList, "serf_lan_allowed_cidrs",
     "Takes gossip only from this network. Can be given several times. Not supported yet."},
    {"serf-lan-bind", kText, "serf_lan",
     "The address that gossip of the datacenter listens on. The default is that of -bind."},
    {"serf-lan-port", kInteger, "ports.serf_lan",
     "The port of gossip of the datacenter. The default is 8301."},
    {"serf-wan-allowed-cidrs", kList, "serf_wan_allowed_cidrs",
     "The same as -serf-lan-allowed-cidrs for the pool of servers of all datacenters. Not "
     "supported yet."},
    {"serf-wan-bind", kText, "serf_wan",
     "The address that gossip of the servers of all datacenters listens on. The default is "
     "that of -bind."},
    {"serf-wan-port", kInteger, "ports.serf_wan",
     "The port of gossip of the servers of all datacenters, -1 for none. The default is "
     "8302."},
    {"server", kBool, "server",
     "Makes the agent a server."},
    {"server-port", kInteger, "ports.server",
     "The port that servers reach one another at. The default is 8300."},
    {"syslog", kBool, "enable_syslog",
     "Writes the log to syslog. Has no effect yet."},
    {"ui", kBool, "ui",
     "Serves the web interface. Has no effect yet."},
    {"ui-content-path", kText, "ui_content_path",
     "The path of the web interface. Has no effect yet."},
    {"ui-dir", kText, "ui_dir",
     "The directory of the web interface. Has no effect yet."},
};

Value WithSource(Value value, const std::string& flag) {
  value.source = std::make_shared<const std::string>(base::StrCat("flag -", flag));
  return value;
}

// The list at `key`, made when it is not there.
List* ListAt(const char* key, const std::string& flag, Sources* sources) {
  const Value* at = &sources->flags;
  for (std::string_view rest = key; at != nullptr;) {
    const size_t dot = rest.find('.');
    at = at->Find(rest.substr(0, dot));
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  if (at != nullptr) return const_cast<Value*>(at)->as_list();
  sources->flags.Set(key, WithSource(Value(List()), flag));
  return ListAt(key, flag, sources);
}

FlagSet::Setter SetterOf(const AgentFlag& flag, Sources* sources) {
  return [&flag, sources](std::string_view text) {
    switch (flag.kind) {
      case kBool:
        sources->flags.Set(flag.key, WithSource(Value(text == "true"), flag.name));
        break;
      case kInteger: {
        const absl::StatusOr<int64_t> number = ParseInt(text);
        if (!number.ok()) return number.status();
        sources->flags.Set(flag.key, WithSource(Value(*number), flag.name));
        break;
      }
      case kText:
        sources->flags.Set(flag.key, WithSource(Value(text), flag.name));
        break;
      case kList:
        if (!text.empty()) {
          ListAt(flag.key, flag.name, sources)->push_back(WithSource(Value(text), flag.name));
        }
        break;
    }
    return absl::OkStatus();
  };
}

// key:value
absl::Status AddNodeMeta(std::string_view text, Sources* sources) {
  const size_t colon = text.find(':');
  const std::string key(text.substr(0, colon));
  const std::string value(colon == std::string_view::npos ? "" : text.substr(colon + 1));
  if (key.find('.') != std::string::npos) return absl::InvalidArgumentError("a key has no dots");
  sources->flags.Set(base::StrCat("node_meta.", key), WithSource(Value(value), "node-meta"));
  const_cast<Value*>(sources->flags.Find("node_meta"))->source =
      std::make_shared<const std::string>("flag -node-meta");
  return absl::OkStatus();
}

// host:port, of which either may be missing
absl::Status SetRpcAddress(std::string_view text, Sources* sources) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return absl::InvalidArgumentError("missing port in address");
  const absl::StatusOr<int64_t> port = ParseInt(text.substr(colon + 1));
  if (!port.ok()) return port.status();
  sources->flags.Set("ports.rpc", WithSource(Value(*port), "rpc-addr"));
  sources->flags.Set("addresses.rpc", WithSource(Value(text.substr(0, colon)), "rpc-addr"));
  return absl::OkStatus();
}

}  // namespace

void AddAgentFlags(FlagSet* flags, Sources* sources) {
  for (const AgentFlag& flag : kFlags) {
    if (flag.kind == kBool) {
      flags->AddBool(FlagGroup::kCommand, flag.name, flag.help, SetterOf(flag, sources));
    } else {
      flags->Add(FlagGroup::kCommand, flag.name, "value", flag.help, SetterOf(flag, sources));
    }
  }
  const auto add = [flags, sources](const char* name, const char* placeholder, const char* help,
                                    absl::Status (*set)(std::string_view, Sources*)) {
    flags->Add(FlagGroup::kCommand, name, placeholder, help,
               [set, sources](std::string_view text) { return set(text, sources); });
  };
  const auto add_path = [](std::string_view path, Sources* to) {
    to->paths.emplace_back(path);
    return absl::OkStatus();
  };
  add("config-dir", "value",
      "A directory whose files that end in .json or .hcl are read in alphabetical order. Can be "
      "given several times.",
      add_path);
  add("config-file", "value",
      "A file of JSON or HCL, as its extension says. Can be given several times; a later file "
      "goes before an earlier one, and flags before files.",
      add_path);
  add("config-format", "string", "Takes every file for 'hcl' or 'json', whatever its extension.",
      [](std::string_view text, Sources* to) {
        to->format = std::string(text);
        return absl::OkStatus();
      });
  add("hcl", "value", "A piece of HCL configuration. Can be given several times.",
      [](std::string_view text, Sources* to) {
        to->fragments.emplace_back(text);
        return absl::OkStatus();
      });
  add("node-meta", "key:value",
      "A pair of key and value to tell of this node. Can be given several times.", &AddNodeMeta);
  add("rpc-addr", "address",
      "The address and port that the commands of this program reach the agent at. The default is "
      "127.0.0.1:8400.",
      &SetRpcAddress);
}

}  // namespace consul::cli
