#include "cli/command.h"

#include <optional>
#include <ostream>

#include "cli/agent_address.h"
#include "services/base/bool_text.h"
#include "services/base/strings.h"
#include "services/base/utf8.h"

namespace consul::cli {
namespace {

constexpr const char* kRpcVariable = "CONSUL_RPC_ADDR";
constexpr const char* kHttpVariable = "CONSUL_HTTP_ADDR";
constexpr const char* kTlsVariable = "CONSUL_HTTP_SSL";

// Of an address that cannot be one: every call fails with what is wrong with it.
class NoClient final : public Client {
 public:
  explicit NoClient(const absl::Status& status) : status_(status) {}

  absl::Status Call(std::string_view, const google::protobuf::Message&,
                    google::protobuf::Message*) override {
    return status_;
  }
  absl::Status Stream(std::string_view, const google::protobuf::Message&,
                      google::protobuf::Message*, const std::function<void()>&,
                      const std::function<bool()>&) override {
    return status_;
  }

 private:
  const absl::Status status_;
};

absl::Status BadVariable(const char* name, std::string_view value, const absl::Status& problem) {
  return absl::InvalidArgumentError(base::StrCat("invalid value \"", value, "\" of ", name, ": ",
                                                 base::ToStd(problem.message())));
}

// As "" it is as if the flag were not given.
absl::Status SetHttpAddress(std::string_view text, std::string* out) {
  out->clear();
  if (text.empty()) return absl::OkStatus();
  const absl::StatusOr<std::string> host_port = ParseHttpAddress(text);
  if (host_port.ok()) *out = *host_port;
  return host_port.status();
}

}  // namespace

int Command::Run(const std::vector<std::string>& args) {
  const absl::StatusOr<std::vector<std::string>> rest = flags_.Parse(args);
  if (rest.ok()) return Execute(*rest);
  const std::string usage = Usage();
  err() << base::ToStd(rest.status().message()) << "\nUsage: " << usage << "\nRun '"
        << usage.substr(0, usage.find_first_of("[<") - 1) << " -h' for the list of options.\n";
  return kExitError;
}

std::string Command::Help() const {
  std::string help = base::StrCat("Usage: ", Usage(), "\n\n", Description(), "\n");
  const std::string options = flags_.Help();
  if (!options.empty()) base::StrAppend(&help, "\n", options);
  return help;
}

bool Command::IsText(std::string_view what, std::string_view text) const {
  if (base::IsUtf8(text)) return true;
  Fail(base::StrCat("The ", what, " is not valid UTF-8"));
  return false;
}

int Command::Fail(std::string_view text) const {
  err() << text << "\n";
  return kExitError;
}

int Command::Fail(std::string_view what, const absl::Status& status) const {
  if (!IsConnectFailure(status)) {
    return Fail(base::StrCat(what, ": ", base::ToStd(status.message())));
  }
  return Fail(base::StrCat("Error connecting to Consul agent over ", ConnectFailureFace(status),
                           ": ", base::ToStd(status.message()),
                           "\nIs an agent running? -rpc-addr, -http-addr, CONSUL_RPC_ADDR or ",
                           "CONSUL_HTTP_ADDR say where."));
}

void ApiFlags::AddTo(FlagSet* flags, Extent extent) {
  const auto set = [](std::string* out) {
    return [out](std::string_view text) {
      *out = std::string(text);
      return absl::OkStatus();
    };
  };
  flags->Add(FlagGroup::kApi, "http-addr", "address",
             "Address and port of the agent's HTTP, such as http://127.0.0.1:8500, instead of "
             "-rpc-addr: commands are taken there as well. This can also be given by the "
             "environment variable CONSUL_HTTP_ADDR; CONSUL_RPC_ADDR goes before it.",
             [this](std::string_view text) { return SetHttpAddress(text, &http_address_); });
  flags->Add(FlagGroup::kApi, "rpc-addr", "address",
             "Address and port of the agent's RPC. This can also be given by the "
             "environment variable CONSUL_RPC_ADDR. The default is 127.0.0.1:8400.",
             [this](std::string_view text) { return SetRpcAddress(text, &rpc_address_); });
  flags->Add(FlagGroup::kApi, "token", "value",
             "Token to send with the request. This can also be given by the environment "
             "variable CONSUL_HTTP_TOKEN.",
             set(&token_));
  if (extent == kAgentOnly) return;
  flags->Add(FlagGroup::kApi, "datacenter", "value",
             "Name of the datacenter to ask. The default is the agent's own.", set(&datacenter_));
  flags->AddBool(FlagGroup::kApi, "stale",
                 "Let any server answer a read, not the leader alone: sooner, and also when there "
                 "is no leader, but what it says may be old. The default is false.",
                 [this](std::string_view text) {
                   stale_ = text == "true";
                   return absl::OkStatus();
                 });
}

std::unique_ptr<Client> ApiFlags::Connect(const Context& context) const {
  ClientOptions options;
  const absl::StatusOr<AgentAddress> address = Address(context);
  if (!address.ok()) return std::make_unique<NoClient>(address.status());
  options.address = *address;
  options.token = token_.empty() ? context.environment("CONSUL_HTTP_TOKEN") : token_;
  return context.connect(options);
}

absl::StatusOr<AgentAddress> ApiFlags::Address(const Context& context) const {
  if (!rpc_address_.empty() && !http_address_.empty()) {
    return absl::InvalidArgumentError("-rpc-addr and -http-addr are both given, one is enough");
  }
  const bool http_by_environment = rpc_address_.empty() &&
                                   context.environment(kRpcVariable).empty() &&
                                   !context.environment(kHttpVariable).empty();
  if (!http_address_.empty() || http_by_environment) return HttpAddress(context);
  const absl::StatusOr<std::string> rpc = RpcAddress(rpc_address_, context);
  if (!rpc.ok()) return rpc.status();
  return AgentAddress{Face::kRpc, *rpc};
}

// REQUIRES: the flag or the variable is given.
absl::StatusOr<AgentAddress> ApiFlags::HttpAddress(const Context& context) const {
  const std::string tls = context.environment(kTlsVariable);
  const std::optional<bool> is_tls = tls.empty() ? false : base::ParseBool(tls);
  if (!is_tls.has_value()) {
    return BadVariable(kTlsVariable, tls, absl::InvalidArgumentError("parse error"));
  }
  if (*is_tls) {
    return BadVariable(kTlsVariable, tls, absl::InvalidArgumentError("TLS is not supported yet"));
  }
  if (!http_address_.empty()) return AgentAddress{Face::kHttp, http_address_};
  const std::string text = context.environment(kHttpVariable);
  const absl::StatusOr<std::string> host_port = ParseHttpAddress(text);
  if (!host_port.ok()) return BadVariable(kHttpVariable, text, host_port.status());
  return AgentAddress{Face::kHttp, *host_port};
}

absl::Status SetRpcAddress(std::string_view text, std::string* out) {
  *out = std::string(text);
  return text.empty() ? absl::OkStatus() : CheckRpcAddress(text);
}

absl::StatusOr<std::string> RpcAddress(const std::string& flag, const Context& context) {
  if (!flag.empty()) return flag;
  const std::string address = context.environment(kRpcVariable);
  if (address.empty()) return std::string(kRpcAddressDefault);
  const absl::Status status = CheckRpcAddress(address);
  if (status.ok()) return address;
  return BadVariable(kRpcVariable, address, status);
}

}  // namespace consul::cli
