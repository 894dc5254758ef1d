// services/api/awaited_call.h
//
// A call whose answer comes later and from another thread, as one value or an error: from a pool,
// or from an agent that has to end something first.
//
// Threads: as services/rpc/waiting_call.h; the callback from any.
#ifndef CONSUL_SERVICES_API_AWAITED_CALL_H_
#define CONSUL_SERVICES_API_AWAITED_CALL_H_

#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/rpc/waiting_call.h"

namespace consul::api {

template <typename Value, typename Response>
class AwaitedCall : public rpc::WaitingCall {
 public:
  using Done = std::function<void(absl::StatusOr<Value>)>;
  using Fill = std::function<void(const Value&, Response*)>;

  AwaitedCall(rpc::Call* call, Fill fill) : WaitingCall(call), fill_(std::move(fill)) {}

  // `begin` calls what it is given exactly once.
  void Begin(const std::function<void(Done)>& begin) {
    Attach();
    auto self = std::static_pointer_cast<AwaitedCall>(shared_from_this());
    begin([self = std::move(self)](absl::StatusOr<Value> value) {
      self->value_ = std::move(value);
      self->Wake();
    });
  }

 private:
  void Continue() override {
    if (value_.ok()) fill_(*value_, static_cast<Response*>(call()->response()));
    Finish(value_.status());
  }
  void Detach() override {}

  const Fill fill_;
  absl::StatusOr<Value> value_ = absl::UnknownError("");
};

// Answers `call` with what `begin` tells, by `fill`.
template <typename Value, typename Response>
void Await(rpc::Call* call,
           const std::function<void(std::function<void(absl::StatusOr<Value>)>)>& begin,
           std::function<void(const Value&, Response*)> fill) {
  std::make_shared<AwaitedCall<Value, Response>>(call, std::move(fill))->Begin(begin);
}

// The same where there is nothing to tell but whether it was done.
struct Nothing {};
template <typename Response>
void AwaitStatus(rpc::Call* call,
                 const std::function<void(std::function<void(absl::Status)>)>& begin) {
  Await<Nothing, Response>(
      call,
      [&begin](std::function<void(absl::StatusOr<Nothing>)> done) {
        begin([done = std::move(done)](absl::Status status) {
          if (status.ok()) return done(Nothing());
          done(std::move(status));
        });
      },
      [](const Nothing&, Response*) {});
}

}  // namespace consul::api

#endif  // CONSUL_SERVICES_API_AWAITED_CALL_H_
