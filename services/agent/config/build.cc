#include "services/agent/config/build.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>
#include <utility>

#include "services/agent/config/addresses.h"
#include "services/agent/config/gossip_settings.h"
#include "services/agent/config/node_id.h"
#include "services/agent/config/settings.h"
#include "services/base/duration.h"
#include "services/base/strings.h"
#include "services/base/uuid.h"

namespace consul::agent::config {
namespace {

// Longer names do not fit a gossip packet's share, nor a DNS name with its labels around.
// What a configuration of consensus can hold.
constexpr int64_t kBootstrapExpectMax = 64;
constexpr size_t kNodeNameBytesMax = 128;
constexpr size_t kDnsLabelBytesMax = 63;
constexpr size_t kDnsNameBytesMax = 253;
constexpr size_t kNodeMetaPairsMax = 64;
constexpr size_t kNodeMetaKeyBytesMax = 128;
constexpr size_t kNodeMetaValueBytesMax = 512;

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool AllOf(std::string_view text, bool (*accept)(char)) {
  return std::all_of(text.begin(), text.end(), accept);
}

std::string Trim(std::string_view text) {
  const size_t start = text.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos) return "";
  return std::string(text.substr(start, text.find_last_not_of(" \t\r\n") - start + 1));
}

class Builder {
 public:
  Builder(const Value& merged, const Machine& machine, std::vector<std::string>* warnings)
      : settings_(merged), machine_(machine), warnings_(warnings) {}

  absl::StatusOr<Config> Run() {
    ReadNodeName();
    ReadNodeId();
    ReadDatacenter();
    ReadNodeMeta();
    ReadMode();
    ReadDataDir();
    ReadAddresses();
    ReadPorts();
    ReadListeners();
    ReadGossip(&settings_, &config_, warnings_);
    ReadLogLevel();
    ReadPerformanceAndLimits();
    ReadRaftLog();
    ReadTelemetry();
    ReadAutopilot();
    ReadDns();
    ReadQueryTimes();
    if (absl::Status status = settings_.Result(); !status.ok()) return status;
    return config_;
  }

 private:
  void Fault(std::string_view path, std::string text) {
    settings_.Fault(std::move(text) + settings_.Origin(path));
  }

  void ReadNodeName() {
    config_.node_name = machine_.host_name;
    settings_.Read("node_name", &config_.node_name);
    config_.node_name = Trim(config_.node_name);
    const std::string& name = config_.node_name;
    if (name.empty()) return Fault("node_name", "node_name cannot be empty");
    if (name.size() > kNodeNameBytesMax) {
      return Fault("node_name", base::StrCat("node_name \"", name, "\" is too long: ", name.size(),
                                             " bytes, the limit is ", kNodeNameBytesMax));
    }
    const auto is_sound = [](char c) {
      const auto byte = static_cast<unsigned char>(c);
      return byte > 0x20 && byte != 0x7f && std::string_view("/\\\"'`").find(c) ==
                                                std::string_view::npos;
    };
    if (!AllOf(name, is_sound)) {
      return Fault("node_name", base::StrCat("node_name ", Value(name).Describe(),
                                             " is invalid: no spaces, control characters, slashes "
                                             "or quotes are allowed"));
    }
    if (!AllOf(name, [](char c) { return IsAlphanumeric(c) || c == '-'; })) {
      Warn(base::StrCat("Node name \"", name,
                        "\" will not be discoverable via DNS due to invalid characters. Valid "
                        "characters include all alpha-numerics and dashes."));
    } else if (name.size() > kDnsLabelBytesMax) {
      Warn(base::StrCat("Node name \"", name,
                        "\" will not be discoverable via DNS due to it being too long. Valid "
                        "lengths are between 1 and 63 bytes."));
    }
  }

