#include "tests/sim/cluster/sim_disk.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"

namespace consul::sim {
namespace {

using base::StrCat;
using raft::Index;

constexpr std::string_view kDirectory = "raft";
constexpr Duration kFullDiskRetry = std::chrono::milliseconds(300);

}  // namespace

SimDisk::SimDisk(SimWorld* world, const SimOptions& options, uint64_t seed, Hooks hooks)
    : world_(world),
      options_(options),
      hooks_(std::move(hooks)),
      files_(seed),
      salt_seed_(seed * 1'000'003) {}

// ---- The process.

absl::StatusOr<raft::Restart> SimDisk::Open(raft::StateMachine* state_machine) {
  auto log = raft::LogStore::Open({.file_system = &files_,
                                   .directory = std::string(kDirectory),
                                   .segment_bytes_min = options_.segment_bytes_min,
                                   .segment_bytes_max = options_.segment_bytes_max,
                                   .prepare_ahead = false,
                                   .salt_seed = ++salt_seed_});
  if (!log.ok()) return log.status();
  log_ = *std::move(log);
  snapshots_ = std::make_unique<raft::SnapshotFiles>(&files_, std::string(kDirectory),
                                                     ++salt_seed_);
  auto snapshot = snapshots_->Load(
      log_->first(), [state_machine](Index index, const raft::SnapshotSource& source) {
        return state_machine->Restore(index, source);
      });
  if (!snapshot.ok()) return snapshot.status();
  raft::Restart restart = log_->TakeRestart();
  // As a real start: it would have forgotten votes.
  if (restart.hard_state.term < snapshot->term) {
    return absl::DataLossError(StrCat("the log is of an older term than snapshot ",
                                      snapshot->index.value));
  }
  restart.snapshot = *std::move(snapshot);

  raft::DurableState found;
  found.hard_state = restart.hard_state;
  found.snapshot = restart.snapshot;
  found.log_first = restart.log_first;
  auto entries = log_->Read(restart.log_first, restart.log_last, UINT64_MAX);
  if (!entries.ok()) return entries.status();
  found.entries = *std::move(entries);
  std::string forgotten = Compare(durable_, found);
  if (!forgotten.empty() && perhaps_durable_.has_value() &&
      Compare(*perhaps_durable_, found).empty()) {
    forgotten.clear();
  }
  if (!forgotten.empty()) hooks_.broken(StrCat("the disk forgot: ", forgotten));
  durable_ = std::move(found);
  perhaps_durable_.reset();
  failed_ = false;
  return restart;
}

// Empty when `found` is what was durable, but for what was dropped at its begin since.
std::string SimDisk::Compare(const raft::DurableState& expected,
                             const raft::DurableState& found) const {
  if (found.hard_state != expected.hard_state) {
    return StrCat("term ", expected.hard_state.term.value, " and vote, has term ",
                  found.hard_state.term.value);
  }
  if (found.snapshot.index < expected.snapshot.index) {
    return StrCat("snapshot ", expected.snapshot.index.value);
  }
  if (found.log_last() != expected.log_last()) {
    return StrCat("the last entry was ", expected.log_last().value, " and is ",
                  found.log_last().value);
  }
  for (Index at = std::max(found.log_first, expected.log_first); at <= found.log_last();
       at = at.Next()) {
    if (found.TermAt(at) != expected.TermAt(at)) return StrCat("entry ", at.value);
  }
  return "";
}

void SimDisk::Stop(base::Unsynced unsynced) {
  if (!writing_.empty()) {
    perhaps_durable_ = durable_;
    for (const raft::Persist& persist : writing_) perhaps_durable_->Write(persist);
  }
  if (!failed_ && !writing_.empty() && world_->Chance(0.7)) {
    files_.CrashAtOperation(world_->Below(3));
    log_->Append(writing_).IgnoreError();
  } else if (!failed_ && frozen_ != nullptr && world_->Chance(0.7)) {
    files_.CrashAtOperation(world_->Below(10));
    const std::atomic<bool> cancelled{false};
    snapshots_->Write(frozen_at_, *frozen_, cancelled).status().IgnoreError();
  }
  files_.Crash();
  staged_.reset();
  whole_ = restoring_ = false;
  log_.reset();
  snapshots_.reset();
  waiting_.clear();
  writing_.clear();
  frozen_.reset();
  files_.Restart(unsynced);
}

void SimDisk::Fail(const absl::Status& why) {
  if (failed_) return;
  failed_ = true;
  hooks_.fatal(why);
}

void SimDisk::SetFull(bool full) {
  files_.SetCapacity(full ? std::optional<uint64_t>(files_.size_total() + world_->Below(6000))
                          : std::nullopt);
}

// ---- Writing.

absl::Status SimDisk::Reserve(uint64_t records_bytes) {
  const absl::Status status = log_->Reserve(records_bytes);
  // Ends the process by itself.
  if (const auto fatal = files_.fatal(); fatal.has_value()) Fail(*fatal);
  return status;
}

void SimDisk::Persist(raft::Persist persist) {
  waiting_.push_back(std::move(persist));
  if (writing_.empty()) StartWriting();
}

void SimDisk::StartWriting() {
  if (waiting_.empty() || failed_) return;
  writing_ = std::exchange(waiting_, {});
  hooks_.after(Latency(), [this] { FinishWriting(); });
}

void SimDisk::FinishWriting() {
  if (failed_) return;
  const absl::Status status = log_->Append(writing_);
  if (status.code() == absl::StatusCode::kResourceExhausted) {
    if (world_->tracing()) world_->Trace("a disk is full");
    hooks_.after(kFullDiskRetry, [this] { FinishWriting(); });
    return;
  }
  if (!status.ok()) return Fail(status);
  const std::vector<raft::Persist> written = std::exchange(writing_, {});
  for (const raft::Persist& persist : written) durable_.Write(persist);
  StartWriting();
  hooks_.persisted(written.back().id);
}

std::vector<raft::Entry> SimDisk::Read(const raft::LoadRequest& request) {
  auto entries = log_->Read(request.first, request.last, request.bytes_max);
  if (!entries.ok()) {
    Fail(entries.status());
    return {};
  }
  return *std::move(entries);
}

// ---- Snapshots.

void SimDisk::WriteSnapshot(raft::SnapshotMeta at, std::unique_ptr<raft::FrozenState> state) {
  frozen_at_ = std::move(at);
  frozen_ = std::move(state);
  hooks_.after(Latency() * 4, [this] { FinishSnapshot(); });
}

void SimDisk::FinishSnapshot() {
  const auto state = std::exchange(frozen_, nullptr);
  if (failed_) return;
  const std::atomic<bool> cancelled{false};
  auto written = snapshots_->Write(frozen_at_, *state, cancelled);
  if (written.status().code() == absl::StatusCode::kResourceExhausted) return;
  if (!written.ok()) return Fail(written.status());
  durable_.snapshot = *written;
  hooks_.snapshot_taken(*written, log_->first());
  DropOldSegments();
}

void SimDisk::DropOldSegments() {
  const Index next = durable_.snapshot.index.Next();
  const Index kept{next.value > options_.trailing_entries
                       ? next.value - options_.trailing_entries : 1};
  const absl::Status status = log_->DropBefore(kept);
  if (!status.ok()) return Fail(status);
  if (log_->first() <= durable_.log_first) return;
  const uint64_t dropped = log_->first() - durable_.log_first;
  durable_.entries.erase(durable_.entries.begin(),
                         durable_.entries.begin() + static_cast<ptrdiff_t>(dropped));
  durable_.log_first = log_->first();
  hooks_.snapshot_taken(durable_.snapshot, log_->first());
}

std::optional<raft::Buffer> SimDisk::LoadChunk(const raft::SnapshotLoadRequest& request) {
  if (request.offset == request.meta.size_bytes) return raft::MakeBuffer("");
  const auto reader = snapshots_->Open(request.meta);
  if (!reader.ok()) return std::nullopt;
  auto bytes = (*reader)->ReadAt(request.offset, request.bytes_max);
  if (!bytes.ok()) return std::nullopt;
  return raft::MakeBuffer(*std::move(bytes));
}

absl::StatusOr<uint64_t> SimDisk::StoreChunk(const raft::SnapshotStore& store) {
  if (store.offset == 0) {
    staged_.reset();
    auto staged = raft::StagedSnapshot::Begin(snapshots_.get(), store.meta);
    if (!staged.ok()) return staged.status();
    staged_ = *std::move(staged);
  }
  if (staged_ == nullptr || staged_->meta() != store.meta) {
    return absl::DataLossError("it continues nothing that is there");
  }
  const absl::Status status = staged_->Append(store.offset, *store.bytes, store.last);
  if (!status.ok()) return status;
  whole_ = store.last;
  return staged_->next_offset();
}

absl::Status SimDisk::Restore(raft::StateMachine* state_machine,
                              std::function<void(const raft::SnapshotMeta&)> installed) {
  whole_ = false;
  restoring_ = true;
  const absl::Status status = state_machine->Restore(
      staged_->meta().index, [this] { return staged_->Next(); });
  if (!status.ok()) return status;
  hooks_.after(Latency(), [this, installed = std::move(installed)] {
    const absl::Status kept = staged_->Keep();
    if (!kept.ok()) return Fail(kept);
    const raft::SnapshotMeta meta = staged_->meta();
    staged_.reset();
    restoring_ = false;
    durable_.snapshot = meta;
    installed(meta);
  });
  return status;
}

}  // namespace consul::sim
