#include "services/rpc/attempt.h"

#include <grpcpp/support/client_callback.h>

#include <string>
#include <utility>

namespace consul::rpc {
namespace {

using grpc::ByteBuffer;

class UnaryAttempt final : public Attempt {
 public:
  using Attempt::Attempt;

 private:
  void Begin(grpc::GenericStub* stub, const Method& method, const ByteBuffer* request) override {
    stub->UnaryCall(&context_, method.path, grpc::StubOptions(), request, &reply_,
                    [this](grpc::Status status) {
                      status_ = std::move(status);
                      Post();
                    });
  }

  void Run() override { Over(&reply_); }
};

class StreamAttempt final : public Attempt,
                            private grpc::ClientBidiReactor<ByteBuffer, ByteBuffer> {
 public:
  using Attempt::Attempt;

 private:
  void Begin(grpc::GenericStub* stub, const Method& method, const ByteBuffer* request) override {
    stub->PrepareBidiStreamingCall(&context_, method.path, grpc::StubOptions(), this);
    StartWriteLast(request, grpc::WriteOptions());
    StartRead(&reply_);
    // Reads are started from the executor's thread.
    AddHold();
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return RemoveHold();
    Post();
  }

  void OnDone(const grpc::Status& status) override {
    over_ = true;
    status_ = status;
    Post();
  }

  void Run() override {
    if (over_) return Over(&reply_);
    if (wanted_) wanted_ = listener_->OnMessage(&reply_);
    if (!wanted_) context_.TryCancel();
    StartRead(&reply_);
  }

  bool over_ = false;
  bool wanted_ = true;
};

}  // namespace

std::shared_ptr<Attempt> Attempt::Start(grpc::GenericStub* stub, const What& what,
                                        const ByteBuffer* request, Executor* executor,
                                        std::shared_ptr<Listener> listener) {
  std::shared_ptr<Attempt> attempt;
  if (what.method->server_streaming) {
    attempt = std::make_shared<StreamAttempt>(what, executor, std::move(listener));
  } else {
    attempt = std::make_shared<UnaryAttempt>(what, executor, std::move(listener));
  }
  attempt->self_ = attempt;
  attempt->Begin(stub, *what.method, request);
  return attempt;
}

Attempt::Attempt(const What& what, Executor* executor, std::shared_ptr<Listener> listener)
    : listener_(std::move(listener)), executor_(executor) {
  if (!what.token.empty()) context_.AddMetadata("x-consul-token", std::string(what.token));
  if (what.for_leader) context_.AddMetadata("x-consul-for-leader", "1");
  if (what.deadline != nullptr) context_.set_deadline(*what.deadline);
}

void Attempt::Over(ByteBuffer* reply) {
  const std::shared_ptr<Attempt> self = std::move(self_);
  const std::shared_ptr<Listener> listener = std::move(listener_);
  listener->OnOver(status_, reply);
}

}  // namespace consul::rpc
