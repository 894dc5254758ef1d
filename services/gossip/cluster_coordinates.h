// services/gossip/cluster_coordinates.h
//
// Where members are in the space of round trips: each ack carries its sender's coordinate, and each
// round trip moves the own one a little.
//
// Threads: as Cluster.
// Background: services/gossip/README.md (Coordinates).
#ifndef CONSUL_SERVICES_GOSSIP_CLUSTER_COORDINATES_H_
#define CONSUL_SERVICES_GOSSIP_CLUSTER_COORDINATES_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "services/gossip/cluster_context.h"
#include "services/gossip/coordinate.h"
#include "services/gossip/swim_output.h"

namespace consul::gossip {

class ClusterCoordinates {
 public:
  explicit ClusterCoordinates(ClusterContext* context);

  void Received(const RttSample& sample);
  void Forget(const std::string& name);

  const Coordinate& own() const { return client_.coordinate(); }
  std::optional<Coordinate> Of(std::string_view name) const;
  uint64_t resets() const { return client_.resets(); }

 private:
  // The own coordinate goes along with each ack from now on.
  void Tell();

  ClusterContext* const context_;
  CoordinateClient client_;
  std::map<std::string, Coordinate, std::less<>> others_;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_CLUSTER_COORDINATES_H_
