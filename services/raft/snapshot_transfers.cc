#include "services/raft/snapshot_transfers.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"

namespace consul::raft {
namespace {

using base::StrCat;

// See SnapshotOptions::sent_log_bytes_max.
constexpr uint64_t kSentLogShare = 2;

// What one snapshot may be refused for; anything else is about the disk itself.
bool IsRefusal(const absl::Status& status) {
  return status.code() == absl::StatusCode::kDataLoss ||
         status.code() == absl::StatusCode::kFailedPrecondition ||
         status.code() == absl::StatusCode::kResourceExhausted;
}

// The peer has all of it.
bool IsWhole(const SnapshotLoadRequest& request) {
  return request.offset == request.meta.size_bytes;
}

}  // namespace

SnapshotTransfers::SnapshotTransfers(const SnapshotOptions& options, Core* core,
                                     ApplyThread* apply, Snapshotter* snapshotter, Hooks hooks)
    : options_(options),
      core_(core),
      apply_(apply),
      snapshotter_(snapshotter),
      files_(snapshotter->files()),
      hooks_(std::move(hooks)) {}

// --- Sending. ---

void SnapshotTransfers::Load(const SnapshotLoadRequest& request, Time now) {
  const auto [found, begun] = sending_.try_emplace(request.peer);
  Sending& sent = found->second;
  // One that asks for the same again and again does not come on.
  if (begun || sent.has_it || sent.index != request.meta.index || sent.offset < request.offset) {
    sent = {.index = request.meta.index,
            .size_bytes = request.meta.size_bytes,
            .offset = request.offset,
            .at = now};
  }
  sent.installs = IsWhole(request);
  Post([this, request] {
    auto bytes = Read(request);
    Tell([this, request, bytes = std::move(bytes)](Time at) mutable {
      if (bytes.ok()) {
        core_->SnapshotChunkLoaded(at, request, MakeBuffer(*std::move(bytes)));
        return;
      }
      // That a newer one came is no news: the core goes on with that.
      if (bytes.status().code() != absl::StatusCode::kNotFound) {
        hooks_.log(LogLevel::kError,
                   StrCat("raft: failed to read snapshot: peer=", request.peer.value, " error=\"",
                          base::ToStd(bytes.status().message()), "\""));
      }
      core_->SnapshotChunkLoaded(at, request, std::nullopt);
    });
  });
}

absl::StatusOr<std::string> SnapshotTransfers::Read(const SnapshotLoadRequest& request) {
  if (IsWhole(request)) return "";  // the file may be gone
  auto found = open_.find(request.meta.id);
  if (found == open_.end()) {
    auto reader = files_->Open(request.meta);
    if (!reader.ok()) return reader.status();
    if (open_.size() >= kOpenMax) {
      open_.erase(std::min_element(open_.begin(), open_.end(), [](const auto& a, const auto& b) {
        return a.second.used < b.second.used;
      }));
    }
    found = open_.emplace(request.meta.id, Open{*std::move(reader), {}}).first;
  }
  found->second.used = std::chrono::steady_clock::now();
  auto bytes = found->second.reader->ReadAt(request.offset, request.bytes_max);
  if (!bytes.ok()) open_.erase(found);
  return bytes;
}

void SnapshotTransfers::CloseUnused() {
  const auto before = std::chrono::steady_clock::now() - options_.sent_kept;
  std::erase_if(open_, [before](const auto& open) { return open.second.used < before; });
}

Time SnapshotTransfers::KeptUntil(const Sending& sent) const {
  if (!sent.installs) return sent.at + options_.sent_kept;
  return std::min(std::max(sent.at, sent.heard_at) + options_.sent_kept,
                  sent.at + options_.installing_kept);
}

void SnapshotTransfers::ForgetSent(Time now) {
  const std::vector<MemberProgress> members = core_->Members();  // none where it does not lead
  for (const MemberProgress& member : members) {
    const auto found = sending_.find(member.id);
    if (found == sending_.end()) continue;
    Sending& sent = found->second;
    if (member.match > sent.index || (member.match == sent.index && !sent.has_it)) {
      sent = {.index = member.match,
              .size_bytes = sent.size_bytes,
              .at = now,
              .has_it = true};
    }
    sent.heard_at = member.heard_at;
  }
  std::erase_if(sending_, [this, &members](const auto& item) {
    const auto& [peer, sent] = item;
    if (std::ranges::find(members, peer, &MemberProgress::id) == members.end()) return true;
    // From the newest snapshot on the log is kept anyway.
    const bool caught_up = sent.has_it && sent.index >= core_->snapshot().index;
    // What it will want next is gone: it is sent another one.
    const bool in_vain = sent.index < core_->log().base().index;
    return caught_up || in_vain;
  });
  for (auto& [peer, sent] : sending_) sent.given_up |= now >= KeptUntil(sent);
  const Sending* const oldest = OldestSent();
  if (oldest == nullptr) return snapshotter_->KeepBehind(std::nullopt);
  snapshotter_->KeepBehind(
      oldest->index, std::max(options_.sent_log_bytes_max, kSentLogShare * oldest->size_bytes));
}

const SnapshotTransfers::Sending* SnapshotTransfers::OldestSent() const {
  const Sending* oldest = nullptr;
  for (const auto& [peer, sent] : sending_) {
    if (sent.given_up) continue;
    if (oldest == nullptr || sent.index < oldest->index) oldest = &sent;
  }
  return oldest;
}

// --- Receiving. ---

void SnapshotTransfers::SetPhase(Phase phase) {
  phase_ = phase;
  snapshotter_->Hold(phase != Phase::kNone);
}

void SnapshotTransfers::Store(SnapshotStore store) {
  // The core waits for the answer to one before it hands out the next.
  CONSUL_CHECK(phase_ == Phase::kNone || phase_ == Phase::kPartial);
  incoming_ = store.meta;
  SetPhase(Phase::kStoring);
  Post([this, store = std::move(store)] {
    absl::Status status = Take(store);
    const uint64_t next_offset = status.ok() ? staged_->next_offset() : 0;
    if (!status.ok()) staged_.reset();
    Tell([this, status = std::move(status), last = store.last, next_offset](Time now) {
      Stored(now, status, last, next_offset);
    });
  });
}

absl::Status SnapshotTransfers::Take(const SnapshotStore& store) {
  if (store.offset == 0) {
    staged_.reset();
    auto staged = StagedSnapshot::Begin(files_, store.meta);
    if (!staged.ok()) return staged.status();
    staged_ = *std::move(staged);
  }
  if (staged_ == nullptr || staged_->meta() != store.meta) {
    return AboutSnapshot(files_->StagedPath(store.meta.index),
                         absl::DataLossError(StrCat("what came at offset ", store.offset,
                                                    " continues nothing that is there")));
  }
  return staged_->Append(store.offset, store.bytes == nullptr ? "" : *store.bytes, store.last);
}

void SnapshotTransfers::Stored(Time now, const absl::Status& status, bool last,
                               uint64_t next_offset) {
  if (!status.ok()) return Refuse(now, status);
  SetPhase(last ? Phase::kWhole : Phase::kPartial);
  core_->SnapshotChunkStored(now, incoming_.id, next_offset);
}

void SnapshotTransfers::BeginRestore() {
  SetPhase(Phase::kRestoring);
  apply_->Restore(
      incoming_.index,
      [this]() -> absl::StatusOr<std::string_view> {
        if (cancelled_.load()) return absl::CancelledError("this server is stopping");
        return staged_->Next();
      },
      [this](absl::Status status) {
        Tell([this, status = std::move(status)](Time now) { Restored(now, status); });
      });
}

void SnapshotTransfers::Restored(Time now, const absl::Status& status) {
  if (!status.ok()) {
    Post([this] { staged_.reset(); });
    return Refuse(now, status);
  }
  SetPhase(Phase::kKeeping);
  Post([this] {
    absl::Status kept = staged_->Keep();
    staged_.reset();
    Tell([this, kept = std::move(kept)](Time at) { Kept(at, kept); });
  });
}

void SnapshotTransfers::Kept(Time now, const absl::Status& status) {
  if (!status.ok()) {
    failed_ = status;
    return;
  }
  core_->SnapshotInstalled(now, incoming_);
  hooks_.installed(incoming_.index);
  snapshotter_->Installed(now);
  SetPhase(Phase::kNone);
}

void SnapshotTransfers::Refuse(Time now, const absl::Status& status) {
  if (!IsRefusal(status)) {
    failed_ = status;
    return;
  }
  hooks_.log(LogLevel::kError,
             StrCat("raft: failed to install snapshot: index=", incoming_.index.value, " error=\"",
                    base::ToStd(status.message()), "\" retry_in=",
                    std::chrono::ceil<std::chrono::seconds>(options_.refused_pause).count(), "s"));
  refused_until_ = now + options_.refused_pause;
  SetPhase(Phase::kRefused);
}

void SnapshotTransfers::DropStaged() {
  Post([this] { staged_.reset(); });
  SetPhase(Phase::kNone);
}

// ---- In a turn.

absl::StatusOr<bool> SnapshotTransfers::Step(Time now) {
  std::vector<News> news;
  {
    base::MutexLock lock(&mutex_);
    news.swap(news_);
  }
  bool told = !news.empty();
  for (News& one : news) one(now);
  if (!failed_.ok()) return failed_;
  // A start refuses a log of an older term than its snapshot's: it would have forgotten votes.
  if (phase_ == Phase::kWhole && core_->hard_state_durable() && !snapshotter_->busy()) {
    BeginRestore();
  }
  // The log came after all.
  if (phase_ == Phase::kPartial && core_->commit_index() >= incoming_.index) DropStaged();
  if (phase_ == Phase::kRefused && now >= refused_until_) {
    SetPhase(Phase::kNone);
    core_->SnapshotRefused(now, incoming_.id);
    told = true;
  }
  if (!sending_.empty()) ForgetSent(now);
  return told;
}

Time SnapshotTransfers::NextDeadline() const {
  Time at = phase_ == Phase::kRefused ? refused_until_ : Time::max();
  for (const auto& [peer, sent] : sending_) {
    if (!sent.given_up) at = std::min(at, KeptUntil(sent));
  }
  return at;
}

void SnapshotTransfers::Tell(News news) {
  {
    base::MutexLock lock(&mutex_);
    news_.push_back(std::move(news));
  }
  hooks_.wake();
}

void SnapshotTransfers::Post(Job job) {
  {
    base::MutexLock lock(&mutex_);
    jobs_.push_back(std::move(job));
    wake_.Signal();
  }
  if (thread_.joinable()) return;
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "raft-transfers");
}

// --- The transfer thread. ---

void SnapshotTransfers::Run() {
  for (;;) {
    Job job;
    {
      base::MutexLock lock(&mutex_);
      bool quiet = false;
      while (jobs_.empty() && !stopping_ && !quiet) {
        if (open_.empty()) {
          wake_.Wait(&mutex_);
        } else {
          quiet = !wake_.WaitFor(&mutex_, options_.sent_kept);
        }
      }
      if (stopping_) return;
      if (!jobs_.empty()) {
        job = std::move(jobs_.front());
        jobs_.pop_front();
      }
    }
    if (job) job();
    CloseUnused();
  }
}

void SnapshotTransfers::Stop() {
  cancelled_ = true;
  {
    base::MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.Signal();
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace consul::raft
