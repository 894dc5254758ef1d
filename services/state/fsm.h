// services/state/fsm.h
//
// The state machine: applies the commands of the log to the tables, in order, and makes a version
// of each batch. It is the only writer of replicated state. A pure core: no thread, clock, lock or
// chance; time is the highest `proposed_at` of the commands seen. The same bytes give the same
// tables on every server, so everyone applies the parsed bytes, the leader included.
//
// The rules that users see stand in testdata/*.txt, each as a test.
//
// Threads: one, the owner of the tables.
#ifndef CONSUL_SERVICES_STATE_FSM_H_
#define CONSUL_SERVICES_STATE_FSM_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "consul/errors/v1/errors.pb.h"
#include "consul/internal/raft/v1/command.pb.h"
#include "services/state/staged_restore.h"
#include "services/state/tables.h"
#include "services/state/version.h"
#include "services/state/watch_set.h"

namespace consul::state {

// One entry of the log as the state machine sees it.
struct FsmEntry {
  uint64_t index = 0;
  // An internal.raft.v1.Command; `has_command` is false for entries of other kinds, which change
  // nothing but the index.
  bool has_command = false;
  std::string_view command;
};

// What applying one entry gave, for who proposed it.
struct CommandResult {
  // The log index of the entry.
  uint64_t index = 0;
  // False: `cas` did not match, or `reason` says why not; then nothing changed.
  bool applied = true;
  // Why it was refused; REASON_UNSPECIFIED when it was not, or by `cas`.
  errors::v1::Reason reason = errors::v1::REASON_UNSPECIFIED;
  // The text and the subject of the refusal.
  std::string text;
  std::string subject;
};

class Fsm {
 public:
  // The newest kind of command that this state machine knows. Nobody proposes what is newer than
  // Tables::cluster_version.
  static constexpr uint32_t kVersion = 4;

  struct Batch {
    std::unique_ptr<const Version> version;
    // What changed, for VersionSource::Publish.
    SlotList touched;
    // One for each entry.
    std::vector<CommandResult> results;
    // A restore has put other tables in the place of these.
    bool restored = false;
  };

  // Starts from nothing, or from the tables of a snapshot.
  Fsm() = default;
  explicit Fsm(Tables tables, StagedRestore staged = {})
      : tables_(std::move(tables)), staged_(std::move(staged)) {}
  Fsm(const Fsm&) = delete;
  Fsm& operator=(const Fsm&) = delete;

  // Applies `entries` and fills `batch`, which arrives empty. A refused command is a result. An
  // error is for the process to stop with, naming the entry, before another server and this one
  // part: FAILED_PRECONDITION for a command that is too new or unknown, DATA_LOSS for bytes that do
  // not parse.
  // REQUIRES: indexes rise, and the first is above applied_index().
  absl::Status ApplyBatch(std::span<const FsmEntry> entries, Batch* batch);

  uint64_t applied_index() const { return tables_.applied_index; }
  const Tables& tables() const { return tables_; }
  // What goes into a snapshot beside the version.
  const StagedRestore& staged() const { return staged_; }
  // A version of the tables as they are; for the start.
  std::unique_ptr<const Version> MakeVersion() const {
    return std::make_unique<const Version>(tables_);
  }

 private:
  using Command = internal::raft::v1::Command;

  absl::Status Apply(const FsmEntry& entry, CommandResult* result);
  void Apply(internal::raft::v1::KvPut* put, CommandResult* result);
  void Apply(const internal::raft::v1::KvDelete& del, CommandResult* result);
  void Apply(const internal::raft::v1::KvDeleteTree& del);
  void Apply(const internal::raft::v1::CatalogRegister& registration, CommandResult* result);
  void Apply(const internal::raft::v1::CatalogDeregister& deregistration);
  void Apply(const internal::raft::v1::UpdateCoordinate& update, CommandResult* result);
  void Apply(const internal::raft::v1::CollectTombstones& collect);
  void Apply(const internal::raft::v1::SetClusterId& set);
  void Apply(const internal::raft::v1::SetClusterVersion& set);
  void Apply(const internal::raft::v1::SetAutopilotConfiguration& set, CommandResult* result);
  void Apply(internal::raft::v1::RestoreChunk* chunk, CommandResult* result);
  void Apply(const internal::raft::v1::RestoreCommit& commit, CommandResult* result);
  void Apply(const internal::raft::v1::RestoreDrop& drop, CommandResult* result);

  // Forgets that a generation has left.
  void TakeBack(const std::string& generation);
  // Each puts a row where it differs from the one that is there.
  void PutNode(const catalog::v1::Node& node, const catalog::v1::Node* existing);
  void PutService(const catalog::v1::Service& service);
  void PutCheck(const health::v1::HealthCheck& check);
  void EraseNode(std::string_view node);
  void EraseService(std::string_view node, std::string_view service_id);

  Tables tables_;
  StagedRestore staged_;
  Command command_;  // of the entry being applied, kept for its memory
  uint64_t index_ = 0;
  SlotList* touched_ = nullptr;
  bool restored_ = false;  // by the batch
};

}  // namespace consul::state

#endif  // CONSUL_SERVICES_STATE_FSM_H_
