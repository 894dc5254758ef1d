#include "services/api/status_handlers.h"

#include <utility>

#include "consul/status/v1/status.pb.h"

namespace consul::api {

void RegisterStatus(StatusView view, rpc::Handlers* handlers) {
  handlers->Local<status::v1::GetLeaderRequest, status::v1::GetLeaderResponse>(
      "/consul.status.v1.StatusService/GetLeader",
      [leader = std::move(view.leader)](const auto&, auto* response) {
        response->set_leader(leader());
        return absl::OkStatus();
      });
  handlers->Local<status::v1::ListPeersRequest, status::v1::ListPeersResponse>(
      "/consul.status.v1.StatusService/ListPeers",
      [peers = std::move(view.peers)](const auto&, auto* response) {
        for (std::string& peer : peers()) response->add_peers(std::move(peer));
        return absl::OkStatus();
      });
}

}  // namespace consul::api
