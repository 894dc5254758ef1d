#include "services/agent/data_dir.h"

#include <filesystem>
#include <string_view>
#include <system_error>

#include "services/base/strings.h"

namespace consul::agent {
namespace {

namespace fs = std::filesystem;

// Where the reference's servers keep their log.
constexpr std::string_view kReferenceStore = "raft.db";
// Of `services/raft`: the log's segments, the snapshots, and what is written once there is a log.
constexpr std::string_view kSegment = ".log";
constexpr std::string_view kSnapshot = ".snapshot";
constexpr std::string_view kPeersInfo = "peers.info";

}  // namespace

absl::Status MakeDataDir(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!error) return absl::OkStatus();
  return absl::ErrnoToStatus(error.value(), base::StrCat("data_dir ", path));
}

absl::Status CheckServerData(const std::string& path) {
  bool reference = false;
  std::string trace;
  std::error_code error;
  // Where it cannot be read, whoever opens it says so.
  for (fs::directory_iterator each(path + "/raft", error), end; !error && each != end;
       each.increment(error)) {
    const std::string name = each->path().filename().string();
    if (name.ends_with(kSegment)) return absl::OkStatus();
    if (name == kReferenceStore) reference = true;
    if (name == kPeersInfo || name.ends_with(kSnapshot)) trace = name;
  }
  if (reference) {
    return absl::FailedPreconditionError(base::StrCat(
        "data_dir ", path, ": raft/", kReferenceStore,
        " is the data of another program, HashiCorp's Consul, and cannot be read. Start with an "
        "empty data_dir; that program's \"consul kv export\" and \"consul kv import\" bring the "
        "keys over"));
  }
  if (trace.empty()) return absl::OkStatus();
  return absl::DataLossError(
      base::StrCat("data_dir ", path, ": raft/", trace, " is there, and the log, raft/*", kSegment,
                   ", is not: its files are missing. If this server is to begin anew, remove ",
                   path, "/raft"));
}

}  // namespace consul::agent
