#include <cstdio>
#include <memory>
#include <ostream>

#include "cli/archive_file.h"
#include "cli/commands.h"
#include "cli/json_text.h"
#include "cli/table.h"
#include "services/archive/summary.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

using archive::Count;
using archive::Summary;
using base::StrCat;
using base::ToStd;

// "5028B", "4.9KB", "16MB".
std::string SizeText(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KB", "MB", "GB"};
  double size = static_cast<double>(bytes);
  size_t unit = 0;
  while (size >= 1024 && unit + 1 < std::size(kUnits)) {
    size /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof(text), unit == 0 ? "%.0f" : "%.1f", size);
  std::string_view number(text);
  if (number.ends_with(".0")) number.remove_suffix(2);
  return StrCat(number, kUnits[unit]);
}

uint64_t Total(const std::vector<Count>& counts) {
  uint64_t bytes = 0;
  for (const Count& count : counts) bytes += count.bytes;
  return bytes;
}

std::string CountTable(const std::string& title, const std::vector<Count>& counts) {
  std::vector<std::vector<std::string>> rows;
  rows.push_back({title, "Count", "Size"});
  rows.push_back({"----", "----", "----"});
  for (const Count& count : counts) {
    rows.push_back({count.name, std::to_string(count.count), SizeText(count.bytes)});
  }
  rows.push_back({"----", "----", "----"});
  rows.push_back({"Total", "", SizeText(Total(counts))});
  return Table(rows);
}

std::string CountsJson(const std::vector<Count>& counts) {
  std::string text;
  for (const Count& count : counts) {
    base::StrAppend(&text, text.empty() ? "" : ",", "\n        {\n            \"Name\": ",
                    JsonString(count.name), ",\n            \"Sum\": ", count.bytes,
                    ",\n            \"Count\": ", count.count, "\n        }");
  }
  return text.empty() ? "[]" : StrCat("[", text, "\n    ]");
}

class SnapshotInspectCommand final : public Command {
 public:
  explicit SnapshotInspectCommand(const Context& context) : Command(context) {
    flags().AddText("format", "string", &format_,
                    "How it is shown: pretty or json. The default is pretty.");
    flags().AddBool("kvdetails", &options_.keys,
                    "Shows how much there is under each beginning of keys. The default is false.");
    flags().AddUint("kvdepth", &options_.key_depth,
                    "With -kvdetails: how many parts of keys, between slashes, a beginning has. "
                    "The default is 2.");
    flags().AddText("kvfilter", "string", &options_.key_prefix,
                    "With -kvdetails: only keys that begin so.");
  }

 private:
  std::string Usage() const override { return "consul snapshot inspect [options] FILE"; }
  std::string Description() const override {
    return "  Shows what is in a file that consul snapshot save has written, after checking\n"
           "  that it is whole:\n\n"
           "      $ consul snapshot inspect backup.snap";
  }

  int Execute(const std::vector<std::string>& args) override {
    if (args.empty()) return Fail("Missing FILE argument");
    if (args.size() > 1) {
      return Fail(StrCat("Too many arguments (expected 1, got ", args.size(), ")"));
    }
    if (format_ != "pretty" && format_ != "json") {
      return Fail(StrCat("-format is to be pretty or json, not ", format_));
    }
    if (!options_.keys && (flags().WasSet("kvdepth") || flags().WasSet("kvfilter"))) {
      return Fail("-kvdepth and -kvfilter are of use with -kvdetails alone");
    }
    const auto source = OpenArchive(args[0]);
    if (!source.ok()) {
      return Fail(StrCat("Error opening snapshot file: ", ToStd(source.status().message())));
    }
    const auto summary = archive::Summarize(*source, options_);
    if (!summary.ok()) {
      return Fail(StrCat("Error verifying snapshot: ", ToStd(summary.status().message())));
    }
    out() << (format_ == "json" ? Json(*summary) : Pretty(*summary));
    return kExitOk;
  }

  std::string Pretty(const Summary& summary) const {
    std::string text;
    for (const auto& [name, value] :
         {std::pair<std::string_view, std::string>{"ID", summary.meta.id},
          {"Size", std::to_string(summary.meta.size)},
          {"Index", std::to_string(summary.meta.index)},
          {"Term", std::to_string(summary.meta.term)},
          {"Version", std::to_string(summary.meta.version)}}) {
      base::StrAppend(&text, name, std::string(13 - name.size(), ' '), value, "\n");
    }
    base::StrAppend(&text, "\n", CountTable("Type", summary.tables));
    if (options_.keys) base::StrAppend(&text, "\n", CountTable("Key Name", summary.keys));
    return text;
  }

  std::string Json(const Summary& summary) const {
    std::string text =
        StrCat("{\n    \"Meta\": {\n        \"ID\": ", JsonString(summary.meta.id),
               ",\n        \"Size\": ", summary.meta.size,
               ",\n        \"Index\": ", summary.meta.index,
               ",\n        \"Term\": ", summary.meta.term,
               ",\n        \"Version\": ", summary.meta.version,
               "\n    },\n    \"Stats\": ", CountsJson(summary.tables));
    if (options_.keys) base::StrAppend(&text, ",\n    \"StatsKV\": ", CountsJson(summary.keys));
    base::StrAppend(&text, ",\n    \"TotalSize\": ", Total(summary.tables));
    if (options_.keys) base::StrAppend(&text, ",\n    \"TotalSizeKV\": ", Total(summary.keys));
    return text + "\n}\n";
  }

  std::string format_ = "pretty";
  archive::SummaryOptions options_;
};

}  // namespace

std::unique_ptr<Command> MakeSnapshotInspectCommand(const Context& context) {
  return std::make_unique<SnapshotInspectCommand>(context);
}

}  // namespace consul::cli