  void ReadNodeId() {
    settings_.Read("node_id", &config_.node_id);
    std::string& id = config_.node_id;
    if (!id.empty() && !base::IsUuid(id)) {
      return Fault("node_id", base::StrCat("node_id ", Value(id).Describe(), " is not a UUID"));
    }
    std::transform(id.begin(), id.end(), id.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  }

  void ReadDatacenter() {
    std::string& name = config_.datacenter;
    settings_.Read("datacenter", &name);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (!AllOf(name, [](char c) { return IsAlphanumeric(c) || c == '-' || c == '_'; })) {
      Fault("datacenter", base::StrCat("datacenter cannot be ", Value(name).Describe(),
                                       ". Please use only [a-z0-9-_]"));
    } else if (name.size() > kDnsLabelBytesMax) {
      Fault("datacenter", base::StrCat("datacenter \"", name, "\" is too long: ", name.size(),
                                       " bytes, the limit is ", kDnsLabelBytesMax));
    }
  }

  void ReadNodeMeta() {
    const Value* meta = settings_.Find("node_meta");
    if (meta == nullptr) return;
    if (meta->as_object()->size() > kNodeMetaPairsMax) {
      return Fault("node_meta",
                   base::StrCat("node_meta invalid: Node metadata cannot contain more than ",
                                kNodeMetaPairsMax, " key/value pairs"));
    }
    for (const auto& [key, value] : *meta->as_object()) {
      const std::string& text = *value.as_string();
      const std::string what = NodeMetaFault(key, text);
      if (what.empty()) {
        config_.node_meta.emplace(key, text);
      } else {
        Fault("node_meta", base::StrCat("node_meta invalid: Couldn't load metadata pair ('", key,
                                        "', '", text, "'): ", what));
      }
    }
  }

  static std::string NodeMetaFault(std::string_view key, std::string_view value) {
    if (key.empty()) return "Key cannot be blank";
    if (!AllOf(key, [](char c) { return IsAlphanumeric(c) || c == '-' || c == '_'; })) {
      return "Key contains invalid characters";
    }
    if (key.size() > kNodeMetaKeyBytesMax) {
      return base::StrCat("Key is too long (limit: ", kNodeMetaKeyBytesMax, " characters)");
    }
    if (key.substr(0, 7) == "consul-") return "Key prefix 'consul-' is reserved for internal use";
    if (value.size() > kNodeMetaValueBytesMax) {
      return base::StrCat("Value is too long (limit: ", kNodeMetaValueBytesMax, " characters)");
    }
    return "";
  }

  void ReadMode() {
    settings_.Read("server", &config_.server);
    settings_.Read("bootstrap", &config_.bootstrap);
    int64_t expect = 0;
    settings_.ReadInteger("bootstrap_expect", 0, std::nullopt, &expect);
    if (expect > 0 && config_.bootstrap) {
      Fault("bootstrap_expect",
            "'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive");
    } else if (expect > 0 && !config_.server) {
      Fault("bootstrap_expect", "'bootstrap_expect > 0' requires 'server = true'");
    } else if (expect == 1) {
      Warn("BootstrapExpect is set to 1; this is the same as Bootstrap mode.");
      config_.bootstrap = true;
    } else if (expect > 1) {
      ReadExpect(expect);
    }
    if (config_.bootstrap && !config_.server) {
      Fault("bootstrap", "'bootstrap = true' requires 'server = true'");
    }
    config_.leave_on_terminate = !config_.server;
    settings_.Read("leave_on_terminate", &config_.leave_on_terminate);
    settings_.Read("skip_leave_on_interrupt", &config_.skip_leave_on_interrupt);
  }

  void ReadExpect(int64_t expect) {
    if (expect > kBootstrapExpectMax) {
      return Fault("bootstrap_expect",
                   base::StrCat("bootstrap_expect cannot be ", expect, ": a cluster has at most ",
                                kBootstrapExpectMax, " servers"));
    }
    if (expect == 2) {
      Warn("bootstrap_expect = 2: A cluster with 2 servers will provide no failure tolerance.");
    } else if (expect % 2 == 0) {
      Warn("bootstrap_expect is even number: A cluster with an even number of servers does not "
           "achieve optimum fault tolerance.");
    }
    Warn(base::StrCat("bootstrap_expect > 0: expecting ", expect, " servers"));
    config_.bootstrap_expect = static_cast<int>(expect);
  }

  void ReadDataDir() {
    settings_.Read("data_dir", &config_.data_dir);
    struct stat found;
    if (config_.data_dir.empty()) {
      Fault("data_dir", "data_dir cannot be empty");
    } else if (stat(config_.data_dir.c_str(), &found) == 0 && !S_ISDIR(found.st_mode)) {
      Fault("data_dir",
            base::StrCat("data_dir ", Value(config_.data_dir).Describe(), " is not a directory"));
    }
  }

  // The addresses at `path`; empty, with a fault, when they cannot be read.
  std::vector<std::string> Resolve(std::string_view path) {
    std::string text;
    settings_.Read(path, &text);
    auto addresses = ResolveAddresses(path, text, machine_);
    if (addresses.ok()) return *std::move(addresses);
    Fault(path, std::string(addresses.status().message()));
    return {};
  }

  // One address at `path`, or `fallback` when the key is absent. Faults: several.
  std::string ResolveOne(std::string_view path, std::string fallback) {
    if (!settings_.Has(path)) return fallback;
    std::vector<std::string> addresses = Resolve(path);
    if (addresses.size() == 1) return std::move(addresses.front());
    if (addresses.size() > 1) {
      std::string fault = base::StrCat(path, " cannot contain multiple addresses.");
      if (path == "bind_addr") fault += " Use 'addresses.{dns,http,rpc}' instead.";
      Fault(path, fault);
    }
    return fallback;
  }

  void ReadAddresses() {
    config_.bind_address = ResolveOne("bind_addr", config_.bind_address);
    std::string advertise = config_.bind_address;
    if (IsWildcard(advertise)) {
      const bool v6 = IsIpV6Address(advertise);
      advertise = v6 ? machine_.default_route_address_v6 : machine_.default_route_address;
      if (advertise.empty()) advertise = v6 ? "::1" : "127.0.0.1";
    }
    config_.advertise_address = ResolveOne("advertise_addr", advertise);
    if (IsWildcard(config_.advertise_address)) {
      Fault("advertise_addr", "Advertise address cannot be 0.0.0.0, :: or [::]");
    }
    config_.advertise_address_wan = ResolveOne("advertise_addr_wan", config_.advertise_address);
    if (settings_.Has("advertise_addr_wan") && IsWildcard(config_.advertise_address_wan)) {
      Fault("advertise_addr_wan", "Advertise WAN address cannot be 0.0.0.0, :: or [::]");
    }
    if (settings_.Has("client_addr")) {
      std::vector<std::string> addresses = Resolve("client_addr");
      if (!addresses.empty()) config_.client_addresses = std::move(addresses);
    }
  }

  void ReadPorts() {
    Ports& ports = config_.ports;
    const std::array<std::pair<std::string_view, std::optional<uint16_t>*>, 6> all = {{
        {"ports.dns", &ports.dns},
        {"ports.http", &ports.http},
        {"ports.rpc", &ports.rpc},
        {"ports.serf_lan", &ports.serf_lan},
        {"ports.serf_wan", &ports.serf_wan},
        {"ports.server", &ports.server},
    }};
    for (const auto& [path, port] : all) {
      const Value* value = settings_.Find(path);
      if (value == nullptr) continue;
      const int64_t number = *value->as_int();
      if (number > std::numeric_limits<uint16_t>::max()) {
        Fault(path, base::StrCat(path, ": invalid port: ", number));
      } else if (number <= 0) {
        port->reset();
      } else {
        *port = static_cast<uint16_t>(number);
      }
    }
    config_.rpc_port_asked = settings_.Has("ports.rpc") || settings_.Has("addresses.rpc");
    if (config_.server && !ports.server.has_value()) {
      Fault("ports.server", "ports.server cannot be off on a server");
    }
    if (!ports.serf_lan.has_value()) {
      Fault("ports.serf_lan", "ports.serf_lan cannot be off: agents find each other by it");
    }
  }

  // What is bound by now, to tell of two that want the same.
  struct Taken {
    std::string name;
    Endpoint endpoint;
  };

  void Take(std::string_view path, const char* name, const Endpoint& endpoint) {
    for (const Taken& other : taken_) {
      const bool same = other.endpoint.address == endpoint.address ||
                        IsWildcard(other.endpoint.address) || IsWildcard(endpoint.address);
      if (same && other.endpoint.port == endpoint.port) {
        return Fault(path, base::StrCat(name, " address ", endpoint.ToString(),
                                        " already configured for ", other.name));
      }
    }
    taken_.push_back({name, endpoint});
  }

  std::vector<Endpoint> ClientListeners(const std::string& name, const char* title,
                                        std::optional<uint16_t> port) {
    if (!port.has_value()) return {};
    const std::string path = "addresses." + name;
    std::vector<std::string> addresses = config_.client_addresses;
    if (settings_.Has(path)) addresses = Resolve(path);
    std::vector<Endpoint> listeners;
    for (const std::string& address : addresses) {
      listeners.push_back({address, *port});
      Take("ports." + name, title, listeners.back());
    }
    return listeners;
  }

  // `address_keys`: the first of them that is there says where, else the bind address.
  std::optional<Endpoint> ClusterListener(std::string_view path, const char* title,
                                          std::optional<uint16_t> port,
                                          std::initializer_list<std::string_view> address_keys) {
    if (!port.has_value()) return std::nullopt;
    Endpoint listener{config_.bind_address, *port};
    for (const std::string_view key : address_keys) {
      if (!settings_.Has(key)) continue;
      listener.address = ResolveOne(key, config_.bind_address);
      break;
    }
    Take(path, title, listener);
    return listener;
  }

  void ReadListeners() {
    const Ports& ports = config_.ports;
    config_.dns_listen = ClientListeners("dns", "DNS", ports.dns);
    config_.http_listen = ClientListeners("http", "HTTP", ports.http);
    config_.rpc_listen = ClientListeners("rpc", "RPC", ports.rpc);
    config_.serf_lan_listen = ClusterListener("ports.serf_lan", "Serf LAN", ports.serf_lan,
                                              {"serf_lan", "serf_lan_bind"});
    if (!config_.server) return;
    config_.serf_wan_listen = ClusterListener("ports.serf_wan", "Serf WAN", ports.serf_wan,
                                              {"serf_wan", "serf_wan_bind"});
    config_.server_listen = ClusterListener("ports.server", "Server RPC", ports.server, {});
  }

  void ReadLogLevel() {
    std::string name = "INFO";
    settings_.Read("log_level", &name);
    const std::optional<base::LogLevel> level = ParseLogLevel(name);
    if (level.has_value()) {
      config_.log_level = *level;
    } else {
      Fault("log_level", base::StrCat("Invalid log level: ", name,
                                      ". Valid log levels are: [TRACE DEBUG INFO WARN ERR ERROR]"));
    }
  }

  void ReadPerformanceAndLimits() {
    constexpr int64_t kIntMax = std::numeric_limits<int>::max();
    int64_t multiplier = config_.performance.raft_multiplier;
    settings_.ReadInteger("performance.raft_multiplier", 1, 10, &multiplier);
    config_.performance.raft_multiplier = static_cast<int>(multiplier);
    settings_.Read("performance.rpc_hold_timeout", &config_.performance.rpc_hold_timeout);

    Limits& limits = config_.limits;
    int64_t conns = limits.http_max_conns_per_client;
    if (const Value* value = settings_.Find("limits.http_max_conns_per_client")) {
      // Negative is no limit, as 0 is.
      conns = std::clamp(*value->as_int(), int64_t{0}, kIntMax);
    }
    limits.http_max_conns_per_client = static_cast<int>(conns);
    auto value_bytes = static_cast<int64_t>(limits.kv_max_value_size);
    settings_.ReadInteger("limits.kv_max_value_size", 0, int64_t{kKvValueBytesMax}, &value_bytes);
    limits.kv_max_value_size = static_cast<uint64_t>(value_bytes);
  }

  void ReadRaftLog() {
    const auto read_entries = [this](std::string_view path, uint64_t* entries) {
      auto number = static_cast<int64_t>(*entries);
      settings_.ReadInteger(path, 0, std::nullopt, &number);
      *entries = static_cast<uint64_t>(number);
    };
    read_entries("raft_snapshot_threshold", &config_.raft_log.snapshot_threshold);
    settings_.Read("raft_snapshot_interval", &config_.raft_log.snapshot_interval);
    read_entries("raft_trailing_logs", &config_.raft_log.trailing_logs);
  }

  void ReadTelemetry() {
    settings_.Read("telemetry.metrics_prefix", &config_.telemetry.metrics_prefix);
    bool disable_hostname = false;
    settings_.Read("telemetry.disable_hostname", &disable_hostname);
    config_.telemetry.host = disable_hostname ? std::string() : machine_.host_name;
  }

  void ReadAutopilot() {
    Autopilot& autopilot = config_.autopilot;
    settings_.Read("autopilot.cleanup_dead_servers", &autopilot.cleanup_dead_servers);
    settings_.Read("autopilot.last_contact_threshold", &autopilot.last_contact_threshold);
    auto logs = static_cast<int64_t>(autopilot.max_trailing_logs);
    settings_.ReadInteger("autopilot.max_trailing_logs", 0, std::nullopt, &logs);
    autopilot.max_trailing_logs = static_cast<uint64_t>(logs);
    int64_t quorum = autopilot.min_quorum;
    settings_.ReadInteger("autopilot.min_quorum", 0, std::numeric_limits<uint32_t>::max(), &quorum);
    autopilot.min_quorum = static_cast<uint32_t>(quorum);
    settings_.Read("autopilot.server_stabilization_time", &autopilot.server_stabilization_time);
  }

  // A domain without its final dot; empty, with a fault, when it is none.
  std::string ReadDomain(std::string_view path, std::string fallback) {
    settings_.Read(path, &fallback);
    std::string_view domain = fallback;
    if (domain.size() > 1 && domain.back() == '.') domain.remove_suffix(1);
    bool valid = domain.size() <= kDnsNameBytesMax;
    for (std::string_view rest = domain; valid && !rest.empty();) {
      const std::string_view label = rest.substr(0, rest.find('.'));
      // A dot at the end of `rest` would be a second final one.
      valid = !label.empty() && label.size() <= kDnsLabelBytesMax &&
              label.size() + 1 != rest.size() &&
              AllOf(label, [](char c) { return IsAlphanumeric(c) || c == '-' || c == '_'; });
      rest.remove_prefix(std::min(label.size() + 1, rest.size()));
    }
    if (!valid) {
      Fault(path, base::StrCat(path, " cannot be ", Value(domain).Describe(),
                               ": it is not a DNS name"));
      return "";
    }
    return std::string(domain);
  }

  void ReadDns() {
    Dns& dns = config_.dns;
    dns.domain = ReadDomain("domain", dns.domain);
    dns.alt_domain = ReadDomain("alt_domain", "");
    settings_.Read("dns_config.node_ttl", &dns.node_ttl);
    settings_.Read("dns_config.allow_stale", &dns.allow_stale);
    const auto read_seconds = [this](std::string_view path, uint32_t* out) {
      int64_t seconds = *out;
      settings_.ReadInteger(path, 0, std::numeric_limits<uint32_t>::max(), &seconds);
      *out = static_cast<uint32_t>(seconds);
    };
    read_seconds("dns_config.soa.refresh", &dns.soa.refresh_seconds);
    read_seconds("dns_config.soa.retry", &dns.soa.retry_seconds);
    read_seconds("dns_config.soa.expire", &dns.soa.expire_seconds);
    read_seconds("dns_config.soa.min_ttl", &dns.soa.min_ttl_seconds);
  }

  void ReadQueryTimes() {
    settings_.Read("default_query_time", &config_.default_query_time);
    settings_.Read("max_query_time", &config_.max_query_time);
    if (config_.default_query_time > config_.max_query_time) {
      Warn(base::StrCat("default_query_time ", base::FormatDuration(config_.default_query_time),
                        " is more than max_query_time ",
                        base::FormatDuration(config_.max_query_time), ", which is used for both"));
      config_.default_query_time = config_.max_query_time;
    }
  }

  void Warn(std::string text) { warnings_->push_back(std::move(text)); }

  Settings settings_;
  const Machine& machine_;
  std::vector<std::string>* const warnings_;
  std::vector<Taken> taken_;
  Config config_;
};

}  // namespace

absl::StatusOr<Config> Build(const Value& merged, const Machine& machine,
                             std::vector<std::string>* warnings) {
  return Builder(merged, machine, warnings).Run();
}

}  // namespace consul::agent::config
