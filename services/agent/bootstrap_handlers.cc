#include "services/agent/bootstrap_handlers.h"

#include <utility>

#include "consul/internal/bootstrap/v1/bootstrap.pb.h"
#include "services/api/awaited_call.h"

namespace consul::agent {
namespace {

using internal::bootstrap::v1::ConfirmRequest;
using internal::bootstrap::v1::ConfirmResponse;
using internal::bootstrap::v1::FoundRequest;
using internal::bootstrap::v1::FoundResponse;
using internal::bootstrap::v1::PledgeRequest;
using internal::bootstrap::v1::PledgeResponse;

}  // namespace

void RegisterBootstrap(std::function<server::Bootstrapper*()> bootstrapper,
                       rpc::Handlers* handlers) {
  const std::string service = "/consul.internal.bootstrap.v1.BootstrapService/";
  handlers->Take(service + "Pledge", [bootstrapper](rpc::Call* call) {
    const auto& request = static_cast<const PledgeRequest&>(call->request());
    api::Await<PledgeResponse, PledgeResponse>(
        call,
        [&](auto done) { bootstrapper()->Pledge(request.foundation(), std::move(done)); },
        [](const PledgeResponse& said, PledgeResponse* response) { *response = said; });
  });
  handlers->Take(service + "Confirm", [bootstrapper](rpc::Call* call) {
    const auto& request = static_cast<const ConfirmRequest&>(call->request());
    api::Await<bool, ConfirmResponse>(
        call,
        [&](auto done) { bootstrapper()->Confirm(request.foundation(), std::move(done)); },
        [](bool stands, ConfirmResponse* response) { response->set_stands(stands); });
  });
  handlers->Take(service + "Found", [bootstrapper = std::move(bootstrapper)](rpc::Call* call) {
    const auto& request = static_cast<const FoundRequest&>(call->request());
    api::AwaitStatus<FoundResponse>(call, [&](std::function<void(absl::Status)> done) {
      bootstrapper()->Found(request.foundation(), std::move(done));
    });
  });
}

}  // namespace consul::agent
