// services/api/catalog_handlers.h
//
// consul.catalog.v1.CatalogService and consul.health.v1.HealthService.
//
// Threads: as rpc::Handlers.
#ifndef CONSUL_SERVICES_API_CATALOG_HANDLERS_H_
#define CONSUL_SERVICES_API_CATALOG_HANDLERS_H_

#include <string>

#include "services/rpc/handlers.h"

namespace consul::state {
class VersionSource;
}  // namespace consul::state

namespace consul::api {

// `source` is the replicated state and outlives `handlers`.
void RegisterCatalog(std::string datacenter, state::VersionSource* source,
                     rpc::Handlers* handlers);
void RegisterHealth(state::VersionSource* source, rpc::Handlers* handlers);

}  // namespace consul::api

#endif  // CONSUL_SERVICES_API_CATALOG_HANDLERS_H_
