#include "services/rpc/forwarded_call.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <climits>
#include <random>
#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/rpc/grpc_bytes.h"
#include "services/rpc/grpc_status.h"

namespace consul::rpc {
namespace {

using std::chrono::milliseconds;

// No wait is longer, whatever a request says: a limit for the deadline, beyond any server's own.
constexpr milliseconds kWaitMax = std::chrono::hours(24);
// Between two rounds through the servers a call pauses for this part of the hold timeout at most,
// and for half of it at least: calls that failed together come back apart (the reference's
// fraction).
constexpr int kPauseFraction = 16;

bool IsRepeatable(options::v1::Kind kind) {
  switch (kind) {
    case options::v1::KIND_READ:
    case options::v1::KIND_SERVER:
      return true;
    case options::v1::KIND_WRITE:
    case options::v1::KIND_LEADER:
      return false;
    // Neither is forwarded.
    case options::v1::KIND_LOCAL:
    case options::v1::KIND_UNSPECIFIED:
    case options::v1::Kind_INT_MIN_SENTINEL_DO_NOT_USE_:
    case options::v1::Kind_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  CONSUL_CHECK(false);
  return false;
}

// How long a read blocks at a server; none for another call.
milliseconds WaitOf(const query::v1::QueryOptions& asked, const ForwardBackend::Options& options) {
  if (asked.index() == 0) return milliseconds(0);
  const int64_t seconds =
      std::clamp<int64_t>(asked.wait().seconds(), 0, kWaitMax / std::chrono::seconds(1));
  const milliseconds wait =
      std::chrono::seconds(seconds) + milliseconds(asked.wait().nanos() / 1'000'000);
  return wait.count() > 0 ? std::min(wait, kWaitMax) : options.wait_default;
}

milliseconds RandomPause(milliseconds hold_timeout) {
  thread_local std::minstd_rand random{std::random_device{}()};
  const int64_t longest = std::max<int64_t>(hold_timeout.count() / kPauseFraction, 2);
  return milliseconds(std::uniform_int_distribution<int64_t>(longest / 2, longest)(random));
}

// Why an attempt was cancelled.
std::string_view TextOf(ServerLink::Fate fate) {
  switch (fate) {
    case ServerLink::Fate::kServes:
      return "the call was cancelled";
    case ServerLink::Fate::kLeft:
      return "it leaves";
    case ServerLink::Fate::kFailed:
      return "it has failed";
    case ServerLink::Fate::kSilent:
      return "it gives no sign of life";
  }
  CONSUL_CHECK(false);
  return "";
}

}  // namespace

ForwardedCall::ForwardedCall(const ForwardBackend::Options* options, ServerLinks* links,
                             base::TimerQueue* timers, Call* call)
    : WaitingCall(call),
      options_(options),
      links_(links),
      timers_(timers),
      repeatable_(IsRepeatable(call->method().kind)) {}

void ForwardedCall::Begin() {
  Attach();
  size_t size = 0;
  if (call()->wire != nullptr) {
    request_ = call()->wire->request;
  } else if (!Encode(call()->request(), INT_MAX, &request_, &size)) {
    return EndWith(Error(errors::v1::REASON_TOO_LARGE, "request is larger than 2 GB"));
  }
  const query::v1::QueryOptions asked = OptionsOf(call()->method(), request_);
  wait_ = WaitOf(asked, *options_);
  begun_ = trying_since_ = Clock::now();
  // The server adds a sixteenth at random to a wait, and may have a longer one where none is named.
  const milliseconds longest = asked.has_wait() ? wait_ : std::max(wait_, options_->wait_max);
  deadline_ = std::chrono::system_clock::now() +
              (repeatable_ ? options_->read_margin : options_->margin);
  if (IsBlocking()) deadline_ += longest + longest / 16;
  Try();
}

void ForwardedCall::Try() {
  state_ = State::kIdle;
  due_at_ = Clock::time_point::max();
  link_ = links_->Choose(tried_);
  if (link_ == nullptr && !tried_.empty()) return Pause();
  if (link_ == nullptr) {
    return EndWith(options_->for_leader
                       ? Error(errors::v1::REASON_NO_LEADER, "No cluster leader")
                       : Error(errors::v1::REASON_NO_SERVERS, "No known Consul servers"));
  }
  // What is sent on a connection that is being made may have arrived when making it fails, for all
  // that gRPC says: a write waits for the server to say that it is there.
  if (repeatable_ || link_->IsWell()) return Ask();
  state_ = State::kConnecting;
  ping_.store(Ping::kUnderWay);
  auto self = std::static_pointer_cast<ForwardedCall>(shared_from_this());
  links_->Ping(link_, [self = std::move(self)](ServerLinks::Pulse pulse) {
    self->ping_.store(pulse == ServerLinks::Pulse::kServes ? Ping::kServes : Ping::kDoesNot);
    self->Wake();
  });
}

void ForwardedCall::Ask() {
  const Method& method = call()->method();
  if (!links_->Add(link_, this, IsBlocking() || method.server_streaming)) {
    return TryAnother(absl::UnavailableError("it has just left or failed"));
  }
  state_ = State::kAsking;
  asked_at_ = Clock::now();
  sent_ = request_;
  if (IsBlocking() && !last_.ok()) {
    // It has waited elsewhere already.
    const auto waited = std::chrono::ceil<milliseconds>(asked_at_ - begun_);
    sent_ = WithWait(request_, std::max(wait_ - waited, milliseconds(1)));
  }
  attempt_ = Attempt::Start(
      link_->stub(),
      {&method, call()->token, method.server_streaming ? nullptr : &deadline_,
       options_->for_leader},
      &sent_,
      call()->executor(), std::static_pointer_cast<ForwardedCall>(shared_from_this()));
}

void ForwardedCall::Continue() {
  switch (state_) {
    // A link or a timer may have woken it for what is over already.
    case State::kConnecting:
      if (ping_.load() == Ping::kUnderWay) return;
      if (ping_.load() == Ping::kServes) return Ask();
      return TryAnother(absl::UnavailableError("it does not say that it serves"));
    case State::kPausing:
      if (Clock::now() < due_at_) return;
      return Try();
    case State::kAsking:
      return Look();
    case State::kIdle:
      break;
  }
  CONSUL_CHECK(false);
}

void ForwardedCall::Look() {
  const ServerLink::Fate fate = link_->FateOf(this);
  // A write that is on its way cannot be taken back. Of one that has failed, or whose caller is
  // gone, the outcome may still come; of one that is silent it does not.
  const bool hopeless = repeatable_ ? fate != ServerLink::Fate::kServes
                                    : fate == ServerLink::Fate::kSilent || Clock::now() >= due_at_;
  if (hopeless) return attempt_->Cancel();
  if (fate == ServerLink::Fate::kFailed) GiveTime();
}

void ForwardedCall::GiveTime() {
  if (due_at_ != Clock::time_point::max()) return;
  due_at_ = Clock::now() + options_->cancelled_write_wait;
  timers_->Add(this, due_at_);
}

void ForwardedCall::Detach() { timers_->Remove(this); }

void ForwardedCall::Cancel() {
  if (cancelled_) return;
  if (state_ != State::kAsking) return WaitingCall::Cancel();
  cancelled_ = true;
  if (repeatable_) return attempt_->Cancel();
  GiveTime();
}

bool ForwardedCall::OnMessage(grpc::ByteBuffer* message) {
  delivered_ = true;
  refused_ = GiveReply(message);
  if (refused_.ok() && !call()->Next()) {
    refused_ = Error(errors::v1::REASON_OVERLOADED, "the caller reads too slowly");
  }
  return refused_.ok();
}

void ForwardedCall::OnOver(const grpc::Status& status, grpc::ByteBuffer* reply) {
  absl::Status told = FromGrpc(status);
  const Meaning meaning = MeaningOf(told);
  // gRPC says of a cancelled attempt that it was cancelled.
  if (absl::IsCancelled(told) && meaning == Meaning::kBroken) {
    told = absl::CancelledError(base::ToAbsl(TextOf(link_->FateOf(this))));
  }
  link_->Remove(this, Clock::now(), meaning != Meaning::kBroken);
  attempt_.reset();
  state_ = State::kIdle;
  if (due_at_ != Clock::time_point::max()) timers_->Remove(this);
  due_at_ = Clock::time_point::max();
  if (!refused_.ok()) return EndWith(refused_);
  if (told.ok()) {
    link_->SetFailing(false);
    if (!call()->method().server_streaming) told = GiveReply(reply);
    return EndWith(std::move(told));
  }
  if (cancelled_ && repeatable_) return WaitingCall::Cancel();
  switch (meaning) {
    case Meaning::kFinal:
      return EndWith(std::move(told));
    case Meaning::kNothing:
      links_->CannotDo(*link_);
      return TryAnother(std::move(told));
    case Meaning::kBroken:
      links_->Failed(link_.get(), told);
      if (!repeatable_ || delivered_ || absl::IsDeadlineExceeded(told)) {
        return EndWith(Broken(told));
      }
      // It has been well for long: what comes now is another trouble.
      if (Clock::now() - asked_at_ > options_->hold_timeout) trying_since_ = Clock::now();
      return TryAnother(Broken(told));
  }
}

ForwardedCall::Meaning ForwardedCall::MeaningOf(const absl::Status& status) const {
  switch (Detail(status).reason()) {
    case errors::v1::REASON_NO_LEADER:
      // Such a call has put nothing into the log (services/rpc/consensus.h).
      return Meaning::kNothing;
    case errors::v1::REASON_SHUTTING_DOWN:
      return repeatable_ ? Meaning::kNothing : Meaning::kFinal;
    case errors::v1::REASON_UNSPECIFIED:
      break;
    default:  // An open enum. With any other reason the server has spoken.
      return Meaning::kFinal;
  }
  return IsOfServer(status) ? Meaning::kFinal : Meaning::kBroken;
}

absl::Status ForwardedCall::Broken(const absl::Status& why) const {
  const std::string text =
      base::StrCat("rpc error: ", link_->Name(), " broke off: ", base::ToStd(why.message()));
  if (repeatable_) return Error(errors::v1::REASON_NO_SERVERS, text);
  return Error(errors::v1::REASON_OUTCOME_UNKNOWN,
               base::StrCat(text, "; the write may or may not have been done"));
}

void ForwardedCall::TryAnother(absl::Status why) {
  if (Detail(why).reason() == errors::v1::REASON_UNSPECIFIED) {
    // A write that has not been sent.
    links_->Failed(link_.get(), why);
    why = Error(errors::v1::REASON_NO_SERVERS,
                base::StrCat("rpc error: ", link_->Name(), ": ", base::ToStd(why.message())));
  }
  last_ = std::move(why);
  tried_.push_back(link_->server().id);
  link_.reset();
  if (cancelled_) return WaitingCall::Cancel();
  if (TriedLongEnough()) return EndWith(last_);
  Try();
}

bool ForwardedCall::TriedLongEnough() const {
  return !call()->hold || Clock::now() - trying_since_ >= options_->hold_timeout;
}

void ForwardedCall::Pause() {
  tried_.clear();
  if (TriedLongEnough()) return EndWith(last_);
  state_ = State::kPausing;
  const auto end = trying_since_ + options_->hold_timeout;
  due_at_ = std::min(end, Clock::now() + RandomPause(options_->hold_timeout));
  timers_->Add(this, due_at_);
}

absl::Status ForwardedCall::GiveReply(grpc::ByteBuffer* reply) {
  if (call()->wire != nullptr) {
    call()->wire->reply.Swap(reply);
    return absl::OkStatus();
  }
  call()->response()->Clear();
  if (Decode(*reply, call()->response())) return absl::OkStatus();
  return absl::InternalError(base::StrCat(link_->Name(), " answered with what is not a ",
                                          call()->method().response_prototype->GetTypeName()));
}

void ForwardedCall::EndWith(absl::Status status) {
  link_.reset();
  Finish(std::move(status));
}

}  // namespace consul::rpc
