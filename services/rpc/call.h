// services/rpc/call.h
//
// One call of a method, from a face (HTTP, DNS, gRPC) through a Backend to its handler and back.
// The face derives from Call, sets the request, and starts it; the backend fills the response and
// says Done.
//
// Life: Start(call) -> (Next)* -> Done, exactly one Done, on the call's executor; Next and Done may
// run inside Start and inside Cancel. The face may destroy the call inside Done or after it, never
// before.
// The response may refer to rows of a state version instead of copies, and may be one that many
// calls are answered with: it is valid only until Done returns, so the face encodes it there.
//
// Threads: Start, Cancel, Next and Done all run on the executor's thread.
#ifndef CONSUL_SERVICES_RPC_CALL_H_
#define CONSUL_SERVICES_RPC_CALL_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "services/rpc/executor.h"
#include "services/rpc/method.h"

namespace google::protobuf {
class Arena;
class Message;
}  // namespace google::protobuf

namespace consul::state {
class Versioned;
}  // namespace consul::state

namespace consul::rpc {

// A hold on a version of the state, opaque to faces.
using Rows = std::shared_ptr<const state::Versioned>;

// Says whether a kept copy of a reply may still be given out. Cleared once, by the watch that
// covers the reply; never set again.
//
// Threads: any.
class Validity {
 public:
  bool holds() const { return holds_.load(std::memory_order_acquire); }
  void Clear() { holds_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> holds_{true};
};

class Call {
 public:
  // `request` and `response` are of the method's types, made by the face, and outlive the call.
  // `response` is on an arena, for it may refer to rows that it must not destroy. For a streaming
  // method it is used again for each message.
  Call(const Method& method, Executor* executor, const google::protobuf::Message* request,
       google::protobuf::Message* response)
      : method_(&method), executor_(executor), request_(request), response_(response) {}
  virtual ~Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  const Method& method() const { return *method_; }
  Executor* executor() const { return executor_; }
  const google::protobuf::Message& request() const { return *request_; }
  // The face's, until the call is answered from one that calls share; then it is not changed.
  google::protobuf::Message* response() const { return response_; }

  // The result, to be read in Done. An error carries an ErrorDetail where there is a reason.
  absl::Status status;

  // Set before Start by a face that keeps replies: `validity` is then set when Done runs with an
  // answer that may be kept, and stays null when it may not.
  bool want_validity = false;
  std::shared_ptr<const Validity> validity;

  // The caller's token, by metadata or header; empty: anonymous. Outlives the call.
  std::string_view token;

  // Set before Start by a face that has the request as bytes, for a method whose backend takes them
  // (Backend::TakesBytes): request() is then empty, and the reply comes as bytes too.
  struct Wire;  // services/rpc/grpc_bytes.h
  Wire* wire = nullptr;

  // Without a leader or a server to ask, wait for one up to the backend's hold timeout. A caller
  // that would rather be told at once says no.
  bool hold = true;
  // The backend's own: until when it holds the call; none where it has not held it yet.
  std::optional<std::chrono::steady_clock::time_point> held_until;

  // Another server passed it on to this one, because it leads: it goes to no third one.
  bool for_leader = false;

  // While Done runs: what owns the rows that the response refers to, and the response where it is
  // shared; null where there are none. A face that goes on reading the response after Done copies
  // it, and lets go of it when it is done.
  const Rows* rows = nullptr;

  // While Done runs: names the answer that this call shares with others; 0: with none. Calls of one
  // backend with the same number are answered with the same response to the same request, but for
  // its index and wait, so a face may give out again what it made of it.
  uint64_t shared_answer = 0;

  // For the backend, before Done: answers from `response` instead of the face's own, as the
  // `number`th answer that calls share.
  void ShareAnswer(google::protobuf::Message* response, uint64_t number) {
    response_ = response;
    shared_answer = number;
  }

  // What the backend keeps of a call that waits; the face does not touch it.
  class Waiting {
   public:
    virtual ~Waiting() = default;
    virtual void Cancel() = 0;
  };
  std::shared_ptr<Waiting> waiting;

  // A message of a streaming method is in response(). The face returns false while it cannot take
  // more: the backend then ends the call with RESOURCE_EXHAUSTED rather than buffer for it.
  virtual bool Next() { return false; }
  // The call is over: status and response() say how.
  virtual void Done() = 0;

 private:
  const Method* const method_;
  Executor* const executor_;
  const google::protobuf::Message* const request_;
  google::protobuf::Message* response_;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_CALL_H_
