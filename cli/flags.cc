#include "cli/flags.h"

#include <charconv>
#include <optional>
#include <utility>

#include "services/base/check.h"
#include "services/base/bool_text.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

constexpr size_t kColumns = 80;
constexpr size_t kHelpIndent = 5;

template <typename Number>
absl::StatusOr<Number> ParseNumber(std::string_view text) {
  std::string_view digits = text;
  const bool negative = !digits.empty() && digits.front() == '-';
  if (!digits.empty() && (digits.front() == '-' || digits.front() == '+')) digits.remove_prefix(1);
  int base = 10;
  if (digits.size() > 1 && digits[0] == '0') {
    const char kind = static_cast<char>(digits[1] | 0x20);
    base = kind == 'x' ? 16 : kind == 'b' ? 2 : 8;
    digits.remove_prefix(kind == 'x' || kind == 'b' || kind == 'o' ? 2 : 1);
  }
  // A second sign must not pass, nor a sign where there is none to have.
  if (digits.empty() || digits.front() == '-' || digits.front() == '+' ||
      (std::is_unsigned_v<Number> && digits.size() != text.size() && base == 10)) {
    return absl::InvalidArgumentError("parse error");
  }
  const std::string plain = (negative ? "-" : "") + std::string(digits);
  Number number = 0;
  const auto [end, error] =
      std::from_chars(plain.data(), plain.data() + plain.size(), number, base);
  if (error == std::errc::result_out_of_range) {
    return absl::InvalidArgumentError("value out of range");
  }
  if (error != std::errc() || end != plain.data() + plain.size()) {
    return absl::InvalidArgumentError("parse error");
  }
  return number;
}

}  // namespace

absl::StatusOr<uint64_t> ParseUint(std::string_view text) { return ParseNumber<uint64_t>(text); }
absl::StatusOr<int64_t> ParseInt(std::string_view text) { return ParseNumber<int64_t>(text); }

void FlagSet::Add(FlagGroup group, std::string name, std::string placeholder, std::string help,
                  Setter set) {
  Flag flag{group, false, std::move(placeholder), std::move(help), std::move(set)};
  CONSUL_CHECK(flags_.emplace(std::move(name), std::move(flag)).second);
}

void FlagSet::AddBool(FlagGroup group, std::string name, std::string help, Setter set) {
  Flag flag{group, true, "", std::move(help), std::move(set)};
  CONSUL_CHECK(flags_.emplace(std::move(name), std::move(flag)).second);
}

void FlagSet::AddBool(std::string name, bool* out, std::string help) {
  AddBool(FlagGroup::kCommand, std::move(name), std::move(help), [out](std::string_view text) {
    *out = text == "true";
    return absl::OkStatus();
  });
}

void FlagSet::AddText(std::string name, std::string placeholder, std::string* out,
                      std::string help) {
  Add(FlagGroup::kCommand, std::move(name), std::move(placeholder), std::move(help),
      [out](std::string_view text) {
        *out = std::string(text);
        return absl::OkStatus();
      });
}

void FlagSet::AddUint(std::string name, uint64_t* out, std::string help) {
  Add(FlagGroup::kCommand, std::move(name), "uint", std::move(help), [out](std::string_view text) {
    const absl::StatusOr<uint64_t> number = ParseUint(text);
    if (number.ok()) *out = *number;
    return number.status();
  });
}

absl::StatusOr<std::vector<std::string>> FlagSet::Parse(const std::vector<std::string>& args) {
  size_t index = 0;
  while (index < args.size()) {
    const std::string& arg = args[index];
    if (arg.size() < 2 || arg[0] != '-') break;
    if (arg == "--") {
      ++index;
      break;
    }
    if (absl::Status status = ParseOne(args, &index); !status.ok()) return status;
  }
  return std::vector<std::string>(args.begin() + static_cast<ptrdiff_t>(index), args.end());
}

absl::Status FlagSet::ParseOne(const std::vector<std::string>& args, size_t* index) {
  const std::string& arg = args[(*index)++];
  const std::string_view body = std::string_view(arg).substr(arg[1] == '-' ? 2 : 1);
  if (body.front() == '-' || body.front() == '=') {
    return absl::InvalidArgumentError(base::StrCat("bad flag syntax: ", arg));
  }
  const size_t equals = body.find('=');
  const std::string_view name = body.substr(0, equals);
  const auto it = flags_.find(name);
  if (it == flags_.end()) {
    return absl::InvalidArgumentError(base::StrCat("flag provided but not defined: -", name));
  }
  Flag& flag = it->second;
  std::string value;
  if (equals != std::string_view::npos) {
    value = std::string(body.substr(equals + 1));
  } else if (flag.is_bool) {
    value = "true";
  } else if (*index < args.size()) {
    value = args[(*index)++];
  } else {
    return absl::InvalidArgumentError(base::StrCat("flag needs an argument: -", name));
  }
  if (flag.is_bool) {
    const std::optional<bool> parsed = base::ParseBool(value);
    if (!parsed.has_value()) {
      return absl::InvalidArgumentError(
          base::StrCat("invalid boolean value \"", value, "\" for -", name, ": parse error"));
    }
    value = *parsed ? "true" : "false";
  }
  if (const absl::Status status = flag.set(value); !status.ok()) {
    return absl::InvalidArgumentError(base::StrCat("invalid value \"", value, "\" for flag -", name,
                                                   ": ", base::ToStd(status.message())));
  }
  flag.was_set = true;
  return absl::OkStatus();
}

bool FlagSet::WasSet(std::string_view name) const {
  const auto it = flags_.find(name);
  return it != flags_.end() && it->second.was_set;
}

std::string FlagSet::Help() const {
  std::string help = GroupHelp(FlagGroup::kApi);
  const std::string command = GroupHelp(FlagGroup::kCommand);
  if (!help.empty() && !command.empty()) help += "\n";
  return help + command;
}

std::string FlagSet::GroupHelp(FlagGroup group) const {
  std::string help;
  for (const auto& [name, flag] : flags_) {
    if (flag.group != group) continue;
    base::StrAppend(&help, "\n  -", name);
    if (!flag.placeholder.empty()) base::StrAppend(&help, "=<", flag.placeholder, ">");
    base::StrAppend(&help, "\n", Wrap(flag.help, kHelpIndent, kColumns));
  }
  if (help.empty()) return "";
  return base::StrCat(group == FlagGroup::kApi ? "API" : "Command", " Options\n", help);
}

std::string Wrap(std::string_view text, size_t indent, size_t columns) {
  std::string out;
  std::string line;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (!line.empty() && indent + line.size() + 1 + word.size() > columns) {
      base::StrAppend(&out, std::string(indent, ' '), line, "\n");
      line.clear();
    }
    if (!line.empty()) line.push_back(' ');
    line.append(word);
  }
  if (!line.empty()) base::StrAppend(&out, std::string(indent, ' '), line, "\n");
  return out;
}

}  // namespace consul::cli
