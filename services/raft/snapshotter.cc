#include "services/raft/snapshotter.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"

namespace consul::raft {

using base::StrCat;

Snapshotter::Snapshotter(const SnapshotOptions& options, std::unique_ptr<SnapshotFiles> files,
                         Core* core, LogDisk* disk, ApplyThread* apply, Hooks hooks, Time now)
    : options_(options),
      files_(std::move(files)),
      core_(core),
      disk_(disk),
      apply_(apply),
      hooks_(std::move(hooks)),
      check_at_(now + options.interval),
      handed_(core->snapshot().index) {
  LeaveRoom();
}

void Snapshotter::Handed(Index last, uint64_t bytes) {
  handed_ = last;
  bytes_ += bytes;
  LeaveRoom();
}

// The state has grown by what was written since the last one, at the most. What of the next one is
// written already needs no room any more.
void Snapshotter::LeaveRoom() {
  const uint64_t whole = core_->snapshot().size_bytes + bytes_;
  disk_->LeaveFree(whole - std::min(whole, files_->written_bytes()) + files_->left_free_bytes());
}

// A follower may apply what its own disk does not have yet; a snapshot of that would leave a gap
// between it and the log.
bool Snapshotter::Possible() const {
  return !held_ && handed_ > core_->snapshot().index && handed_ <= core_->durable_index();
}

bool Snapshotter::Due() const {
  if (!Possible()) return false;
  if (Pressed()) return true;
  return Grown() && (bytes_ >= options_.bytes_min ||
                     handed_ - core_->snapshot().index >= options_.entries_min);
}

void Snapshotter::Hold(bool held) {
  held_ = held;
  if (held && busy()) cancelled_ = true;
}

void Snapshotter::Installed(Time now) {
  CONSUL_CHECK(held_ && !busy());
  handed_ = core_->snapshot().index;
  bytes_ = 0;
  pressed_ = false;
  failed_ = false;
  LeaveRoom();
  check_at_ = now + options_.interval;
  phase_ = Phase::kDropping;
}

void Snapshotter::KeepBehind(std::optional<Index> index, uint64_t bytes_max) {
  sent_bytes_max_ = bytes_max;
  if (sent_ == index) return;
  sent_ = index;
  // What it held back may go now.
  if (!index.has_value() && phase_ == Phase::kWaiting) phase_ = Phase::kDropping;
}

bool Snapshotter::GiveBack() {
  if (gave_back_ == core_->snapshot().index) {
    pressed_ = true;
    return Hopeful();
  }
  gives_back_ = true;
  if (busy()) return Hopeful();  // then when that one is written
  phase_ = Phase::kDropping;
  return true;
}

Time Snapshotter::NextDeadline() const {
  switch (phase_) {
    case Phase::kWaiting:
      if (Pressing()) return Time{};
      return std::min(Due() ? check_at_ : Time::max(),
                      rested_ ? Time::max() : begun_at_ + options_.room_pause);
    case Phase::kFreezing:
    case Phase::kWriting:
      return forced_ ? begun_at_ + options_.room_wait_max : Time::max();
    case Phase::kDropping:
      return dropping_ ? Time::max() : Time{};  // at once
  }
  return Time::max();
}

absl::Status Snapshotter::Step(Time now) {
  std::unique_ptr<FrozenState> frozen;
  std::optional<absl::StatusOr<SnapshotMeta>> written;
  if (phase_ == Phase::kFreezing || phase_ == Phase::kWriting) {
    base::MutexLock lock(&mutex_);
    frozen = std::move(frozen_);
    written = std::exchange(written_, std::nullopt);
  }
  if (forced_ && now >= begun_at_ + options_.room_wait_max) forced_ = false;
  rested_ = rested_ || now >= begun_at_ + options_.room_pause;
  if (frozen != nullptr) StartWriting(std::move(frozen));
  if (written.has_value()) return Finish(now, *written);
  if (phase_ == Phase::kDropping && !dropping_) DropSegment();
  if (phase_ == Phase::kWaiting && (Pressing() || (now >= check_at_ && Due()))) Begin(now);
  return absl::OkStatus();
}

void Snapshotter::Begin(Time now) {
  begun_at_ = now;
  rested_ = false;
  forced_ = Pressed();
  pressed_ = false;
  disk_->ClearTight();
  const auto term = core_->log().TermAt(handed_);
  CONSUL_CHECK(term.has_value());
  phase_ = Phase::kFreezing;
  frozen_bytes_ = bytes_;
  at_ = {.index = handed_,
         .term = *term,
         .configuration = core_->ConfigurationAt(handed_),
         .id = "",
         .size_bytes = 0};
  hooks_.log(LogLevel::kInfo,
             StrCat("raft: starting snapshot up to: index=", at_.index.value));
  apply_->Freeze([this](std::unique_ptr<FrozenState> state) {
    {
      base::MutexLock lock(&mutex_);
      frozen_ = std::move(state);
    }
    hooks_.wake();
  });
}

void Snapshotter::StartWriting(std::unique_ptr<FrozenState> state) {
  phase_ = Phase::kWriting;
  thread_ = std::thread([this, state = std::move(state)]() mutable {
    const base::MetricTimer took;
    auto written = files_->Write(at_, *state, cancelled_);
    if (written.ok()) hooks_.wrote->Add(took.ms());
    // The memory that only this version holds is free before the next one can be taken.
    state.reset();
    {
      base::MutexLock lock(&mutex_);
      written_ = std::move(written);
    }
    hooks_.wake();
  });
  pthread_setname_np(thread_.native_handle(), "raft-snapshots");
}

absl::Status Snapshotter::Finish(Time now, const absl::StatusOr<SnapshotMeta>& written) {
  thread_.join();
  phase_ = Phase::kWaiting;
  check_at_ = now + options_.interval;
  cancelled_ = false;
  forced_ = false;
  failed_ = !written.ok() && written.status().code() != absl::StatusCode::kCancelled;
  // What the one before it covers is asked for again, if it is wanted still.
  if (!written.ok()) gives_back_ = false;
  if (written.status().code() == absl::StatusCode::kCancelled) {
    hooks_.log(LogLevel::kInfo,
               StrCat("raft: gave up snapshot, another server's is newer: index=",
                      at_.index.value));
    return absl::OkStatus();
  }
  if (written.status().code() == absl::StatusCode::kResourceExhausted) {
    // Nothing is lost by it but disk space: the log goes on.
    hooks_.log(LogLevel::kError,
               StrCat("raft: failed to take snapshot: error=\"",
                      base::ToStd(written.status().message()), "\" retry_in=",
                      std::chrono::ceil<std::chrono::seconds>(options_.interval).count(), "s"));
    return absl::OkStatus();
  }
  if (!written.ok()) return written.status();
  bytes_ -= frozen_bytes_;
  hooks_.took->Add(std::chrono::duration<double, std::milli>(now - begun_at_).count());
  core_->SnapshotTaken(now, *written, disk_->first());
  LeaveRoom();
  hooks_.log(LogLevel::kInfo, StrCat("raft: snapshot complete up to: index=",
                                     written->index.value, " bytes=", written->size_bytes));
  phase_ = Phase::kDropping;
  return absl::OkStatus();
}

// One at a time: a large file may take milliseconds to go, and other things are due.
void Snapshotter::DropSegment() {
  const Index next = core_->snapshot().index.Next();
  Index wanted{next.value > options_.trailing_entries ? next.value - options_.trailing_entries
                                                      : 1};
  uint64_t bytes_max = options_.trailing_bytes_max;
  if (sent_.has_value()) {
    wanted = std::min(wanted, sent_->Next());
    bytes_max = std::max(bytes_max, sent_bytes_max_);
  }
  dropping_ = true;
  dropping_since_.emplace();
  gives_segment_ = gives_back_;
  disk_->DropSegment(next, gives_back_ ? next : wanted, gives_back_ ? 0 : bytes_max);
}

void Snapshotter::Dropped(const LogDisk::Dropped& dropped) {
  dropping_ = false;
  if (!dropped.dropped) {
    if (phase_ != Phase::kDropping || gives_segment_ != gives_back_) return;
    phase_ = Phase::kWaiting;
    if (std::exchange(gives_back_, false)) gave_back_ = core_->snapshot().index;
    return;
  }
  hooks_.compacted->Add(dropping_since_->ms());
  const SnapshotMeta newest = core_->snapshot();
  core_->SnapshotTaken(Time{}, newest, disk_->first());
  // Otherwise it was only what an installed snapshot had replaced.
  if (disk_->first() > dropped.first_before) {
    hooks_.log(LogLevel::kInfo,
               StrCat("raft: compacting logs: from=", dropped.first_before.value,
                      " to=", disk_->first().Previous().value));
  }
}

void Snapshotter::Stop() {
  cancelled_ = true;
  if (thread_.joinable()) thread_.join();
  base::MutexLock lock(&mutex_);
  frozen_.reset();
}

}  // namespace consul::raft
