#include "services/api/node_sync_handlers.h"

#include <memory>
#include <string>

#include "consul/internal/catalog/v1/node_sync.pb.h"
#include "consul/internal/raft/v1/command.pb.h"
#include "services/rpc/errors.h"
#include "services/state/command.h"
#include "services/state/registration.h"
#include "services/state/version.h"
#include "services/state/version_source.h"

namespace consul::api {
namespace {

using internal::catalog::v1::SyncNodeRequest;
using internal::catalog::v1::SyncNodeResponse;

absl::Status PrepareSync(state::VersionSource* source, const SyncNodeRequest& request,
                         state::SealedCommand* command) {
  if (request.generation().empty()) {
    return rpc::Error(errors::v1::REASON_MISSING_FIELD, "Missing generation", "generation");
  }
  internal::raft::v1::Command sync;
  auto* const registration = sync.mutable_catalog_register();
  *registration->mutable_node() = request.node();
  registration->set_generation(request.generation());
  const auto newest = source->Load();
  const state::Refusal refusal = state::CheckRegistration(
      static_cast<const state::Version&>(*newest).tables(), *registration);
  if (refusal.refused()) return rpc::Error(refusal.reason, refusal.text, refusal.subject);
  *command = state::Seal(&sync);
  return absl::OkStatus();
}

void FinishSync(const rpc::Applied&, SyncNodeResponse*) {}

}  // namespace

void RegisterNodeSync(state::VersionSource* source, rpc::Handlers* handlers) {
  handlers->Write<SyncNodeRequest, SyncNodeResponse>(
      "/consul.internal.catalog.v1.NodeSyncService/SyncNode",
      [source](const SyncNodeRequest& request, state::SealedCommand* command) {
        return PrepareSync(source, request, command);
      },
      &FinishSync);
}

}  // namespace consul::api
