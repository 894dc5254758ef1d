// services/api/keyring_handlers.h
//
// consul.operators.v1.KeyringService: the keys of gossip, at all members of both pools of a server.
//
// Threads: as services/rpc/handlers.h.
#ifndef CONSUL_SERVICES_API_KEYRING_HANDLERS_H_
#define CONSUL_SERVICES_API_KEYRING_HANDLERS_H_

#include <string>

#include "services/rpc/handlers.h"

namespace consul::gossip {
class Pool;
}  // namespace consul::gossip

namespace consul::api {

// The pools of a server; they outlive the handlers. `wan` is null where it is in none.
struct KeyringPools {
  std::string datacenter;
  gossip::Pool* lan = nullptr;
  gossip::Pool* wan = nullptr;
};

void RegisterKeyring(const KeyringPools& pools, rpc::Handlers* handlers);

}  // namespace consul::api

#endif  // CONSUL_SERVICES_API_KEYRING_HANDLERS_H_
