// services/state/command.h
//
// Finishes a command for the log.
//
// Threads: pure functions, but for the wall clock.
#ifndef CONSUL_SERVICES_STATE_COMMAND_H_
#define CONSUL_SERVICES_STATE_COMMAND_H_

#include "services/state/sealed_command.h"

namespace consul::internal::raft::v1 {
class Command;
}  // namespace consul::internal::raft::v1

namespace consul::state {

// Stamps `command` with the lowest version of the state machine that knows its kind, and with the
// leader's wall clock, and serialises it.
SealedCommand Seal(internal::raft::v1::Command* command);

}  // namespace consul::state

#endif  // CONSUL_SERVICES_STATE_COMMAND_H_
