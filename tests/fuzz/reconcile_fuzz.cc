// Goal: whatever members say of themselves, which comes from other machines, the leader makes
// commands of it that every state machine can apply, or names the conflict. The input is a list of
// members as a message.
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "services/server/reconcile.h"
#include "services/state/fsm.h"
#include "services/state/version.h"

namespace {

using consul::server::Corrections;
using consul::state::Fsm;
using consul::state::FsmEntry;

void Require(bool fact) {
  if (!fact) std::abort();
}

// Or every input of bad UTF-8 is a line.
[[maybe_unused]] const auto kQuiet = google::protobuf::SetLogHandler(nullptr);

consul::state::CommandResult Apply(const consul::server::Correction& correction, uint64_t index,
                                   Fsm* fsm) {
  const std::string bytes = correction.command.SerializeAsString();
  const FsmEntry entry{index, true, bytes};
  Fsm::Batch batch;
  Require(fsm->ApplyBatch({&entry, 1}, &batch).ok());
  return batch.results[0];
}

Corrections Correct(const consul::agent::v1::ListMembersResponse& members, const Fsm& fsm) {
  return consul::server::Reconcile(members, "dc1", *fsm.MakeVersion());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  consul::agent::v1::ListMembersResponse members;
  if (!members.ParseFromArray(data, static_cast<int>(size))) return 0;
  Fsm fsm;
  uint64_t index = 0;
  // Each round writes what the one before left to be done.
  for (int round = 0; round < 5; ++round) {
    const Corrections corrections = Correct(members, fsm);
    for (const auto& conflict : corrections.conflicts) Require(!conflict.text.empty());
    if (corrections.writes.empty()) break;
    // Later ones may be in the way of each other: two members of one name.
    bool first = true;
    for (const auto& write : corrections.writes) {
      const bool applied = Apply(write, ++index, &fsm).applied;
      Require(applied || !first);
      first = false;
    }
  }
  // Once the pool has forgotten everybody, so has the catalog.
  const consul::agent::v1::ListMembersResponse nobody;
  for (const std::string& name : consul::server::AbsentNodes(nobody, *fsm.MakeVersion())) {
    const auto forgotten =
        consul::server::ForgetNode(name, "generation", "reaped", *fsm.MakeVersion());
    Require(forgotten.has_value() && Apply(*forgotten, ++index, &fsm).applied);
  }
  Require(consul::server::AbsentNodes(nobody, *fsm.MakeVersion()).empty());
  return 0;
}
