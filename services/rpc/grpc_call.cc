#include "services/rpc/grpc_call.h"

#include <google/protobuf/arena.h>
#include <google/protobuf/message.h>

#include <atomic>
#include <deque>
#include <string>
#include <utility>

#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/rpc/grpc_status.h"

namespace consul::rpc {
namespace {

using google::protobuf::Arena;
using google::protobuf::Message;

constexpr const char* kTokenMetadata = "x-consul-token";

// What both kinds have in common: the messages' arena, and the way onto the executor and off it.
// gRPC's hold and each posted task's hold keep it alive.
class GrpcCall : protected Call {
 public:
  GrpcCall(const Method& method, Backend* backend, Executor* executor,
           grpc::CallbackServerContext* context)
      : GrpcCall(method, backend, executor, context, std::make_unique<Arena>()) {}

 protected:
  // Starts the call, on gRPC's thread.
  void Begin(const grpc::ByteBuffer& request) {
    const auto token = context_->client_metadata().find(kTokenMetadata);
    if (token != context_->client_metadata().end()) {
      token_.assign(token->second.data(), token->second.size());
      this->token = token_;
    }
    if (!Decode(request, request_)) {
      status = Error(errors::v1::REASON_INVALID_FIELD,
                     base::StrCat("the request is not a ",
                                  this->method().descriptor->input_type()->full_name()));
      return Done();
    }
    Hold();
    executor()->Post(&start_);
  }

  // The client is gone; on gRPC's thread.
  void CancelFromGrpc() {
    if (cancelled_.exchange(true)) return;
    Hold();
    executor()->Post(&cancel_);
  }

  void Hold() { holds_.fetch_add(1, std::memory_order_relaxed); }
  void Drop() {
    if (holds_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  bool done_ = false;  // executor's

 private:
  GrpcCall(const Method& method, Backend* backend, Executor* executor,
           grpc::CallbackServerContext* context, std::unique_ptr<Arena> arena)
      : GrpcCall(method, backend, executor, context, method.request_prototype->New(arena.get()),
                 std::move(arena)) {}
  GrpcCall(const Method& method, Backend* backend, Executor* executor,
           grpc::CallbackServerContext* context, Message* request, std::unique_ptr<Arena> arena)
      : Call(method, executor, request, method.response_prototype->New(arena.get())),
        arena_(std::move(arena)),
        request_(request),
        backend_(backend),
        context_(context),
        start_(this),
        cancel_(this) {}

  class StartTask : public Task {
   public:
    explicit StartTask(GrpcCall* call) : call_(call) {}
    void Run() override {
      call_->backend_->Start(call_);
      call_->Drop();
    }

   private:
    GrpcCall* const call_;
  };
  class CancelTask : public Task {
   public:
    explicit CancelTask(GrpcCall* call) : call_(call) {}
    void Run() override {
      if (!call_->done_) call_->backend_->Cancel(call_);
      call_->Drop();
    }

   private:
    GrpcCall* const call_;
  };

  const std::unique_ptr<Arena> arena_;
  Message* const request_;
  Backend* const backend_;
  grpc::CallbackServerContext* const context_;
  std::string token_;
  StartTask start_;
  CancelTask cancel_;
  std::atomic<bool> cancelled_{false};
  std::atomic<int> holds_{1};  // gRPC's
};

class UnaryCall final : public GrpcCall, public grpc::ServerUnaryReactor {
 public:
  UnaryCall(const Method& method, Backend* backend, Executor* executor,
            grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
            grpc::ByteBuffer* reply)
      : GrpcCall(method, backend, executor, context), reply_(reply) {
    Begin(*request);
  }

 private:
  void Done() override {
    done_ = true;
    if (status.ok()) *reply_ = Encode(*response());
    Finish(ToGrpc(status));
  }
  void OnCancel() override { CancelFromGrpc(); }
  void OnDone() override { Drop(); }

  grpc::ByteBuffer* const reply_;
};

class StreamCall final : public GrpcCall, public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  StreamCall(const Method& method, Backend* backend, Executor* executor,
             grpc::CallbackServerContext* context, const grpc::ByteBuffer* request)
      : GrpcCall(method, backend, executor, context) {
    // The headers go at once: a client sees that its stream is open before anything is in it.
    StartSendInitialMetadata();
    Begin(*request);
  }

 private:
  bool Next() override {
    base::MutexLock lock(&mutex_);
    if (waiting_.size() >= kStreamMessagesMax) return false;
    waiting_.push_back(Encode(*response()));
    if (waiting_.size() == 1) StartWrite(&waiting_.front());
    return true;
  }
  void Done() override {
    done_ = true;
    base::MutexLock lock(&mutex_);
    if (waiting_.empty()) {
      Finish(ToGrpc(status));
    } else {
      finish_ = true;
    }
  }
  void OnWriteDone(bool ok) override {
    base::MutexLock lock(&mutex_);
    waiting_.pop_front();
    if (!ok) waiting_.clear();
    if (!waiting_.empty()) {
      StartWrite(&waiting_.front());
    } else if (finish_) {
      Finish(ToGrpc(status));
    }
  }
  void OnCancel() override { CancelFromGrpc(); }
  void OnDone() override { Drop(); }

  base::Mutex mutex_;
  // The first is being written.
  std::deque<grpc::ByteBuffer> waiting_ GUARDED_BY(mutex_);
  bool finish_ GUARDED_BY(mutex_) = false;
};

}  // namespace

grpc::ServerUnaryReactor* StartUnary(const Method& method, Backend* backend, Executor* executor,
                                     grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) {
  return new UnaryCall(method, backend, executor, context, request, response);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* StartStream(const Method& method, Backend* backend,
                                                        Executor* executor,
                                                        grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request) {
  return new StreamCall(method, backend, executor, context, request);
}

}  // namespace consul::rpc
