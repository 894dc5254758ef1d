#include "services/api/coordinate_handlers.h"

#include <string_view>
#include <utility>
#include <vector>

#include "consul/coordinate/v1/coordinate.pb.h"
#include "consul/internal/raft/v1/command.pb.h"
#include "services/api/awaited_call.h"
#include "services/api/rows.h"
#include "services/base/strings.h"
#include "services/gossip/coordinate.h"
#include "services/gossip/pool.h"
#include "services/rpc/errors.h"
#include "services/state/command.h"
#include "services/state/version.h"

namespace consul::api {
namespace {

using coordinate::v1::GetNodeRequest;
using coordinate::v1::GetNodeResponse;
using coordinate::v1::ListDatacentersResponse;
using coordinate::v1::ListNodesRequest;
using coordinate::v1::ListNodesResponse;
using coordinate::v1::NodeCoordinate;
using coordinate::v1::UpdateRequest;
using coordinate::v1::UpdateResponse;

absl::Status ListNodes(const state::Version& version, const ListNodesRequest&,
                       ListNodesResponse* response, state::WatchSet* watched) {
  version.coordinates().ForEach("", watched, [response](const NodeCoordinate& row) {
    response->mutable_nodes()->UnsafeArenaAddAllocated(Lend(row));
    return true;
  });
  return absl::OkStatus();
}

absl::Status GetNode(const state::Version& version, const GetNodeRequest& request,
                     GetNodeResponse* response, state::WatchSet* watched) {
  const NodeCoordinate* const row =
      version.coordinates().Find(state::NodeKey(request.node()), watched);
  if (row != nullptr) response->mutable_nodes()->UnsafeArenaAddAllocated(Lend(*row));
  return absl::OkStatus();
}

absl::Status PrepareUpdate(const UpdateRequest& request, state::SealedCommand* command) {
  if (request.node().empty()) {
    return rpc::Error(errors::v1::REASON_MISSING_FIELD, "Missing node name", "node");
  }
  if (!request.segment().empty()) {
    return rpc::Error(errors::v1::REASON_INVALID_FIELD,
                      "Network segments are not supported in this version of Consul", "segment");
  }
  const coordinate::v1::Coordinate& coord = request.coord();
  const std::vector<double> vec(coord.vec().begin(), coord.vec().end());
  if (!gossip::Coordinate::FromParts(vec, coord.error(), coord.adjustment(), coord.height())) {
    return rpc::Error(errors::v1::REASON_INVALID_FIELD, "incompatible coordinate", "coord");
  }
  internal::raft::v1::Command update;
  NodeCoordinate* const row = update.mutable_update_coordinate()->mutable_coordinate();
  row->set_node(request.node());
  *row->mutable_coord() = coord;
  *command = state::Seal(&update);
  return absl::OkStatus();
}

void FinishUpdate(const rpc::Applied& applied, UpdateResponse* response) {
  response->set_applied(applied.changed);
}

// Names in the WAN pool are NODE.DATACENTER.
void Place(const gossip::PlacedMember& member, ListDatacentersResponse* response) {
  const size_t dot = member.name.rfind('.');
  if (dot == std::string::npos) return;
  const std::string_view datacenter = std::string_view(member.name).substr(dot + 1);
  coordinate::v1::DatacenterCoordinates* group = nullptr;
  for (auto& each : *response->mutable_datacenters()) {
    if (each.datacenter() == datacenter) group = &each;
  }
  if (group == nullptr) {
    group = response->add_datacenters();
    group->set_datacenter(std::string(datacenter));
    group->set_area_id("wan");
  }
  NodeCoordinate* const row = group->add_coordinates();
  row->set_node(member.name.substr(0, dot));
  *row->mutable_coord() = ToProto(member.coordinate);
}

void ListDatacenters(const std::string& datacenter, gossip::Pool* wan, rpc::Call* call) {
  using Places = std::vector<gossip::PlacedMember>;
  Await<Places, ListDatacentersResponse>(
      call,
      [wan](auto done) {
        if (wan == nullptr) return done(Places());
        wan->Places(std::move(done));
      },
      [datacenter](const Places& places, ListDatacentersResponse* response) {
        for (const gossip::PlacedMember& member : places) Place(member, response);
        // A server without a WAN pool still knows of its own datacenter.
        if (response->datacenters().empty()) {
          auto* const own = response->add_datacenters();
          own->set_datacenter(datacenter);
          own->set_area_id("wan");
        }
      });
}

}  // namespace

coordinate::v1::Coordinate ToProto(const gossip::Coordinate& coordinate) {
  coordinate::v1::Coordinate proto;
  for (const double x : coordinate.position) proto.add_vec(x);
  proto.set_error(coordinate.error);
  proto.set_adjustment(coordinate.adjustment);
  proto.set_height(coordinate.height);
  return proto;
}

void RegisterCoordinates(std::string datacenter, gossip::Pool* wan, state::VersionSource* source,
                         rpc::Handlers* handlers) {
  handlers->Read("/consul.coordinate.v1.CoordinateService/ListNodes", source, &ListNodes);
  handlers->Read("/consul.coordinate.v1.CoordinateService/GetNode", source, &GetNode);
  handlers->Write<UpdateRequest, UpdateResponse>(
      "/consul.coordinate.v1.CoordinateService/Update", &PrepareUpdate, &FinishUpdate);
  handlers->Take("/consul.coordinate.v1.CoordinateService/ListDatacenters",
                 [datacenter = std::move(datacenter), wan](rpc::Call* call) {
                   ListDatacenters(datacenter, wan, call);
                 });
}

}  // namespace consul::api
