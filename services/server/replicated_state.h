// services/server/replicated_state.h
//
// The state machine behind raft: parses entries into commands, applies them in batches, publishes a
// version a batch, wakes who waits.
//
// Threads: as raft::StateMachine says; source() from any.
#ifndef CONSUL_SERVICES_SERVER_REPLICATED_STATE_H_
#define CONSUL_SERVICES_SERVER_REPLICATED_STATE_H_

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "services/raft/state_machine.h"
#include "services/state/fsm.h"
#include "services/state/version_source.h"

namespace consul::server {

class ReplicatedState : public raft::StateMachine {
 public:
  // `fatal` is told what this server cannot apply, and does not return: to go on would part it from
  // the other servers.
  // `restored` is told, on the apply thread, that an archive's tables have taken the place of those
  // that were there, by the entry at `index`; it must be short.
  explicit ReplicatedState(std::function<void(const absl::Status&)> fatal,
                           std::function<void(uint64_t index)> restored = [](uint64_t) {});

  void ApplyBatch(std::span<const raft::Entry> entries,
                  std::vector<raft::ApplyResult>* results) override;
  std::unique_ptr<raft::FrozenState> Freeze() override;
  absl::Status Restore(raft::Index index, const raft::SnapshotSource& source) override;
  // Versions that readers have let go of since the last write are freed.
  void Idle() override { source_.FreeRetired(); }

  state::VersionSource& source() { return source_; }

 private:
  const std::function<void(const absl::Status&)> fatal_;
  const std::function<void(uint64_t)> restored_;
  std::unique_ptr<state::Fsm> fsm_;
  state::VersionSource source_;
  std::vector<state::FsmEntry> entries_;  // of the batch; kept for its memory
};

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_REPLICATED_STATE_H_
