#include "services/state/command.h"

#include <algorithm>
#include <chrono>

#include "consul/internal/raft/v1/command.pb.h"

namespace consul::state {

namespace {

using internal::raft::v1::Command;

// What raises the cluster's version is known since version 4.
constexpr uint32_t kRaisedSince = 4;

// The version to which it raises the cluster's; 0: it does not.
uint32_t RaisedBy(const Command& command) {
  if (command.has_set_cluster_version()) return command.set_cluster_version().version();
  return command.set_cluster_id().version();
}

// Fsm::kVersion is the newest.
uint32_t VersionFor(const Command& command) {
  if (command.has_set_cluster_version() || RaisedBy(command) > 0) {
    return std::max(kRaisedSince, RaisedBy(command));
  }
  if (command.has_set_autopilot_configuration()) return 3;
  if (command.has_restore_chunk() || command.has_restore_commit() || command.has_restore_drop()) {
    return 3;
  }
  if (command.has_update_coordinate()) return 2;
  // An older one would refuse it.
  const bool takes_back = command.catalog_register().by_membership() &&
                          !command.catalog_register().generation().empty();
  return takes_back ? 2 : 1;
}

}  // namespace

SealedCommand Seal(Command* command) {
  const uint32_t version = VersionFor(*command);
  command->set_min_version(version);
  command->set_proposed_at(std::chrono::duration_cast<std::chrono::nanoseconds>(
                               std::chrono::system_clock::now().time_since_epoch())
                               .count());
  return {.bytes = command->SerializeAsString(),
          .cluster_version_min = RaisedBy(*command) > 0 ? 0 : version};
}

}  // namespace consul::state
