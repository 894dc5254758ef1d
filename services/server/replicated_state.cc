#include "services/server/replicated_state.h"

#include <memory>
#include <utility>

namespace consul::server {

ReplicatedState::ReplicatedState(std::function<void(const absl::Status&)> fatal)
    : fatal_(std::move(fatal)), source_(fsm_.MakeVersion()) {}

void ReplicatedState::ApplyBatch(std::span<const raft::Entry> entries,
                                 std::vector<raft::ApplyResult>* results) {
  entries_.clear();
  for (const raft::Entry& entry : entries) {
    state::FsmEntry& parsed = entries_.emplace_back();
    parsed.index = entry.index.value;
    parsed.has_command = entry.kind == raft::EntryKind::kCommand;
    if (parsed.has_command && entry.payload != nullptr) parsed.command = *entry.payload;
  }
  state::Fsm::Batch batch;
  if (absl::Status status = fsm_.ApplyBatch(entries_, &batch); !status.ok()) fatal_(status);
  for (const auto& waiter : source_.Publish(std::move(batch.version), batch.touched)) {
    waiter->Fire();
  }
  source_.FreeRetired();
  if (results == nullptr) return;
  // One allocation a batch: each result shares the batch's.
  const auto all =
      std::make_shared<const std::vector<state::CommandResult>>(std::move(batch.results));
  for (const state::CommandResult& result : *all) {
    results->push_back(raft::ApplyResult(all, &result));
  }
}

}  // namespace consul::server
