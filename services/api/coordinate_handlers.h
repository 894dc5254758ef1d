// services/api/coordinate_handlers.h
//
// consul.coordinate.v1.CoordinateService: where nodes are. Those of the LAN pool are replicated
// state, which agents write of themselves; those of servers are what the WAN pool knows now.
//
// Threads: as services/rpc/handlers.h.
#ifndef CONSUL_SERVICES_API_COORDINATE_HANDLERS_H_
#define CONSUL_SERVICES_API_COORDINATE_HANDLERS_H_

#include <string>

#include "services/rpc/handlers.h"
#include "services/state/version_source.h"

namespace consul::gossip {
class Pool;
struct Coordinate;
}  // namespace consul::gossip

namespace consul::coordinate::v1 {
class Coordinate;
}  // namespace consul::coordinate::v1

namespace consul::api {

coordinate::v1::Coordinate ToProto(const gossip::Coordinate& coordinate);

// `wan` is null on a server that is in no WAN pool. It and `source` outlive `handlers`.
void RegisterCoordinates(std::string datacenter, gossip::Pool* wan, state::VersionSource* source,
                         rpc::Handlers* handlers);

}  // namespace consul::api

#endif  // CONSUL_SERVICES_API_COORDINATE_HANDLERS_H_
