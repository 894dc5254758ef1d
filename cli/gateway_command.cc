#include "cli/gateway_command.h"

#include <limits>
#include <ostream>

#include "cli/commands.h"
#include "services/agent/config/addresses.h"
#include "services/agent/config/load.h"
#include "services/agent/config/machine.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

using agent::config::Endpoint;

// "IP:PORT", "[IP]:PORT", or "off".
absl::Status ParseListen(std::string_view text, std::optional<Endpoint>* out) {
  out->reset();
  if (text == "off") return absl::OkStatus();
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return absl::InvalidArgumentError("missing port in address");
  std::string_view address = text.substr(0, colon);
  if (address.size() > 2 && address.front() == '[' && address.back() == ']') {
    address = address.substr(1, address.size() - 2);
  }
  if (!agent::config::IsIpAddress(address)) {
    return absl::InvalidArgumentError(base::StrCat("invalid ip address: ", address));
  }
  const absl::StatusOr<uint64_t> port = ParseUint(text.substr(colon + 1));
  if (!port.ok() || *port == 0 || *port > std::numeric_limits<uint16_t>::max()) {
    return absl::InvalidArgumentError(base::StrCat("invalid port: ", text.substr(colon + 1)));
  }
  *out = Endpoint{std::string(address), static_cast<uint16_t>(*port)};
  return absl::OkStatus();
}

// Takes `text` for the setting `key` as an agent takes it: what `get` finds in its configuration.
// Empty is as if it were not given.
absl::Status Override(std::string_view key, std::string_view text, std::optional<std::string>* out,
                      std::string (*get)(const agent::config::Config&)) {
  out->reset();
  if (text.empty()) return absl::OkStatus();
  agent::config::Sources sources;
  // What an agent cannot do without, and a gateway has no use for.
  sources.flags.Set("data_dir", agent::config::Value("/"));
  sources.flags.Set("bind_addr", agent::config::Value("127.0.0.1"));
  sources.flags.Set("node_name", agent::config::Value("gateway"));
  sources.flags.Set(key, agent::config::Value(text));
  const absl::StatusOr<agent::config::Loaded> loaded = agent::config::Load(sources, {});
  if (loaded.ok()) *out = get(loaded->config);
  return loaded.status();
}

// True when what listens at `http` is what `rpc_address` leads to: it would pass its own RPC on to
// itself.
bool IsItself(const Endpoint& http, std::string_view rpc_address) {
  const size_t colon = rpc_address.rfind(':');
  if (rpc_address.substr(colon + 1) != base::StrCat(http.port)) return false;
  const std::string_view host = rpc_address.substr(0, colon);
  const bool this_machine = host == "localhost" || host == "[::1]" || host.starts_with("127.");
  return rpc_address == http.ToString() ||
         (agent::config::IsWildcard(http.address) && this_machine);
}

class GatewayCommand final : public Command {
 public:
  explicit GatewayCommand(const Context& context) : Command(context) {
    options_.http_listen = Endpoint{"127.0.0.1", 8500};
    options_.dns_listen = Endpoint{"127.0.0.1", 8600};
    flags().Add(FlagGroup::kCommand, "rpc-addr", "address",
                "Address and port of the RPC of the agent that is asked. This can also be given by "
                "the environment variable CONSUL_RPC_ADDR. The default is 127.0.0.1:8400.",
                [this](std::string_view text) {
                  return SetRpcAddress(text, &options_.rpc_address);
                });
    flags().Add(FlagGroup::kCommand, "http-addr", "address",
                "Address and port that HTTP listens on, or off. The default is 127.0.0.1:8500.",
                [this](std::string_view text) { return ParseListen(text, &options_.http_listen); });
    flags().Add(FlagGroup::kCommand, "dns-addr", "address",
                "Address and port that DNS listens on, or off. The default is 127.0.0.1:8600.",
                [this](std::string_view text) { return ParseListen(text, &options_.dns_listen); });
    flags().Add(FlagGroup::kCommand, "datacenter", "value",
                "Datacenter of names that give none. The default is the agent's.",
                [this](std::string_view text) {
                  return Override("datacenter", text, &options_.datacenter,
                                  [](const auto& config) { return config.datacenter; });
                });
    flags().Add(FlagGroup::kCommand, "domain", "value",
                "The domain to answer DNS queries for. The default is the agent's.",
                [this](std::string_view text) {
                  return Override("domain", text, &options_.domain,
                                  [](const auto& config) { return config.dns.domain; });
                });
  }

 private:
  std::string Usage() const override { return "consul gateway [options]"; }
  std::string Description() const override {
    return "  Serves HTTP and DNS as an agent does, from a process of its own that asks an\n"
           "  agent over RPC. Any number of them may run beside one agent:\n\n"
           "      $ consul gateway -rpc-addr 10.0.0.1:8400 -http-addr 0.0.0.0:8500\n\n"
           "  It answers by the agent's settings: datacenter, domains, dns_config, the\n"
           "  limits of HTTP and of waiting. It takes them at the start, and anew when the\n"
           "  agent is started again with others. An agent that is not there yet is waited\n"
           "  for: until it has told its settings, HTTP answers 500 and DNS SERVFAIL.";
  }

  int Execute(const std::vector<std::string>& args) override {
    if (!args.empty()) return Fail(base::StrCat("==> Unexpected extra argument: ", args[0]));
    const absl::StatusOr<std::string> rpc_address = RpcAddress(options_.rpc_address, context());
    if (!rpc_address.ok()) return Fail("==> Error starting gateway", rpc_address.status());
    options_.rpc_address = *rpc_address;
    if (options_.http_listen.has_value() &&
        IsItself(*options_.http_listen, options_.rpc_address)) {
      return Fail(base::StrCat("==> The agent's RPC address is that of -http-addr: ",
                               options_.rpc_address));
    }
    if (!options_.http_listen.has_value() && !options_.dns_listen.has_value()) {
      return Fail("==> Nothing to serve: -http-addr and -dns-addr are both off");
    }
    return context().run_gateway(options_);
  }

  GatewayOptions options_;
};

}  // namespace

std::unique_ptr<Command> MakeGatewayCommand(const Context& context) {
  return std::make_unique<GatewayCommand>(context);
}

}  // namespace consul::cli
