#include "services/api/snapshot_restores.h"

#include <pthread.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>

#include "consul/snapshot/v1/snapshot.pb.h"
#include "services/archive/archive.h"
#include "services/archive/upload.h"
#include "services/base/strings.h"
#include "services/base/uuid.h"
#include "services/rpc/errors.h"
#include "services/rpc/waiting_call.h"

namespace consul::api {
namespace {

// An archive that is none is a 500 with its text alone, as the reference's.
absl::Status Told(absl::Status status) {
  const bool reasoned = rpc::Detail(status).reason() != errors::v1::REASON_UNSPECIFIED;
  if (status.ok() || reasoned || absl::IsCancelled(status)) return status;
  return absl::InternalError(status.message());
}

}  // namespace

class SnapshotRestores::Restore : public rpc::WaitingCall {
 public:
  Restore(SnapshotRestores* restores, rpc::Call* call) : WaitingCall(call), restores_(restores) {}

  void Begin() {
    Attach();
    auto self = std::static_pointer_cast<Restore>(shared_from_this());
    thread_ = std::thread([self = std::move(self)] { self->Work(); });
    pthread_setname_np(thread_.native_handle(), "restore");
  }
  bool over() const { return over_.load(); }
  void Join() {
    if (thread_.joinable()) thread_.join();
  }

  // Whoever would be told is gone: nothing more is sent, and what was is dropped. A commit that is
  // on its way cannot be taken back. The archive is the face's until the call is done.
  void Cancel() override { cancelled_.store(true); }

 private:
  void Work() {
    index_ = Upload();
    over_.store(true);
    Wake();
  }

  absl::StatusOr<uint64_t> Upload() {
    const auto& request = static_cast<const snapshot::v1::RestoreRequest&>(call()->request());
    archive::UploadCalls calls;
    calls.stage = [this](const snapshot::v1::StageRestoreRequest& stage) {
      snapshot::v1::StageRestoreResponse response;
      if (cancelled_.load()) return absl::CancelledError("the caller is gone");
      return Ask("StageRestore", stage, &response);
    };
    calls.commit =
        [this](const snapshot::v1::CommitRestoreRequest& commit) -> absl::StatusOr<uint64_t> {
      snapshot::v1::CommitRestoreResponse response;
      absl::Status status = Ask("CommitRestore", commit, &response);
      if (!status.ok()) return status;
      return response.index();
    };
    calls.drop = [this](const snapshot::v1::DropRestoreRequest& drop) {
      snapshot::v1::DropRestoreResponse response;
      // Else it is forgotten by time.
      Ask("DropRestore", drop, &response).IgnoreError();
    };
    return archive::Upload([&request] { return archive::SourceOf(request.archive()); },
                           base::MakeUuid(), request.options().datacenter(), calls);
  }

  absl::Status Ask(std::string_view method, const google::protobuf::Message& request,
                   google::protobuf::Message* response) {
    return restores_->calls_.Run(
        restores_->backend_(),
        rpc::PublicApi().Get(base::StrCat("/consul.snapshot.v1.SnapshotService/", method)),
        request, response);
  }

  void Continue() override {
    if (index_.ok()) {
      static_cast<snapshot::v1::RestoreResponse*>(call()->response())->set_index(*index_);
    }
    Finish(Told(index_.status()));
  }
  void Detach() override {}

  SnapshotRestores* const restores_;
  std::thread thread_;
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> over_{false};
  absl::StatusOr<uint64_t> index_ = absl::UnknownError("");
};

SnapshotRestores::SnapshotRestores(std::function<rpc::Backend*()> backend)
    : backend_(std::move(backend)) {}

SnapshotRestores::~SnapshotRestores() { Stop(); }

void SnapshotRestores::Start(rpc::Call* call) {
  {
    base::MutexLock lock(&mutex_);
    if (stopped_) {
      call->status = rpc::Error(errors::v1::REASON_SHUTTING_DOWN, "the agent is shutting down");
    } else if (running_ != nullptr && !running_->over()) {
      call->status =
          rpc::Error(errors::v1::REASON_OVERLOADED, "a snapshot is being restored already");
    } else {
      if (running_ != nullptr) running_->Join();
      running_ = std::make_shared<Restore>(this, call);
      return running_->Begin();
    }
  }
  call->Done();
}

void SnapshotRestores::AskToStop() {
  {
    base::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  calls_.Interrupt();
}

void SnapshotRestores::Stop() {
  AskToStop();
  std::shared_ptr<Restore> running;
  {
    base::MutexLock lock(&mutex_);
    running = std::move(running_);
  }
  if (running != nullptr) running->Join();
}

}  // namespace consul::api
