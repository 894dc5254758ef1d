#include "services/rpc/shared_reads.h"

#include <google/protobuf/message.h>

#include <atomic>
#include <climits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
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

// What a shared call brought. Immutable.
struct SharedReads::Answer {
  absl::Status status;
  grpc::ByteBuffer reply;
  uint64_t index = 0;  // of the result; 0: it has none
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
        given_(options.index()) {
    std::chrono::milliseconds wait(options.wait().seconds() * 1000 +
                                   options.wait().nanos() / 1'000'000);
    if (wait.count() <= 0) wait = reads->options_.wait_default;
    deadline_ = Clock::now() + wait;
  }

  void Begin() {
    Attach();
    reads_->Join(std::static_pointer_cast<Member>(shared_from_this()));
  }

  const std::string& key() const { return key_; }
  const grpc::ByteBuffer& request() const { return request_; }
  const Call& asker() const { return *call(); }

  // The call that it waits for, whether that was begun for it, and what it brought: guarded by the
  // mutex of the reads.
  Upstream* upstream = nullptr;
  bool began = false;
  std::shared_ptr<const Answer> answer;

 private:
  void Due() override {
    late_.store(true);
    Wake();
  }

  void Continue() override {
    std::shared_ptr<const Answer> brought;
    bool own = false;
    {
      base::MutexLock lock(&reads_->mutex_);
      brought = std::move(answer);
      own = began;
    }
    if (brought != nullptr) {
      const bool moved = !brought->status.ok() || brought->index != given_;
      if (own || moved || Clock::now() >= deadline_) return Give(*brought);
      last_ = std::move(brought);
      if (!std::exchange(timed_, true)) reads_->timers_->Add(this, deadline_);
      reads_->Join(std::static_pointer_cast<Member>(shared_from_this()));
    } else if (late_.load()) {
      Give(*last_);
    }
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
  Clock::time_point deadline_;
  std::atomic<bool> late_{false};
  bool timed_ = false;
  std::shared_ptr<const Answer> last_;  // that brought no change
};

// A read on its way to a server, for all who wait for it.
class SharedReads::Upstream final : public Call, public Waking {
 public:
  Upstream(SharedReads* reads, Executor* executor, const Member& first)
      : Call(first.asker().method(), executor, first.asker().method().request_prototype, nullptr),
        Waking(executor),
        key(first.key()),
        reads_(reads),
        token_(first.asker().token) {
    bytes_.request = first.request();
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
    if (status.ok()) {
      answer->reply.Swap(&bytes_.reply);
      answer->index = IndexOf(method(), answer->reply);
    }
    return answer;
  }

  const std::string key;
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

void SharedReads::Join(const std::shared_ptr<Member>& member) {
  std::shared_ptr<Upstream> begun;
  {
    base::MutexLock lock(&mutex_);
    if (thread_ == nullptr) thread_ = std::make_unique<EventThread>([] {}, "shared-reads");
    std::shared_ptr<Upstream>& upstream = upstreams_[member->key()];
    if (upstream == nullptr) {
      upstream = begun = std::make_shared<Upstream>(this, thread_.get(), *member);
      ++under_way_;
    }
    upstream->members.insert(member.get());
    member->upstream = upstream.get();
    member->began = begun != nullptr;
  }
  if (begun != nullptr) begun->Begin();
}

void SharedReads::Leave(Member* member) {
  std::shared_ptr<Upstream> given_up;
  {
    base::MutexLock lock(&mutex_);
    --waiting_;
    if (member->upstream == nullptr) return;
    Upstream* const upstream = std::exchange(member->upstream, nullptr);
    upstream->members.erase(member);
    if (!upstream->members.empty()) return;
    const auto found = upstreams_.find(upstream->key);
    given_up = std::move(found->second);
    upstreams_.erase(found);
  }
  given_up->GiveUp();
}

void SharedReads::Over(Upstream* upstream) {
  const std::shared_ptr<const Answer> answer = upstream->TakeAnswer();
  base::MutexLock lock(&mutex_);
  // One that was given up is not in the table, and another may be in its place.
  if (!upstream->members.empty()) upstreams_.erase(upstream->key);
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
