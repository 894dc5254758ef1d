#include "services/rpc/channel_backend.h"

#include <google/protobuf/message.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <climits>
#include <utility>

#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/rpc/grpc_bytes.h"
#include "services/rpc/grpc_status.h"

namespace consul::rpc {
namespace {

using grpc::ByteBuffer;

// What every call of one backend is made with.
struct Wire {
  std::string target;
  ChannelBackend::Options options;
  std::unique_ptr<grpc::GenericStub> stub;

  // An error as the caller is told it.
  absl::Status Told(const grpc::Status& status) const {
    absl::Status told = FromGrpc(status);
    // With a reason it is the agent that said so.
    const bool from_agent = Detail(told).reason() != errors::v1::REASON_UNSPECIFIED;
    if (told.code() != absl::StatusCode::kUnavailable || from_agent) return told;
    return absl::UnavailableError(base::StrCat("no agent answers at ", target, ": ",
                                               base::ToStd(told.message())));
  }
};

// A call on its way. gRPC reports on its own threads; the call hears of it by its executor. Held by
// gRPC until OnDone has been posted and has run.
class Passed : public Call::Waiting,
               public std::enable_shared_from_this<Passed>,
               protected Task {
 public:
  // `limit` is how long it may take; a stream takes as long as it likes.
  Passed(const Wire* wire, Call* call, std::chrono::milliseconds limit)
      : wire_(wire), call_(call) {
    if (!call->token.empty()) {
      context_.AddMetadata("x-consul-token", std::string(call->token));
    }
    if (!call->method().server_streaming) {
      context_.set_deadline(std::chrono::system_clock::now() + limit);
    }
  }

  // Fails calls whose request does not fit into a message.
  virtual void Begin() = 0;

  void Cancel() override { context_.TryCancel(); }

 protected:
  bool EncodeRequest(ByteBuffer* bytes) {
    size_t size = 0;
    return Encode(call_->request(), INT_MAX, bytes, &size);
  }

  void Hold() {
    self_ = shared_from_this();
    call_->waiting = self_;
  }

  void PostToExecutor() { call_->executor()->Post(this); }

  // Ends the call; runs on its executor.
  void Finish(absl::Status status) {
    const auto self = std::move(self_);
    call_->waiting.reset();
    call_->status = std::move(status);
    call_->Done();
  }

  absl::Status Malformed() const {
    return absl::InternalError(base::StrCat("the agent at ", wire_->target,
                                            " answered with what is not a ",
                                            call_->method().response_prototype->GetTypeName()));
  }

  const Wire* const wire_;
  Call* const call_;
  grpc::ClientContext context_;
  ByteBuffer request_;

 private:
  std::shared_ptr<Passed> self_;
};

class PassedUnary final : public Passed {
 public:
  using Passed::Passed;

  void Begin() override {
    Hold();
    if (!EncodeRequest(&request_)) {
      status_ = grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "request is larger than 2 GB");
      return PostToExecutor();
    }
    wire_->stub->UnaryCall(&context_, call_->method().path, grpc::StubOptions(), &request_, &reply_,
                           [this](grpc::Status status) {
                             status_ = std::move(status);
                             PostToExecutor();
                           });
  }

 private:
  void Run() override {
    if (!status_.ok()) return Finish(wire_->Told(status_));
    Finish(Decode(reply_, call_->response()) ? absl::OkStatus() : Malformed());
  }

  ByteBuffer reply_;
  grpc::Status status_;
};

// A stream: the next message is read when the face has taken the last one, so that it is the agent
// that finds a slow face out.
class PassedStream final : public Passed, private grpc::ClientBidiReactor<ByteBuffer, ByteBuffer> {
 public:
  using Passed::Passed;

  void Begin() override {
    Hold();
    EncodeRequest(&request_);
    wire_->stub->PrepareBidiStreamingCall(&context_, call_->method().path, grpc::StubOptions(),
                                          this);
    StartWriteLast(&request_, grpc::WriteOptions());
    StartRead(&reply_);
    // Reads are started from the executor's thread.
    AddHold();
    StartCall();
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return RemoveHold();
    PostToExecutor();
  }

  void OnDone(const grpc::Status& status) override {
    over_ = true;
    status_ = status;
    PostToExecutor();
  }

  void Run() override {
    if (over_) {
      return Finish(refused_.ok() ? wire_->Told(status_) : refused_);
    }
    if (refused_.ok()) refused_ = Pass();
    if (!refused_.ok()) context_.TryCancel();
    StartRead(&reply_);
  }

  absl::Status Pass() {
    call_->response()->Clear();
    if (!Decode(reply_, call_->response())) return Malformed();
    if (call_->Next()) return absl::OkStatus();
    return Error(errors::v1::REASON_OVERLOADED, "the caller reads too slowly");
  }

  ByteBuffer reply_;
  grpc::Status status_;
  absl::Status refused_;
  bool over_ = false;
};

}  // namespace

class ChannelBackend::Impl {
 public:
  Impl(std::string target, Options options) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetMaxReceiveMessageSize(
        static_cast<int>(std::min<size_t>(options.reply_bytes_max, INT_MAX)));
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
                     static_cast<int>(options.reconnect_min.count()));
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,
                     static_cast<int>(options.reconnect_min.count()));
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS,
                     static_cast<int>(options.reconnect_max.count()));
    // Our own connection and our own settings, whatever else in the process speaks to the agent.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    wire_.stub = std::make_unique<grpc::GenericStub>(
        grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments));
    wire_.target = std::move(target);
    wire_.options = options;
  }

  void SetTimes(const AgentTimes& times) {
    base::MutexLock lock(&mutex_);
    times_ = times;
  }

  void Start(Call* call) {
    const std::chrono::milliseconds limit = wire_.options.timeout + LongestTime(*call, Times());
    if (call->method().server_streaming) {
      std::make_shared<PassedStream>(&wire_, call, limit)->Begin();
    } else {
      std::make_shared<PassedUnary>(&wire_, call, limit)->Begin();
    }
  }

 private:
  AgentTimes Times() const {
    base::MutexLock lock(&mutex_);
    return times_;
  }

  Wire wire_;
  mutable base::Mutex mutex_;
  AgentTimes times_ GUARDED_BY(mutex_);
};

ChannelBackend::ChannelBackend(std::string target, Options options)
    : impl_(std::make_unique<Impl>(std::move(target), options)) {}

ChannelBackend::~ChannelBackend() = default;

void ChannelBackend::Start(Call* call) { impl_->Start(call); }

void ChannelBackend::SetTimes(const AgentTimes& times) { impl_->SetTimes(times); }

}  // namespace consul::rpc
