#include "services/state/command.h"

#include <chrono>

#include "consul/internal/raft/v1/command.pb.h"

namespace consul::state {

std::string Seal(internal::raft::v1::Command* command) {
  // Fsm::kVersion is the newest.
  command->set_min_version(command->has_update_coordinate() ? 2 : 1);
  command->set_proposed_at(std::chrono::duration_cast<std::chrono::nanoseconds>(
                               std::chrono::system_clock::now().time_since_epoch())
                               .count());
  return command->SerializeAsString();
}

}  // namespace consul::state
