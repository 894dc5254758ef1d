// services/rpc/forwarded_call.h
//
// One call on its way from a client agent to a server: the tries, and what the failure of each
// means. The rules for what may be tried again are here and nowhere else.
//
// Threads: as a WaitingCall.
#ifndef CONSUL_SERVICES_RPC_FORWARDED_CALL_H_
#define CONSUL_SERVICES_RPC_FORWARDED_CALL_H_

#include <grpcpp/support/byte_buffer.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "services/base/timer_queue.h"
#include "services/rpc/attempt.h"
#include "services/rpc/forward_backend.h"
#include "services/rpc/server_links.h"
#include "services/rpc/waiting_call.h"

namespace consul::rpc {

class ForwardedCall final : public WaitingCall,
                            public Attempt::Listener,
                            private base::Timer {
 public:
  // All but the call outlive it.
  ForwardedCall(const ForwardBackend::Options* options, ServerLinks* links,
                base::TimerQueue* timers, Call* call);

  void Begin();
  void Cancel() override;

 private:
  using Clock = std::chrono::steady_clock;
  enum class State {
    kIdle,        // between two tries, within one function
    kConnecting,  // a write: until the server says that it serves
    kAsking,      // an attempt is under way
    kPausing,     // every server was asked; the next round comes soon
  };
  enum class Ping { kUnderWay, kServes, kDoesNot };
  // What the failure of an attempt means.
  enum class Meaning {
    kFinal,    // the caller's to know
    kNothing,  // nothing came of it: it may be tried again
    kBroken,   // the server broke off
  };

  void Try();
  void Ask();
  void TryAnother(absl::Status why);
  void Pause();
  // It was woken while an attempt is under way: is there anything to wait for?
  void Look();
  // The write under way has only so long left.
  void GiveTime();
  void EndWith(absl::Status status);

  void Continue() override;
  void Detach() override;
  void Due() override { Wake(); }
  bool OnMessage(grpc::ByteBuffer* message) override;
  void OnOver(const grpc::Status& status, grpc::ByteBuffer* reply) override;

  Meaning MeaningOf(const absl::Status& status) const;
  absl::Status GiveReply(grpc::ByteBuffer* reply);
  absl::Status Broken(const absl::Status& why) const;
  bool TriedLongEnough() const;
  bool IsBlocking() const { return wait_.count() != 0; }

  const ForwardBackend::Options* const options_;
  ServerLinks* const links_;
  base::TimerQueue* const timers_;
  // Doing it twice is the same as doing it once.
  const bool repeatable_;

  State state_ = State::kIdle;
  bool cancelled_ = false;
  std::atomic<Ping> ping_{Ping::kUnderWay};
  bool delivered_ = false;  // of a stream: its caller has messages of this attempt
  grpc::ByteBuffer request_;
  grpc::ByteBuffer sent_;  // in the last attempt; while it is under way gRPC's
  std::chrono::milliseconds wait_{0};  // of a blocking read
  std::chrono::system_clock::time_point deadline_;
  Clock::time_point begun_;
  Clock::time_point trying_since_;  // without success
  Clock::time_point asked_at_;
  // When the pause is over, or the time of the write under way. The timer is queued until then.
  Clock::time_point due_at_ = Clock::time_point::max();
  std::vector<std::string> tried_;  // in this round, by id
  absl::Status last_;               // why the last try failed
  absl::Status refused_;            // of a stream's message, by its caller
  std::shared_ptr<ServerLink> link_;
  std::shared_ptr<Attempt> attempt_;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_FORWARDED_CALL_H_
