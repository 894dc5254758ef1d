#include "services/agent/server_port.h"

#include <google/protobuf/descriptor.h>

#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/rpc/forward_backend.h"
#include "services/transport/transport_options.h"

namespace consul::agent {
namespace {

rpc::GrpcServer::Options PortOptions(const config::Endpoint& endpoint,
                                     grpc::Service* consensus) {
  rpc::GrpcServer::Options options;
  options.addresses = {endpoint.ToString()};
  options.limits.reply_bytes_max = rpc::kForwardedReplyBytesMax;
  options.services = {{transport::kServiceName, consensus}};
  return options;
}

}  // namespace

void ServerPort::FromOutside::Start(rpc::Call* call) {
  const rpc::Method& method = call->method();
  if (method.kind != options::v1::KIND_LOCAL) return backend_->Start(call);
  call->status = rpc::Error(errors::v1::REASON_UNSUPPORTED,
                            base::StrCat(method.descriptor->full_name(),
                                         " is a method of the agent itself: the server port does "
                                         "not serve it, the agent's RPC port does"));
  call->Done();
}

ServerPort::ServerPort(const config::Endpoint& endpoint, rpc::Backend* backend,
                       grpc::Service* consensus)
    : from_outside_(backend),
      grpc_(PortOptions(endpoint, consensus), {&rpc::PublicApi(), &rpc::InternalApi()},
            &from_outside_) {}

}  // namespace consul::agent
