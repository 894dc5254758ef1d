#include "services/agent/config/load.h"

#include <errno.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "services/agent/config/build.h"
#include "services/agent/config/merge.h"
#include "services/agent/config/parse.h"
#include "services/agent/config/schema.h"
#include "services/base/strings.h"

namespace consul::agent::config {
namespace {

enum class Format { kJson, kHcl };

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

std::optional<Format> FormatOf(std::string_view path, std::string_view asked) {
  if (asked == "json" || (asked.empty() && EndsWith(path, ".json"))) return Format::kJson;
  if (asked == "hcl" || (asked.empty() && EndsWith(path, ".hcl"))) return Format::kHcl;
  return std::nullopt;
}

absl::Status OpenFailed(const std::string& path, int error) {
  return absl::ErrnoToStatus(error, base::StrCat("config: Open failed on ", path));
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return OpenFailed(path, errno);
  std::string text(kTextBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return OpenFailed(path, EIO);
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kTextBytesMax) {
    return absl::InvalidArgumentError(base::StrCat(
        "config: ", path, " is larger than the limit of ", kTextBytesMax, " bytes"));
  }
  return text;
}

absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path,
                                                       std::string_view format) {
  std::vector<std::string> files;
  std::error_code error;
  for (auto it = std::filesystem::directory_iterator(path, error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    const std::string name = it->path().string();
    if (!FormatOf(name, format).has_value() || it->is_directory(error)) continue;
    files.push_back(name);
    if (files.size() > kDirectoryFilesMax) {
      return absl::InvalidArgumentError(base::StrCat("config: ", path, " holds more than ",
                                                     kDirectoryFilesMax, " files"));
    }
  }
  if (error) return OpenFailed(path, error.value());
  std::sort(files.begin(), files.end());
  return files;
}

class Loader {
 public:
  explicit Loader(std::string_view format) : format_(format) {}

  absl::Status AddPath(const std::string& path) {
    struct stat found;
    if (stat(path.c_str(), &found) != 0) return OpenFailed(path, errno);
    if (!S_ISDIR(found.st_mode)) return AddFile(path);
    const auto files = ListDirectory(path, format_);
    if (!files.ok()) return files.status();
    for (const std::string& file : *files) {
      if (absl::Status status = AddFile(file); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status AddText(std::string_view text, const std::string& source, Format format) {
    absl::StatusOr<Value> tree =
        format == Format::kJson ? ParseJson(text, source) : ParseHcl(text, source);
    if (!tree.ok()) {
      return absl::InvalidArgumentError(
          base::StrCat("failed to parse ", base::ToStd(tree.status().message())));
    }
    return AddTree(source, *std::move(tree));
  }

  absl::Status AddTree(const std::string& source, Value tree) {
    if (absl::Status status = CheckAgainstSchema(source, &tree, &warnings_); !status.ok()) {
      return status;
    }
    Merge(&merged_, tree);
    return absl::OkStatus();
  }

  absl::StatusOr<Loaded> Finish(const Machine& machine) {
    absl::StatusOr<Config> config = Build(merged_, machine, &warnings_);
    if (!config.ok()) return config.status();
    return Loaded{*std::move(config), std::move(warnings_)};
  }

 private:
  absl::Status AddFile(const std::string& path) {
    const std::optional<Format> format = FormatOf(path, format_);
    if (!format.has_value()) {
      return absl::InvalidArgumentError(
          base::StrCat("config: ", path, " ends in neither .json nor .hcl; say which by "
                                         "-config-format"));
    }
    const absl::StatusOr<std::string> text = ReadFile(path);
    if (!text.ok()) return text.status();
    return AddText(*text, path, *format);
  }

  const std::string_view format_;
  std::vector<std::string> warnings_;
  Value merged_;
};

}  // namespace

absl::StatusOr<Loaded> Load(const Sources& sources, const Machine& machine) {
  if (!sources.format.empty() && sources.format != "json" && sources.format != "hcl") {
    return absl::InvalidArgumentError(base::StrCat(
        "-config-format must be either 'hcl' or 'json', got \"", sources.format, "\""));
  }
  Loader loader(sources.format);
  for (const std::string& path : sources.paths) {
    if (absl::Status status = loader.AddPath(path); !status.ok()) return status;
  }
  if (absl::Status status = loader.AddTree("", sources.flags); !status.ok()) return status;
  int number = 0;
  for (const std::string& fragment : sources.fragments) {
    const std::string source = base::StrCat("flag -hcl #", ++number);
    if (absl::Status status = loader.AddText(fragment, source, Format::kHcl); !status.ok()) {
      return status;
    }
  }
  return loader.Finish(machine);
}

}  // namespace consul::agent::config
