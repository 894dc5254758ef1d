#include "services/rpc/shared_reads.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/rpc/evaluation.h"
#include "services/rpc/grpc_bytes.h"
#include "services/rpc/grpc_strand.h"
#include "services/rpc/waiting_call.h"

namespace consul::rpc {
namespace {

using Clock = std::chrono::steady_clock;

std::string KeyOf(const Call& call, const grpc::ByteBuffer& request) {
  std::string key;
  const auto add = [&key](const auto& value) {
    key.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  add(call.method().id);
  add(call.hold);
  add(call.token.size());
  key.append(call.token);
  std::vector<grpc::Slice> slices;
  const bool dumped = request.Dump(&slices).ok();
  CONSUL_CHECK(dumped);
  for (const grpc::Slice& slice : slices) {
    key.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return key;
}

}  // namespace

// What a call brought. Immutable.
struct SharedReads::Answer {
  absl::Status status;
  grpc::ByteBuffer reply;
  uint64_t index = 0;  // of the result; 0: it has none
  Clock::time_point begun;
  Clock::time_point ended;
};

// A read that waits.
class SharedReads::Member final : public WaitingCall, private base::Timer {
 public:
  Member(SharedReads* reads, Call* call, grpc::ByteBuffer request,
         const query::v1::QueryOptions& options)
      : WaitingCall(call),
        reads_(reads),
        request_(std::move(request)),
        key_(KeyOf(*call, request_)),
        given_(options.index()),
        came_(Clock::now()),
        deadline_(came_ + WaitOf(options, reads->options_.wait_default,
                                 reads->options_.wait_max)) {}

  void Begin() {
    Attach();
    reads_->Join(this);
  }

  const std::string& key() const { return key_; }
  const grpc::ByteBuffer& request() const { return request_; }
  const Call& asker() const { return *call(); }

  // The call that it waits for, and what it brought: guarded by the mutex of the reads.
  Upstream* upstream = nullptr;
  std::shared_ptr<const Answer> answer;

 private:
  void Due() override {
    late_.store(true);
    Wake();
  }

  void Continue() override {
    std::shared_ptr<const Answer> brought;
    {
      base::MutexLock lock(&reads_->mutex_);
      brought = std::move(answer);
    }
    if (brought != nullptr) return Take(*brought);
    if (late_.load()) return EndWait();
  }

  void Take(const Answer& brought) {
    // Of an error it does not matter when it was asked for.
    if (alone_ || !brought.status.ok() || brought.begun >= came_) return Give(brought);
    if (brought.index <= given_) {
      // The server may wait for less than it is asked for; nobody waits longer than it did.
      deadline_ = std::min(deadline_, came_ + (brought.ended - brought.begun));
      if (Clock::now() >= deadline_) return EndWait();
    }
    if (!std::exchange(timed_, true)) reads_->timers_->Add(this, deadline_);
    reads_->Join(this);
  }

  // Its time is over: it asks how things are now.
  void EndWait() {
    if (std::exchange(alone_, true)) return;
    reads_->AskAlone(this);
  }

  void Detach() override {
    if (timed_) reads_->timers_->Remove(this);
    reads_->Leave(this);
  }

  void Give(const Answer& brought) {
    if (!brought.status.ok()) return Finish(brought.status);
    if (call()->wire != nullptr) {
      call()->wire->reply = brought.reply;
    } else if (!Decode(brought.reply, call()->response())) {
      return Finish(absl::InternalError(
          base::StrCat("a server answered with what is not a ",
                       call()->method().response_prototype->GetTypeName())));
    }
    Finish(absl::OkStatus());
  }

  SharedReads* const reads_;
  const grpc::ByteBuffer request_;
  const std::string key_;
  const uint64_t given_;
  const Clock::time_point came_;
  Clock::time_point deadline_;
  std::atomic<bool> late_{false};
  bool timed_ = false;
  bool alone_ = false;
};

// A read on its way to a server, for all who wait for it.
class SharedReads::Upstream final : public Call, public Waking {
 public:
  Upstream(SharedReads* reads, Executor* executor, const Member& first, bool alone)
      : Call(first.asker().method(), executor, first.asker().method().request_prototype, nullptr),
        Waking(executor),
        key(alone ? std::string() : first.key()),
        reads_(reads),
        token_(first.asker().token),
        begun_at_(Clock::now()) {
    bytes_.request =
        alone ? WithWait(first.request(), std::chrono::milliseconds(1)) : first.request();
    wire = &bytes_;
    token = token_;
    hold = first.asker().hold;
  }

  // Begins, on its executor.
  void Begin() {
    self_ = std::static_pointer_cast<Upstream>(shared_from_this());
    Wake();
  }
  // Nobody waits for it any more. From any thread.
  void GiveUp() {
    given_up_.store(true);
    Wake();
  }

  void Done() override {
    const std::shared_ptr<Upstream> self = std::move(self_);
    reads_->Over(this);
  }

  std::shared_ptr<const Answer> TakeAnswer() {
    auto answer = std::make_shared<Answer>();
    answer->status = status;
    answer->begun = begun_at_;
    answer->ended = Clock::now();
    if (status.ok()) {
      answer->reply.Swap(&bytes_.reply);
      answer->index = IndexOf(method(), answer->reply);
    }
    return answer;
  }

  const std::string key;  // in the table; empty: it is not there, for it has one member for good
  std::unordered_set<Member*> members;  // guarded by the mutex of the reads

 private:
  void OnWake() override {
    if (!std::exchange(begun_, true)) {
      if (!given_up_.load()) return reads_->forward_(this);
      status = absl::CancelledError("nobody waits for it");
      Done();
    } else if (given_up_.load() && waiting != nullptr) {
      const std::shared_ptr<Waiting> cancelled = waiting;
      cancelled->Cancel();
    }
  }

  SharedReads* const reads_;
  const std::string token_;
  const Clock::time_point begun_at_;
  Call::Wire bytes_;
  bool begun_ = false;
  std::atomic<bool> given_up_{false};
  std::shared_ptr<Upstream> self_;  // from Begin to Done
};

SharedReads::SharedReads(Options options, base::TimerQueue* timers,
                         std::function<void(Call*)> forward)
    : options_(options), timers_(timers), forward_(std::move(forward)) {}

SharedReads::~SharedReads() {
  AwaitEnd();
  base::MutexLock lock(&mutex_);
  CONSUL_CHECK(waiting_ == 0);
}

void SharedReads::AwaitEnd() {
  base::MutexLock lock(&mutex_);
  while (under_way_ > 0) ended_.Wait(&mutex_);
}

void SharedReads::Start(Call* call) {
  grpc::ByteBuffer request;
  size_t size = 0;
  if (call->wire != nullptr) {
    request = call->wire->request;
  } else if (!Encode(call->request(), INT_MAX, &request, &size)) {
    call->status = Error(errors::v1::REASON_TOO_LARGE, "request is larger than 2 GB");
    return call->Done();
  }
  const query::v1::QueryOptions options = OptionsOf(call->method(), request);
  CONSUL_CHECK(options.index() != 0);
  bool full = false;
  {
    base::MutexLock lock(&mutex_);
    full = waiting_ >= options_.reads_max;
    if (!full) ++waiting_;
  }
  if (full) {
    call->status = Error(errors::v1::REASON_OVERLOADED,
                         base::StrCat(options_.reads_max,
                                      " blocking queries wait already, the most there may be"));
    return call->Done();
  }
  std::make_shared<Member>(this, call, std::move(request), options)->Begin();
}

std::shared_ptr<SharedReads::Upstream> SharedReads::MakeUpstream(Member* member, bool alone) {
  if (thread_ == nullptr) thread_ = std::make_unique<EventThread>([] {}, "shared-reads");
  ++under_way_;
  return std::make_shared<Upstream>(this, thread_.get(), *member, alone);
}

void SharedReads::Join(Member* member) {
  std::shared_ptr<Upstream> begun;
  {
    base::MutexLock lock(&mutex_);
    std::shared_ptr<Upstream>& upstream = upstreams_[member->key()];
    if (upstream == nullptr) upstream = begun = MakeUpstream(member, /*alone=*/false);
    upstream->members.insert(member);
    member->upstream = upstream.get();
  }
  if (begun != nullptr) begun->Begin();
}

void SharedReads::AskAlone(Member* member) {
  Part(member);
  std::shared_ptr<Upstream> begun;
  {
    base::MutexLock lock(&mutex_);
    // What came meanwhile is not waited for any more.
    member->answer.reset();
    begun = MakeUpstream(member, /*alone=*/true);
    begun->members.insert(member);
    member->upstream = begun.get();
  }
  begun->Begin();
}

void SharedReads::Leave(Member* member) {
  Part(member);
  base::MutexLock lock(&mutex_);
  --waiting_;
}

void SharedReads::Part(Member* member) {
  std::shared_ptr<Upstream> given_up;
  {
    base::MutexLock lock(&mutex_);
    if (member->upstream == nullptr) return;
    Upstream* const upstream = std::exchange(member->upstream, nullptr);
    upstream->members.erase(member);
    if (!upstream->members.empty()) return;
    // Before the table lets go of it.
    given_up = std::static_pointer_cast<Upstream>(upstream->shared_from_this());
    upstreams_.erase(given_up->key);
  }
  given_up->GiveUp();
}

void SharedReads::Over(Upstream* upstream) {
  const std::shared_ptr<const Answer> answer = upstream->TakeAnswer();
  base::MutexLock lock(&mutex_);
  // One that was given up is not in the table, and another may be in its place.
  if (!upstream->members.empty() && !upstream->key.empty()) upstreams_.erase(upstream->key);
  for (Member* const member : upstream->members) {
    member->upstream = nullptr;
    member->answer = answer;
    member->Wake();
  }
  upstream->members.clear();
  --under_way_;
  ended_.SignalAll();
}

}  // namespace consul::rpc
