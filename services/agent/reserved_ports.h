// services/agent/reserved_ports.h
//
// The ports of gossip, held from the start: what other agents will be told in
// tags and in the catalog must be this agent's, or two agents would tell the same. They are bound,
// and refuse connections: nothing is spoken on them yet.
//
// Threads: one owner.
#ifndef CONSUL_SERVICES_AGENT_RESERVED_PORTS_H_
#define CONSUL_SERVICES_AGENT_RESERVED_PORTS_H_

#include <vector>

#include "absl/status/status.h"
#include "services/agent/config/config.h"

namespace consul::agent {

class ReservedPorts {
 public:
  ReservedPorts() = default;
  // Lets go of them.
  ~ReservedPorts();
  ReservedPorts(const ReservedPorts&) = delete;
  ReservedPorts& operator=(const ReservedPorts&) = delete;

  // Takes both gossip ports (TCP and UDP), those that are on.
  // ALREADY_EXISTS: `listen tcp IP:PORT: address already in use`; UNAVAILABLE: another reason, as
  // an address that is not this machine's.
  absl::Status Take(const config::Config& config);

 private:
  absl::Status TakeOne(const config::Endpoint& endpoint, int type);

  std::vector<int> sockets_;
};

}  // namespace consul::agent

#endif  // CONSUL_SERVICES_AGENT_RESERVED_PORTS_H_
