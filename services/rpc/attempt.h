// services/rpc/attempt.h
//
// One try at a call over one channel, bytes in and bytes out. gRPC reports on its own threads; the
// listener hears of it on the call's executor. What a failure means, and whether there is another
// try, is the listener's to decide.
//
// Threads: Start on the executor's; Cancel from any.
#ifndef CONSUL_SERVICES_RPC_ATTEMPT_H_
#define CONSUL_SERVICES_RPC_ATTEMPT_H_

#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <memory>
#include <string_view>

#include "services/rpc/executor.h"
#include "services/rpc/method.h"

namespace consul::rpc {

class Attempt : protected Task {
 public:
  // Called on the executor, one at a time, never inside Start.
  class Listener {
   public:
    // A message of a streaming method. The next one is read when this returns, so that it is the
    // other end that finds a slow reader out. Returns false when no more is wanted: the attempt is
    // then cancelled.
    virtual bool OnMessage(grpc::ByteBuffer* message) = 0;
    // The attempt is over, and this is the last word of it. `reply` is a unary method's; the
    // listener may take it.
    virtual void OnOver(const grpc::Status& status, grpc::ByteBuffer* reply) = 0;

   protected:
    ~Listener() = default;
  };

  struct What {
    const Method* method;
    std::string_view token;
    // Null: none, as for a stream.
    const std::chrono::system_clock::time_point* deadline;
    // Call::for_leader, at the other end.
    bool for_leader = false;
  };

  // `request` lives until OnOver; `listener` is kept until then.
  static std::shared_ptr<Attempt> Start(grpc::GenericStub* stub, const What& what,
                                        const grpc::ByteBuffer* request, Executor* executor,
                                        std::shared_ptr<Listener> listener);
  Attempt(const What& what, Executor* executor, std::shared_ptr<Listener> listener);
  virtual ~Attempt() = default;

  // OnOver comes soon, with CANCELLED unless the attempt was over already.
  void Cancel() { context_.TryCancel(); }

 protected:
  void Post() { executor_->Post(this); }
  void Over(grpc::ByteBuffer* reply);

  grpc::ClientContext context_;
  grpc::ByteBuffer reply_;
  grpc::Status status_;
  std::shared_ptr<Listener> listener_;

 private:
  virtual void Begin(grpc::GenericStub* stub, const Method& method,
                     const grpc::ByteBuffer* request) = 0;

  Executor* const executor_;
  std::shared_ptr<Attempt> self_;  // from the start until OnOver has returned
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_ATTEMPT_H_
