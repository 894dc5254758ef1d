// cli/flags.h
//
// Flags as Go programs take them: -x, --x, -x=v and -x v, in front of the arguments; "--" or the
// first argument ends them. Also the page of help that lists them.
//
// Threads: one; a FlagSet belongs to its command.
#ifndef CONSUL_CLI_FLAGS_H_
#define CONSUL_CLI_FLAGS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace consul::cli {

// Where a flag stands in the help.
enum class FlagGroup { kApi, kCommand };

class FlagSet {
 public:
  // Takes the text of one occurrence. An error's message is the reason that stands behind
  // `invalid value "x" for flag -name: `.
  using Setter = std::function<absl::Status(std::string_view text)>;

  // `placeholder` stands in the help: -name=<placeholder>. `help` is one paragraph.
  // REQUIRES: no flag of that name.
  void Add(FlagGroup group, std::string name, std::string placeholder, std::string help,
           Setter set);
  // A flag that may stand alone for true. Its setter gets "true" or "false".
  void AddBool(FlagGroup group, std::string name, std::string help, Setter set);

  // The same with a variable that is overwritten; lists append. Numbers may be decimal, 0x, 0o or
  // 0.
  void AddBool(std::string name, bool* out, std::string help);
  void AddText(std::string name, std::string placeholder, std::string* out, std::string help);
  void AddUint(std::string name, uint64_t* out, std::string help);

  // Sets the flags and returns the arguments behind them. INVALID_ARGUMENT with Go's text:
  //   flag provided but not defined: -zz        flag needs an argument: -x
  //   invalid value "v" for flag -x: reason     bad flag syntax: -=x
  absl::StatusOr<std::vector<std::string>> Parse(const std::vector<std::string>& args);

  // True when Parse met the flag.
  bool WasSet(std::string_view name) const;

  // The groups that have flags, each with its title, sorted, at most 80 columns wide:
  //   "Command Options\n\n  -x=<value>\n     What it does.\n"; empty when there are none.
  std::string Help() const;

 private:
  struct Flag {
    FlagGroup group;
    bool is_bool;
    std::string placeholder;
    std::string help;
    Setter set;
    bool was_set = false;
  };

  // Sets the flag at args[*index] and moves *index behind it and its value.
  absl::Status ParseOne(const std::vector<std::string>& args, size_t* index);
  std::string GroupHelp(FlagGroup group) const;

  std::map<std::string, Flag, std::less<>> flags_;
};

// Setters' shared parts: unsigned numbers as FlagSet reads them, and signed ones.
absl::StatusOr<uint64_t> ParseUint(std::string_view text);
absl::StatusOr<int64_t> ParseInt(std::string_view text);

// `text` broken at spaces into lines of at most `columns`, each with `indent` spaces before it.
std::string Wrap(std::string_view text, size_t indent, size_t columns);

}  // namespace consul::cli

#endif  // CONSUL_CLI_FLAGS_H_
