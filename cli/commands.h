// cli/commands.h
//
// The list of all commands, and how each is made.
//
// Threads: constant data.
#ifndef CONSUL_CLI_COMMANDS_H_
#define CONSUL_CLI_COMMANDS_H_

#include <memory>
#include <string_view>
#include <vector>

#include "cli/command.h"

namespace consul::cli {

struct CommandEntry {
  // "kv get": words in order.
  std::string_view name;
  // One line for the list of commands.
  std::string_view synopsis;
  std::unique_ptr<Command> (*make)(const Context& context);
};

// Sorted by name.
const std::vector<CommandEntry>& Commands();

std::unique_ptr<Command> MakeAgentCommand(const Context& context);
std::unique_ptr<Command> MakeEventCommand(const Context& context);
std::unique_ptr<Command> MakeGatewayCommand(const Context& context);
std::unique_ptr<Command> MakeInfoCommand(const Context& context);
std::unique_ptr<Command> MakeKeygenCommand(const Context& context);
std::unique_ptr<Command> MakeKeyringCommand(const Context& context);
std::unique_ptr<Command> MakeKvCommand(const Context& context);
std::unique_ptr<Command> MakeKvDeleteCommand(const Context& context);
std::unique_ptr<Command> MakeKvGetCommand(const Context& context);
std::unique_ptr<Command> MakeKvPutCommand(const Context& context);
std::unique_ptr<Command> MakeForceLeaveCommand(const Context& context);
std::unique_ptr<Command> MakeJoinCommand(const Context& context);
std::unique_ptr<Command> MakeLeaveCommand(const Context& context);
std::unique_ptr<Command> MakeMembersCommand(const Context& context);
std::unique_ptr<Command> MakeMonitorCommand(const Context& context);
std::unique_ptr<Command> MakeOperatorCommand(const Context& context);
std::unique_ptr<Command> MakeOperatorAutopilotCommand(const Context& context);
std::unique_ptr<Command> MakeOperatorAutopilotGetConfigCommand(const Context& context);
std::unique_ptr<Command> MakeOperatorAutopilotSetConfigCommand(const Context& context);
std::unique_ptr<Command> MakeOperatorAutopilotStateCommand(const Context& context);
std::unique_ptr<Command> MakeOperatorRaftCommand(const Context& context);
std::unique_ptr<Command> MakeOperatorRaftListPeersCommand(const Context& context);
std::unique_ptr<Command> MakeOperatorRaftRemovePeerCommand(const Context& context);
std::unique_ptr<Command> MakeOperatorRaftTransferLeaderCommand(const Context& context);
std::unique_ptr<Command> MakeReachabilityCommand(const Context& context);
std::unique_ptr<Command> MakeRttCommand(const Context& context);
std::unique_ptr<Command> MakeSnapshotCommand(const Context& context);
std::unique_ptr<Command> MakeSnapshotInspectCommand(const Context& context);
std::unique_ptr<Command> MakeSnapshotRestoreCommand(const Context& context);
std::unique_ptr<Command> MakeSnapshotSaveCommand(const Context& context);
std::unique_ptr<Command> MakeVersionCommand(const Context& context);

}  // namespace consul::cli

#endif  // CONSUL_CLI_COMMANDS_H_
