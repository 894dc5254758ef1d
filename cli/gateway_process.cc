#include "cli/gateway_process.h"

#include <cstdio>
#include <string_view>

#include "cli/faces.h"
#include "cli/process.h"
#include "cli/signals.h"
#include "services/base/log.h"
#include "services/base/strings.h"
#include "services/rpc/channel_backend.h"

namespace consul::cli {
namespace {

std::string Shown(const std::optional<agent::config::Endpoint>& endpoint) {
  return endpoint.has_value() ? base::StrCat("'", endpoint->ToString(), "'") : "off";
}

}  // namespace

int RunGateway(const GatewayOptions& options) {
  Signals signals;
  RaiseFileLimit();
  base::Logger logger(base::LogLevel::kInfo);
  logger.Release();
  Print("==> Starting Consul gateway...");
  rpc::ChannelBackend backend(options.rpc_address, {});
  FacesOptions faces_options;
  if (options.http_listen.has_value()) faces_options.http_listen = {*options.http_listen};
  if (options.dns_listen.has_value()) faces_options.dns_listen = {*options.dns_listen};
  faces_options.rpc_address = options.rpc_address;
  faces_options.datacenter = options.datacenter;
  faces_options.dns.domain = options.domain;
  Faces faces(&backend, &logger);
  if (absl::Status status = faces.Start(faces_options); !status.ok()) {
    PrintError(base::StrCat("==> Error starting gateway: ", base::ToStd(status.message())));
    return 1;
  }
  Print("==> Consul gateway running!");
  Print(base::StrCat("         Agent RPC: '", options.rpc_address, "'"));
  Print(base::StrCat("         HTTP addr: ", Shown(options.http_listen)));
  Print(base::StrCat("          DNS addr: ", Shown(options.dns_listen)));
  while (*signals.Wait() == Signals::Kind::kHangUp) {
  }
  faces.Stop();
  return 0;
}

}  // namespace consul::cli
