#include "cli/commands.h"

#include <algorithm>
#include <ostream>
#include <string>

#include "cli/command.h"
#include "cli/watched_output.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

constexpr size_t kCommandWordsMax = 4;

bool IsHelpFlag(std::string_view arg) {
  return arg == "-h" || arg == "-help" || arg == "--help";
}
bool IsVersionFlag(std::string_view arg) {
  return arg == "-v" || arg == "-version" || arg == "--version";
}

// "\n    name    synopsis" for each entry below `parent` ("" for the top), names aligned.
std::string List(std::string_view parent) {
  const std::string prefix = parent.empty() ? "" : base::StrCat(parent, " ");
  std::vector<std::pair<std::string_view, std::string_view>> rows;
  size_t width = 0;
  for (const CommandEntry& entry : Commands()) {
    if (entry.name.substr(0, prefix.size()) != prefix) continue;
    const std::string_view name = entry.name.substr(prefix.size());
    if (name.find(' ') != std::string_view::npos) continue;
    rows.emplace_back(name, entry.synopsis);
    width = std::max(width, name.size());
  }
  std::string list;
  for (const auto& [name, synopsis] : rows) {
    base::StrAppend(&list, "    ", name, std::string(width - name.size() + 4, ' '), synopsis, "\n");
  }
  return list;
}

std::string MainHelp() {
  return base::StrCat(
      "Usage: consul [--version] [--help] <command> [<args>]\n\nAvailable commands are:\n",
      List(""), "\n");
}

bool HasSubcommands(const CommandEntry& parent) {
  const std::string prefix = base::StrCat(parent.name, " ");
  return std::any_of(Commands().begin(), Commands().end(), [&prefix](const CommandEntry& entry) {
    return entry.name.substr(0, prefix.size()) == prefix;
  });
}

std::string HelpOf(const CommandEntry& entry, const Context& context) {
  std::string help = entry.make(context)->Help();
  if (HasSubcommands(entry)) base::StrAppend(&help, "\nSubcommands:\n", List(entry.name));
  return help;
}

// The entry with the most words that `args` from `start` on begin with; null for none.
const CommandEntry* FindCommand(const std::vector<std::string>& args, size_t start) {
  const CommandEntry* found = nullptr;
  std::string name;
  for (size_t i = start; i < std::min(args.size(), start + kCommandWordsMax); ++i) {
    name += (i == start ? "" : " ") + args[i];
    for (const CommandEntry& entry : Commands()) {
      if (entry.name == name) found = &entry;
    }
  }
  return found;
}

size_t WordsIn(std::string_view name) {
  return 1 + static_cast<size_t>(std::count(name.begin(), name.end(), ' '));
}

// Runs what `args` ask for; what it wrote may not all be out yet.
int Dispatch(const std::vector<std::string>& args, const Context& context) {
  size_t start = 0;
  while (start < args.size() && (IsHelpFlag(args[start]) || IsVersionFlag(args[start]))) ++start;
  const auto arguments_end = std::find(args.begin(), args.end(), "--");
  const bool help = std::any_of(args.begin(), arguments_end, IsHelpFlag);
  if (std::any_of(args.begin(), args.begin() + static_cast<ptrdiff_t>(start), IsVersionFlag)) {
    return MakeVersionCommand(context)->Run({});
  }
  const CommandEntry* entry = FindCommand(args, start);
  if (entry == nullptr) {
    const bool asked = help && start == args.size();
    (asked ? *context.out : *context.err) << MainHelp();
    return asked ? kExitOk : kExitUnknownCommand;
  }
  if (help) {
    *context.out << HelpOf(*entry, context);
    return kExitOk;
  }
  const size_t behind = start + WordsIn(entry->name);
  if (HasSubcommands(*entry)) {
    *context.err << HelpOf(*entry, context);
    return kExitError;
  }
  return entry->make(context)->Run(
      std::vector<std::string>(args.begin() + static_cast<ptrdiff_t>(behind), args.end()));
}

}  // namespace

const std::vector<CommandEntry>& Commands() {
  static const std::vector<CommandEntry> commands = {
      {"agent", "Runs a Consul agent", &MakeAgentCommand},
      {"event", "Tells a user event to all agents", &MakeEventCommand},
      {"force-leave", "Makes a failed member one that has left", &MakeForceLeaveCommand},
      {"gateway", "Serves HTTP and DNS for an agent elsewhere", &MakeGatewayCommand},
      {"info", "Shows what an agent says of itself, for operators", &MakeInfoCommand},
      {"join", "Makes an agent join the cluster of another", &MakeJoinCommand},
      {"keygen", "Makes a new encryption key", &MakeKeygenCommand},
      {"keyring", "Manages the keys that encrypt gossip", &MakeKeyringCommand},
      {"kv", "Works with the key-value store", &MakeKvCommand},
      {"kv delete", "Removes keys from the store", &MakeKvDeleteCommand},
      {"kv get", "Reads or lists keys of the store", &MakeKvGetCommand},
      {"kv put", "Sets a key of the store", &MakeKvPutCommand},
      {"leave", "Makes the agent leave the cluster and shut down", &MakeLeaveCommand},
      {"members", "Lists the members of the cluster", &MakeMembersCommand},
      {"monitor", "Shows the log of an agent as it is written", &MakeMonitorCommand},
      {"operator", "Tools for those who run a cluster", &MakeOperatorCommand},
      {"operator autopilot", "Shows and changes how servers are looked after",
       &MakeOperatorAutopilotCommand},
      {"operator autopilot get-config", "Shows what autopilot goes by",
       &MakeOperatorAutopilotGetConfigCommand},
      {"operator autopilot set-config", "Changes what autopilot goes by",
       &MakeOperatorAutopilotSetConfigCommand},
      {"operator autopilot state", "Shows how the servers are",
       &MakeOperatorAutopilotStateCommand},
      {"operator raft", "Shows and changes which servers take part in consensus",
       &MakeOperatorRaftCommand},
      {"operator raft list-peers", "Lists the servers that take part in consensus",
       &MakeOperatorRaftListPeersCommand},
      {"operator raft remove-peer", "Removes a server from them",
       &MakeOperatorRaftRemovePeerCommand},
      {"operator raft transfer-leader", "Makes another server the leader",
       &MakeOperatorRaftTransferLeaderCommand},
      {"reachability", "Tests which members an agent reaches", &MakeReachabilityCommand},
      {"rtt", "Estimates the round trip time between nodes", &MakeRttCommand},
      {"snapshot", "Saves, restores and inspects the state of servers", &MakeSnapshotCommand},
      {"snapshot inspect", "Shows what is in a saved state", &MakeSnapshotInspectCommand},
      {"snapshot restore", "Puts a saved state in place", &MakeSnapshotRestoreCommand},
      {"snapshot save", "Saves the state of the servers", &MakeSnapshotSaveCommand},
      {"version", "Prints the version of this program", &MakeVersionCommand},
  };
  return commands;
}

int Main(const std::vector<std::string>& args, const Context& context) {
  WatchedOutput output(context.out);
  Context watched = context;
  watched.out = output.stream();
  const int code = Dispatch(args, watched);
  const std::string problem = output.Finish();
  if (problem.empty()) return code;
  *context.err << problem << "\n";
  return code == kExitOk ? kExitError : code;
}

}  // namespace consul::cli
