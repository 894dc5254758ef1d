// services/api/node_sync_handlers.h
//
// consul.internal.catalog.v1.NodeSyncService: what agents write of themselves.
//
// Threads: as rpc::Handlers.
#ifndef CONSUL_SERVICES_API_NODE_SYNC_HANDLERS_H_
#define CONSUL_SERVICES_API_NODE_SYNC_HANDLERS_H_

#include "services/rpc/handlers.h"

namespace consul::state {
class VersionSource;
}  // namespace consul::state

namespace consul::api {

// `source` is the replicated state and outlives `handlers`. What the state machine would refuse is
// refused before it is in the log.
void RegisterNodeSync(state::VersionSource* source, rpc::Handlers* handlers);

}  // namespace consul::api

#endif  // CONSUL_SERVICES_API_NODE_SYNC_HANDLERS_H_
