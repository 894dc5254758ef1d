#include "services/server/replicated_state.h"

#include <memory>
#include <utility>

#include "services/base/strings.h"
#include "services/state/snapshot.h"
#include "services/state/version.h"

namespace consul::server {
namespace {

class FrozenVersion final : public raft::FrozenState {
 public:
  FrozenVersion(std::shared_ptr<const state::Versioned> version, state::StagedRestore staged)
      : version_(std::move(version)), staged_(std::move(staged)) {}

  absl::Status Write(const raft::SnapshotSink& sink) const override {
    return state::WriteSnapshot(static_cast<const state::Version&>(*version_), staged_, sink);
  }

 private:
  const std::shared_ptr<const state::Versioned> version_;
  const state::StagedRestore staged_;
};

}  // namespace

ReplicatedState::ReplicatedState(std::function<void(const absl::Status&)> fatal,
                                 std::function<void(uint64_t)> restored)
    : fatal_(std::move(fatal)),
      restored_(std::move(restored)),
      fsm_(std::make_unique<state::Fsm>()),
      source_(fsm_->MakeVersion()) {}

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
  if (absl::Status status = fsm_->ApplyBatch(entries_, &batch); !status.ok()) fatal_(status);
  for (const auto& waiter : source_.Publish(std::move(batch.version), batch.touched)) {
    waiter->Fire();
  }
  if (batch.restored) restored_(fsm_->tables().restored_index);
  source_.FreeRetired();
  if (results == nullptr) return;
  // One allocation a batch: each result shares the batch's.
  const auto all =
      std::make_shared<const std::vector<state::CommandResult>>(std::move(batch.results));
  for (const state::CommandResult& result : *all) {
    results->push_back(raft::ApplyResult(all, &result));
  }
}

std::unique_ptr<raft::FrozenState> ReplicatedState::Freeze() {
  return std::make_unique<FrozenVersion>(source_.Load(), fsm_->staged());
}

absl::Status ReplicatedState::Restore(raft::Index index, const raft::SnapshotSource& source) {
  state::SnapshotReader reader;
  for (;;) {
    const auto bytes = source();
    if (!bytes.ok()) return bytes.status();
    if (bytes->empty()) break;
    if (absl::Status status = reader.Add(*bytes); !status.ok()) return status;
  }
  absl::StatusOr<state::Tables> tables = reader.Finish();
  if (!tables.ok()) return tables.status();
  if (tables->applied_index != index.value) {
    return absl::DataLossError(base::StrCat("the state is that at index ", tables->applied_index,
                                            ", not at ", index.value));
  }
  if (tables->cluster_version > state::Fsm::kVersion) {
    return absl::FailedPreconditionError(base::StrCat(
        "the state is of a cluster of version ", tables->cluster_version,
        "; this program knows versions up to ", state::Fsm::kVersion));
  }
  fsm_ = std::make_unique<state::Fsm>(*std::move(tables), reader.TakeStaged());
  for (const auto& waiter : source_.Replace(fsm_->MakeVersion())) waiter->Fire();
  source_.FreeRetired();
  return absl::OkStatus();
}

}  // namespace consul::server
