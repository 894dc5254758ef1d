#include "services/rpc/channel_backend.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <climits>
#include <utility>

#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/rpc/attempt.h"
#include "services/rpc/errors.h"
#include "services/rpc/grpc_bytes.h"
#include "services/rpc/grpc_pollers.h"
#include "services/rpc/grpc_status.h"
#include "services/rpc/open_channel.h"

namespace consul::rpc {
namespace {

// What every call of one backend is made with.
struct Target {
  std::string address;
  ChannelBackend::Options options;
  std::unique_ptr<grpc::GenericStub> stub;

  // An error as the caller is told it.
  absl::Status Told(const grpc::Status& status) const {
    absl::Status told = FromGrpc(status);
    // With a reason it is the agent that said so.
    const bool from_agent = Detail(told).reason() != errors::v1::REASON_UNSPECIFIED;
    if (told.code() != absl::StatusCode::kUnavailable || from_agent) return told;
    return absl::UnavailableError(base::StrCat("no agent answers at ", address, ": ",
                                               base::ToStd(told.message())));
  }
};

// A call on its way.
class Passed final : public Call::Waiting,
                     public Attempt::Listener,
                     public std::enable_shared_from_this<Passed> {
 public:
  // `limit` is how long it may take; a stream takes as long as it likes.
  Passed(const Target* target, Call* call, std::chrono::milliseconds limit)
      : target_(target), call_(call), limit_(limit) {}

  void Begin() {
    size_t size = 0;
    if (!Encode(call_->request(), INT_MAX, &request_, &size)) {
      call_->status = Error(errors::v1::REASON_TOO_LARGE, "request is larger than 2 GB");
      return call_->Done();
    }
    call_->waiting = shared_from_this();
    const Method& method = call_->method();
    const auto deadline = std::chrono::system_clock::now() + limit_;
    attempt_ = Attempt::Start(
        target_->stub.get(),
        {&method, call_->token, method.server_streaming ? nullptr : &deadline}, &request_,
        call_->executor(), shared_from_this());
  }

  void Cancel() override { attempt_->Cancel(); }

 private:
  bool OnMessage(grpc::ByteBuffer* message) override {
    call_->response()->Clear();
    if (!Decode(*message, call_->response())) {
      refused_ = Malformed();
    } else if (!call_->Next()) {
      refused_ = Error(errors::v1::REASON_OVERLOADED, "the caller reads too slowly");
    }
    return refused_.ok();
  }

  void OnOver(const grpc::Status& status, grpc::ByteBuffer* reply) override {
    attempt_.reset();
    call_->waiting.reset();
    call_->status = refused_;
    if (refused_.ok()) call_->status = target_->Told(status);
    if (call_->status.ok() && !call_->method().server_streaming &&
        !Decode(*reply, call_->response())) {
      call_->status = Malformed();
    }
    call_->Done();
  }

  absl::Status Malformed() const {
    return absl::InternalError(base::StrCat("the agent at ", target_->address,
                                            " answered with what is not a ",
                                            call_->method().response_prototype->GetTypeName()));
  }

  const Target* const target_;
  Call* const call_;
  const std::chrono::milliseconds limit_;
  grpc::ByteBuffer request_;
  std::shared_ptr<Attempt> attempt_;
  absl::Status refused_;  // of a stream's message
};

}  // namespace

class ChannelBackend::Impl {
 public:
  Impl(std::string address, Options options) {
    target_.stub = std::make_unique<grpc::GenericStub>(OpenChannel(
        address, {.reply_bytes_max = options.reply_bytes_max,
                  .reconnect_min = options.reconnect_min,
                  .reconnect_max = options.reconnect_max}));
    target_.address = std::move(address);
    target_.options = options;
  }

  void SetTimes(const AgentTimes& times) {
    base::MutexLock lock(&mutex_);
    times_ = times;
  }

  void Start(Call* call) {
    const std::chrono::milliseconds limit = target_.options.timeout + LongestTime(*call, Times());
    std::make_shared<Passed>(&target_, call, limit)->Begin();
  }

 private:
  AgentTimes Times() const {
    base::MutexLock lock(&mutex_);
    return times_;
  }

  const std::shared_ptr<GrpcPollers> pollers_ = GrpcPollers::Get();
  Target target_;
  mutable base::Mutex mutex_;
  AgentTimes times_ GUARDED_BY(mutex_);
};

ChannelBackend::ChannelBackend(std::string target, Options options)
    : impl_(std::make_unique<Impl>(std::move(target), options)) {}

ChannelBackend::~ChannelBackend() = default;

void ChannelBackend::Start(Call* call) { impl_->Start(call); }

void ChannelBackend::SetTimes(const AgentTimes& times) { impl_->SetTimes(times); }

}  // namespace consul::rpc
