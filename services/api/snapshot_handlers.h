// services/api/snapshot_handlers.h
//
// consul.snapshot.v1.SnapshotService: archives of the state, and their way back.
//
// Threads: as services/rpc/handlers.h says.
#ifndef CONSUL_SERVICES_API_SNAPSHOT_HANDLERS_H_
#define CONSUL_SERVICES_API_SNAPSHOT_HANDLERS_H_

#include "services/api/snapshot_restores.h"
#include "services/api/snapshot_saves.h"
#include "services/rpc/handlers.h"

namespace consul::api {

// What every agent does itself. `restores` outlives `handlers`.
void RegisterRestore(SnapshotRestores* restores, rpc::Handlers* handlers);
// What servers do. `saves` and `source` outlive `handlers`.
void RegisterSnapshots(SnapshotSaves* saves, state::VersionSource* source,
                       rpc::Handlers* handlers);

}  // namespace consul::api

#endif  // CONSUL_SERVICES_API_SNAPSHOT_HANDLERS_H_
