#include "services/api/snapshot_saves.h"

#include <pthread.h>

#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "consul/snapshot/v1/snapshot.pb.h"
#include "services/archive/archive.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/rpc/evaluation.h"
#include "services/rpc/waiting_call.h"
#include "services/state/version.h"

namespace consul::api {
namespace {

// A face that takes no more is asked again so soon.
constexpr std::chrono::milliseconds kAskAgain{5};

absl::Status Stopping() {
  return rpc::Error(errors::v1::REASON_SHUTTING_DOWN, "the agent is shutting down");
}

uint64_t NowMs() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
}

}  // namespace

class SnapshotSaves::Save : public rpc::WaitingCall {
 public:
  Save(SnapshotSaves* saves, rpc::Call* call) : WaitingCall(call), saves_(saves) {}

  void Begin(bool stale) {
    Attach();
    stale_ = stale;
    if (stale) return BeginThread();
    auto self = std::static_pointer_cast<Save>(shared_from_this());
    saves_->consensus_->ReadBarrier(
        rpc::ReadMode::kConsistent, [self = std::move(self)](absl::Status status) {
          base::MutexLock lock(&self->mutex_);
          self->barrier_ = std::move(status);
          self->barrier_known_ = true;
          self->WakeCaller();
        });
  }

  // The thread has no more to do, or never had.
  bool over() {
    base::MutexLock lock(&mutex_);
    return stage_ == Stage::kOver;
  }
  void AskToStop() {
    base::MutexLock lock(&mutex_);
    stopped_ = true;
    if (stage_ == Stage::kBarrier) End(Stopping());
    changed_.Signal();
    WakeCaller();
  }
  void Join() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  enum class Stage { kBarrier, kRuns, kOver };

  // On the executor.

  void Continue() override {
    bool begin = false;
    {
      base::MutexLock lock(&mutex_);
      begin = stage_ == Stage::kBarrier && barrier_known_;
      if (begin && !barrier_.ok()) {
        End(barrier_);
        begin = false;
      }
    }
    if (begin) return BeginThread();
    Give();
  }

  void BeginThread() {
    base::MutexLock lock(&mutex_);
    if (stage_ != Stage::kBarrier) return;  // it was asked to stop, and is woken
    const rpc::Consensus::View view = saves_->consensus_->view();
    version_ = saves_->state_->Load();
    meta_.set_index(version_->index());
    meta_.set_known_leader(view.leader_known);
    *meta_.mutable_last_contact() = google::protobuf::Duration();
    // What the leader has vouched for is as fresh as his own.
    if (stale_) {
      meta_.mutable_last_contact()->set_seconds(view.last_contact.count() / 1000);
      meta_.mutable_last_contact()->set_nanos(
          static_cast<int32_t>(view.last_contact.count() % 1000 * 1'000'000));
    }
    stage_ = Stage::kRuns;
    // The thread's hold on this ends with it.
    auto self = std::static_pointer_cast<Save>(shared_from_this());
    thread_ = std::thread([self = std::move(self)] { self->Work(); });
    pthread_setname_np(thread_.native_handle(), "snapshot-save");
  }

  // Gives the part that waits, and the end when there is no more.
  void Give() {
    if (absl::Status failure = Failure(); !failure.ok()) return Finish(std::move(failure));
    if (Full()) {
      auto* const response = static_cast<snapshot::v1::SaveResponse*>(call()->response());
      response->Clear();
      if (first_) *response->mutable_meta() = meta_;
      response->mutable_part()->set_bytes(part_);
      // Refused: the thread asks again. The caller may also find out that its client is gone.
      if (!call()->Next() || call() == nullptr) return;
      first_ = false;
      base::MutexLock lock(&mutex_);
      full_ = false;
      changed_.Signal();
    }
    if (over()) Finish(Failure());
  }

  // OK while there is none.
  absl::Status Failure() {
    base::MutexLock lock(&mutex_);
    return result_;
  }

