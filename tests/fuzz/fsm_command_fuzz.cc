// Goal: no bytes in a log entry crash the state machine. It applies them, refuses the command with
// a reason, or says that it cannot go on; and two of them that are given the same bytes are the
// same. The input is cut into entries, each behind its length in one byte.
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "services/state/fsm.h"
#include "services/state/snapshot.h"
#include "services/state/version.h"

namespace {

using consul::state::Fsm;
using consul::state::FsmEntry;

void Require(bool fact) {
  if (!fact) std::abort();
}

// Or every input of bad UTF-8 is a line.
[[maybe_unused]] const auto kQuiet = google::protobuf::SetLogHandler(nullptr);

// What a snapshot of the tables would hold.
std::string Contents(const Fsm& fsm) {
  std::string bytes;
  const absl::Status status = consul::state::WriteSnapshot(
      *fsm.MakeVersion(), fsm.staged(), [&bytes](std::string_view piece) {
        bytes += piece;
        return absl::OkStatus();
      });
  Require(status.ok());
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::vector<FsmEntry> entries;
  while (!rest.empty()) {
    const auto length = static_cast<uint8_t>(rest.front());
    rest.remove_prefix(1);
    FsmEntry& entry = entries.emplace_back();
    entry.index = 10 + entries.size();
    entry.has_command = length != 0;
    entry.command = rest.substr(0, length);
    rest.remove_prefix(entry.command.size());
  }
  Fsm together;
  Fsm one_by_one;
  Fsm::Batch batch;
  const absl::Status status = together.ApplyBatch(entries, &batch);
  absl::Status status_one;
  for (size_t i = 0; i < entries.size() && status_one.ok(); ++i) {
    Fsm::Batch single;
    status_one = one_by_one.ApplyBatch({&entries[i], 1}, &single);
    if (!status_one.ok()) break;
    Require(single.results.size() == 1 && single.results[0].index == entries[i].index);
    if (status.ok()) {
      Require(single.results[0].applied == batch.results[i].applied);
      Require(single.results[0].reason == batch.results[i].reason);
    }
  }
  Require(status.code() == status_one.code());
  if (!status.ok()) {
    Require(absl::IsDataLoss(status) || absl::IsFailedPrecondition(status));
    return 0;
  }
  Require(batch.version != nullptr);
  Require(Contents(together) == Contents(one_by_one));
  return 0;
}
