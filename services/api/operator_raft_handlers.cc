#include "services/api/operator_raft_handlers.h"

#include <memory>
#include <string_view>
#include <utility>

#include "services/api/awaited_call.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"

namespace consul::api {
namespace {

using operators::v1::GetRaftConfigurationRequest;
using operators::v1::GetRaftConfigurationResponse;
using operators::v1::RaftServer;
using operators::v1::RemoveRaftPeerRequest;
using operators::v1::RemoveRaftPeerResponse;
using operators::v1::TransferLeaderRequest;
using operators::v1::TransferLeaderResponse;

void GetConfiguration(const RaftControl& control, rpc::Call* call) {
  const auto& request = static_cast<const GetRaftConfigurationRequest&>(call->request());
  if (!request.stale() && control.pass_on(call)) return;
  *static_cast<GetRaftConfigurationResponse*>(call->response()) = control.configuration();
  call->Done();
}

absl::Status NotFound(std::string_view what, std::string_view value) {
  return rpc::Error(errors::v1::REASON_NOT_FOUND,
                    base::StrCat(what, " \"", value, "\" was not found in the Raft configuration"),
                    what);
}

const RaftServer* Find(const GetRaftConfigurationResponse& configuration, std::string_view id,
                       std::string_view address) {
  for (const RaftServer& server : configuration.servers()) {
    if (id.empty() ? server.address() == address : server.id() == id) return &server;
  }
  return nullptr;
}

void Remove(const RaftControl& control, rpc::Call* call) {
  const auto& request = static_cast<const RemoveRaftPeerRequest&>(call->request());
  const auto refuse = [call](absl::Status status) {
    call->status = std::move(status);
    call->Done();
  };
  if (request.id().empty() && request.address().empty()) {
    return refuse(rpc::Error(errors::v1::REASON_MISSING_FIELD,
                             "Bad request: Must specify either ?id with the server's ID or "
                             "?address with IP:port of peer to remove",
                             "id"));
  }
  if (!request.id().empty() && !request.address().empty()) {
    return refuse(rpc::Error(errors::v1::REASON_CONFLICTING_FIELDS,
                             "Bad request: Must specify only one of ?id or ?address", "address"));
  }
  const GetRaftConfigurationResponse configuration = control.configuration();
  const RaftServer* const server = Find(configuration, request.id(), request.address());
  if (server == nullptr) {
    return refuse(request.id().empty() ? NotFound("address", request.address())
                                       : NotFound("id", request.id()));
  }
  AwaitStatus<RemoveRaftPeerResponse>(call, [&](std::function<void(absl::Status)> done) {
    control.remove(server->id(), std::move(done));
  });
}

void Transfer(const RaftControl& control, rpc::Call* call) {
  const std::string& id = static_cast<const TransferLeaderRequest&>(call->request()).id();
  if (!id.empty() && Find(control.configuration(), id, "") == nullptr) {
    call->status = NotFound("id", id);
    return call->Done();
  }
  Await<Nothing, TransferLeaderResponse>(
      call,
      [&](std::function<void(absl::StatusOr<Nothing>)> done) {
        control.transfer(id, [done = std::move(done)](absl::Status status) {
          if (status.ok()) return done(Nothing());
          done(std::move(status));
        });
      },
      [](const Nothing&, TransferLeaderResponse* response) { response->set_success(true); });
}

}  // namespace

void RegisterRaft(RaftControl control, rpc::Handlers* handlers) {
  const std::string service = "/consul.operators.v1.RaftService/";
  const auto shared = std::make_shared<const RaftControl>(std::move(control));
  handlers->Take(service + "GetRaftConfiguration",
                 [shared](rpc::Call* call) { GetConfiguration(*shared, call); });
  handlers->Take(service + "RemoveRaftPeer",
                 [shared](rpc::Call* call) { Remove(*shared, call); });
  handlers->Take(service + "TransferLeader",
                 [shared](rpc::Call* call) { Transfer(*shared, call); });
}

}  // namespace consul::api
