#include "services/rpc/channel_backend.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <climits>
#include <utility>

#include "services/base/strings.h"
#include "services/rpc/attempt.h"
#include "services/rpc/errors.h"
#include "services/rpc/grpc_bytes.h"
#include "services/rpc/grpc_status.h"
#include "services/rpc/open_channel.h"

namespace consul::rpc {
namespace {

// A blocking read waits so long at most, as the agent has it.
constexpr std::chrono::milliseconds kWaitDefault = std::chrono::minutes(5);
constexpr std::chrono::milliseconds kWaitMax = std::chrono::minutes(10);

std::chrono::milliseconds WaitOf(const query::v1::QueryOptions& options) {
  const auto none = std::chrono::milliseconds(0);
  if (options.index() == 0) return none;
  const std::chrono::milliseconds asked =
      options.has_wait() ? std::chrono::seconds(std::min<int64_t>(options.wait().seconds(), 3600)) +
                               std::chrono::milliseconds(options.wait().nanos() / 1'000'000)
                         : kWaitDefault;
  const std::chrono::milliseconds wait = std::clamp(asked, none, kWaitMax);
  return wait + wait / 16;
}

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
  Passed(const Target* target, Call* call) : target_(target), call_(call) {}

  void Begin() {
    size_t size = 0;
    if (!Encode(call_->request(), INT_MAX, &request_, &size)) {
      call_->status = Error(errors::v1::REASON_TOO_LARGE, "request is larger than 2 GB");
      return call_->Done();
    }
    call_->waiting = shared_from_this();
    const Method& method = call_->method();
    const auto deadline = std::chrono::system_clock::now() + target_->options.timeout +
                          WaitOf(OptionsOf(method, request_));
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

  void Start(Call* call) { std::make_shared<Passed>(&target_, call)->Begin(); }

 private:
  Target target_;
};

ChannelBackend::ChannelBackend(std::string target, Options options)
    : impl_(std::make_unique<Impl>(std::move(target), options)) {}

ChannelBackend::~ChannelBackend() = default;

void ChannelBackend::Start(Call* call) { impl_->Start(call); }

}  // namespace consul::rpc
