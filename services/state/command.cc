#include "services/state/command.h"

#include <chrono>

#include "consul/internal/raft/v1/command.pb.h"

namespace consul::state {

namespace {

using internal::raft::v1::Command;

// Fsm::kVersion is the newest.
uint32_t VersionFor(const Command& command) {
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

std::string Seal(Command* command) {
  command->set_min_version(VersionFor(*command));
  command->set_proposed_at(std::chrono::duration_cast<std::chrono::nanoseconds>(
                               std::chrono::system_clock::now().time_since_epoch())
                               .count());
  return command->SerializeAsString();
}

}  // namespace consul::state
