#include "services/raft/log_disk.h"

#include <pthread.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "services/base/check.h"
#include "services/base/metrics.h"
#include "services/raft/log_format.h"

namespace consul::raft {

LogDisk::LogDisk(std::unique_ptr<LogStore> log, uint64_t group_bytes_max,
                 std::function<void(bool idle)> spoke)
    : log_(std::move(log)), group_bytes_max_(group_bytes_max), spoke_(std::move(spoke)) {
  standing_ = {.room = log_->room(), .costs_done = 0, .first = log_->first()};
  first_ = standing_.first;
  base::MutexLock lock(&mutex_);
  now_ = standing_;
}

// ---- In a turn.

void LogDisk::SetThreaded(bool threaded) {
  if (threaded == this->threaded() || !idle()) return;
  if (threaded) {
    thread_ = std::thread([this] { Run(); });
    pthread_setname_np(thread_.native_handle(), "disk");
    return;
  }
  {
    base::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  wake_.Signal();
  thread_.join();
  base::MutexLock lock(&mutex_);
  stopping_ = false;
}

bool LogDisk::idle() const { return handed_ == written_ && jobs_given_ == jobs_seen_; }

// As if each were a group of its own, which takes most.
uint64_t LogDisk::CostOf(const Persist& persist) {
  return kGroupHeaderBytes + LogStore::RecordsBytes(persist);
}

std::vector<LogDisk::Event> LogDisk::Take() {
  std::vector<Event> events;
  {
    base::MutexLock lock(&mutex_);
    std::swap(events, events_);
    if (reserved_.has_value()) {
      no_room_.reset();
      if (!reserved_->ok()) no_room_ = NoRoom{reserve_bytes_, *std::move(reserved_)};
      reserved_.reset();
      reserving_ = false;
    }
    standing_ = now_;
    jobs_seen_ = jobs_done_;
  }
  first_ = standing_.first;
  for (const Event& event : events) {
    if (const auto* written = std::get_if<Written>(&event)) {
      written_ = written->id;
      full_told_ = false;
    } else if (std::holds_alternative<Full>(event)) {
      full_told_ = true;
    }
  }
  return events;
}

void LogDisk::Write(Persist persist) {
  handed_ = persist.id;
  costs_handed_ += CostOf(persist);
  {
    base::MutexLock lock(&mutex_);
    writes_.push_back(std::move(persist));
  }
  GetGoing();
}

void LogDisk::RetryWrite() {
  {
    base::MutexLock lock(&mutex_);
    full_ = false;
  }
  GetGoing();
}

std::optional<absl::Status> LogDisk::Reserve(uint64_t bytes) {
  if (full_told_) return absl::ResourceExhaustedError("the disk is full");
  if (!threaded()) return ReserveNow(bytes);
  if (HasRoom(bytes)) return absl::OkStatus();
  if (no_room_.has_value()) {
    no_room_->told = true;
    // Where there was no room for more there may be for this.
    if (bytes >= no_room_->bytes) return no_room_->why;
  }
  if (!reserving_) {
    reserving_ = true;
    reserve_bytes_ = bytes;
    Give(ReserveJob{RoomFor(bytes)});
  }
  return std::nullopt;
}

void LogDisk::EndTurn(bool anybody_waits) {
  if (no_room_.has_value() && (no_room_->told || !anybody_waits)) no_room_.reset();
}

// Beside all that was handed over.
uint64_t LogDisk::RoomFor(uint64_t bytes) const {
  return kGroupHeaderBytes + bytes + costs_handed_ - standing_.costs_done;
}

bool LogDisk::HasRoom(uint64_t bytes) const {
  return !full_told_ && RoomFor(bytes) <= standing_.room;
}

void LogDisk::Load(LoadRequest request) { Give(std::move(request)); }

void LogDisk::Settle() { Give(SettleJob{}); }

void LogDisk::DropSegment(Index index, Index wanted, uint64_t trailing_bytes) {
  Give(DropJob{index, wanted, trailing_bytes});
}

void LogDisk::Give(Job job) {
  ++jobs_given_;
  {
    base::MutexLock lock(&mutex_);
    jobs_.push_back(std::move(job));
  }
  GetGoing();
}

void LogDisk::GetGoing() {
  if (threaded()) return wake_.Signal();
  for (;;) {
    {
      base::MutexLock lock(&mutex_);
      if (!HasWork()) return;
    }
    WorkOnce();
  }
}

absl::Status LogDisk::Stop() {
  if (threaded()) {
    {
      base::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    wake_.Signal();
    thread_.join();
  }
  return log_->Settle();
}

// ---- On the thread that works.

void LogDisk::Run() {
  for (;;) {
    {
      base::MutexLock lock(&mutex_);
      while (!stopping_ && !HasWork()) wake_.Wait(&mutex_);
      if (stopping_ && (writes_.empty() || full_)) return;
    }
    WorkOnce();
    bool idle = false;
    {
      base::MutexLock lock(&mutex_);
      idle = !HasWork();
    }
    spoke_(idle);
  }
}

// A group, then one other thing: neither waits for ever behind the other.
void LogDisk::WorkOnce() {
  std::vector<Persist> group;
  std::optional<Job> job;
  {
    base::MutexLock lock(&mutex_);
    uint64_t bytes = 0;
    while (!full_ && !writes_.empty()) {
      bytes += LogStore::RecordsBytes(writes_.front());
      if (!group.empty() && bytes > group_bytes_max_) break;
      group.push_back(std::move(writes_.front()));
      writes_.pop_front();
    }
    if (!jobs_.empty()) {
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
  }
  if (!group.empty()) WriteGroup(std::move(group));
  if (!job.has_value()) return;
  Do(*job);
  base::MutexLock lock(&mutex_);
  ++jobs_done_;
}

void LogDisk::WriteGroup(std::vector<Persist> group) {
  const base::MetricTimer took;
  absl::Status status = log_->Append(group);
  if (status.ok()) {
    for (const Persist& persist : group) costs_done_ += CostOf(persist);
    return Tell(Written{group.back().id, took.ms()});
  }
  if (status.code() != absl::StatusCode::kResourceExhausted) return Tell(Failed{status});
  if (group.size() > 1) {
    // The first alone may find room: a vote, behind which there is much else.
    {
      base::MutexLock lock(&mutex_);
      writes_.insert(writes_.begin(), std::make_move_iterator(group.begin() + 1),
                     std::make_move_iterator(group.end()));
    }
    group.resize(1);
    return WriteGroup(std::move(group));
  }
  {
    // Nothing was written and nothing is promised: the core waits, as behind a slow disk.
    base::MutexLock lock(&mutex_);
    writes_.push_front(std::move(group.front()));
    full_ = true;
  }
  Tell(Full{std::move(status)});
}

absl::Status LogDisk::ReserveNow(uint64_t bytes) {
  absl::Status status = log_->Reserve(bytes);
  base::MutexLock lock(&mutex_);
  now_.room = log_->room();
  return status;
}

void LogDisk::Do(const Job& job) {
  if (const auto* load = std::get_if<LoadRequest>(&job)) {
    Tell(Loaded{*load, log_->Read(load->first, load->last, load->bytes_max)});
  } else if (const auto* reserve = std::get_if<ReserveJob>(&job)) {
    absl::Status status = ReserveNow(reserve->bytes);
    base::MutexLock lock(&mutex_);
    reserved_ = std::move(status);
  } else if (const auto* drop = std::get_if<DropJob>(&job)) {
    const Index before = log_->first();
    // What stands before the begin are the remains of a log that a snapshot replaced.
    const Index kept = std::min(
        drop->index, std::max({drop->wanted, before, log_->FirstWithin(drop->trailing_bytes)}));
    const auto dropped = log_->DropSegmentBefore(kept);
    if (!dropped.ok()) return Tell(Failed{dropped.status()});
    Tell(Dropped{*dropped, before});
  } else if (absl::Status status = log_->Settle(); !status.ok()) {
    Tell(Failed{std::move(status)});
  }
}

void LogDisk::Tell(Event event) {
  base::MutexLock lock(&mutex_);
  events_.push_back(std::move(event));
  now_ = {.room = log_->room(), .costs_done = costs_done_, .first = log_->first()};
}

}  // namespace consul::raft