  bool Full() {
    base::MutexLock lock(&mutex_);
    return full_;
  }

  void End(absl::Status result) REQUIRES_LOCK(mutex_) {
    stage_ = Stage::kOver;
    result_ = std::move(result);
  }

  void Detach() override {
    base::MutexLock lock(&mutex_);
    detached_ = true;
    stopped_ = true;
    if (stage_ == Stage::kBarrier) End(Stopping());
    changed_.Signal();
  }

  // Its executor may go once the call is over.
  void WakeCaller() REQUIRES_LOCK(mutex_) {
    if (!detached_) Wake();
  }

  // On the thread.

  void Work() {
    absl::StatusOr<archive::ArchiveMeta> done = archive::WriteArchive(
        static_cast<const state::Version&>(*version_), saves_->term_(), NowMs(),
        [this](std::string_view bytes) { return Put(bytes); });
    version_.reset();
    base::MutexLock lock(&mutex_);
    End(done.status());
    WakeCaller();
  }

  // Hands a part over and waits until it was taken.
  absl::Status Put(std::string_view bytes) {
    base::MutexLock lock(&mutex_);
    part_.assign(bytes);
    full_ = true;
    while (full_ && !stopped_) {
      WakeCaller();
      changed_.WaitFor(&mutex_, kAskAgain);
    }
    return stopped_ ? Stopping() : absl::OkStatus();
  }

  SnapshotSaves* const saves_;
  std::thread thread_;
  bool stale_ = false;
  std::shared_ptr<const state::Versioned> version_;
  query::v1::QueryMeta meta_;
  base::Mutex mutex_;
  base::CondVar changed_;
  Stage stage_ GUARDED_BY(mutex_) = Stage::kBarrier;
  bool barrier_known_ GUARDED_BY(mutex_) = false;
  absl::Status barrier_ GUARDED_BY(mutex_);
  absl::Status result_ GUARDED_BY(mutex_);
  std::string part_;  // the thread's, and while it is full_ the executor's
  bool full_ GUARDED_BY(mutex_) = false;
  bool first_ = true;  // the executor's
  bool stopped_ GUARDED_BY(mutex_) = false;
  bool detached_ GUARDED_BY(mutex_) = false;  // the call is over
};

SnapshotSaves::SnapshotSaves(rpc::Consensus* consensus, state::VersionSource* state,
                             std::function<uint64_t()> term)
    : consensus_(consensus), state_(state), term_(std::move(term)) {}

SnapshotSaves::~SnapshotSaves() { Stop(); }

void SnapshotSaves::Start(rpc::Call* call) {
  auto save = std::make_shared<Save>(this, call);
  call->status = Add(save);
  if (!call->status.ok()) return call->Done();
  const query::v1::QueryOptions* const options = rpc::OptionsOf(*call);
  const bool stale =
      options != nullptr && options->consistency() == query::v1::CONSISTENCY_STALE;
  save->Begin(stale);
}

absl::Status SnapshotSaves::Add(const std::shared_ptr<Save>& save) {
  base::MutexLock lock(&mutex_);
  if (stopped_) return Stopping();
  for (auto it = running_.begin(); it != running_.end();) {
    if (!(*it)->over()) {
      ++it;
      continue;
    }
    (*it)->Join();
    it = running_.erase(it);
  }
  if (running_.size() >= kRunningMax) {
    return rpc::Error(
        errors::v1::REASON_OVERLOADED,
        base::StrCat(kRunningMax, " snapshots are being saved already, the most there may be"));
  }
  running_.push_back(save);
  return absl::OkStatus();
}

void SnapshotSaves::Stop() {
  std::list<std::shared_ptr<Save>> running;
  {
    base::MutexLock lock(&mutex_);
    stopped_ = true;
    running.swap(running_);
  }
  for (const auto& save : running) save->AskToStop();
  for (const auto& save : running) save->Join();
}

}  // namespace consul::api
