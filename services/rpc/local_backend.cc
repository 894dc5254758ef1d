#include "services/rpc/local_backend.h"

#include <google/protobuf/arena.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <random>
#include <utility>

#include "consul/query/v1/query.pb.h"
#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/rpc/waiting_call.h"
#include "services/state/version_source.h"

namespace consul::rpc {
namespace {

using google::protobuf::Message;
using query::v1::QueryMeta;
using query::v1::QueryOptions;
using Clock = std::chrono::steady_clock;

absl::Status NoLeader() { return Error(errors::v1::REASON_NO_LEADER, "No cluster leader"); }

const QueryOptions* OptionsOf(const Call& call) {
  const auto* const field = call.method().options_field;
  if (field == nullptr) return nullptr;
  const Message& request = call.request();
  const auto* const reflection = request.GetReflection();
  if (!reflection->HasField(request, field)) return nullptr;
  return static_cast<const QueryOptions*>(&reflection->GetMessage(request, field));
}

std::chrono::nanoseconds ToNanoseconds(const google::protobuf::Duration& duration) {
  return std::chrono::seconds(duration.seconds()) + std::chrono::nanoseconds(duration.nanos());
}

// What one thread keeps between calls, so that a call allocates nothing.
struct Scratch {
  state::WatchSet watched;
  std::mt19937_64 random{std::random_device{}()};
  // One cache a source; a process has few sources.
  std::vector<std::pair<state::VersionSource*, state::VersionCache>> versions;

  const Rows& Newest(state::VersionSource* source) {
    for (auto& [known, cache] : versions) {
      if (known == source) return cache.Get();
    }
    return versions.emplace_back(source, state::VersionCache(source)).second.Get();
  }
};

Scratch& ThreadScratch() {
  thread_local Scratch scratch;
  return scratch;
}

// A validity that the watch of a reply clears. Whoever holds it keeps the watch; with the last hold
// the watch goes.
class WatchedValidity : public state::Waiter {
 public:
  void Fire() override { validity.Clear(); }
  Validity validity;
};

class ValidityHold {
 public:
  ValidityHold(state::VersionSource* source, std::shared_ptr<WatchedValidity> waiter)
      : source_(source), waiter_(std::move(waiter)) {}
  ~ValidityHold() { source_->registry().Cancel(waiter_.get()); }
  ValidityHold(const ValidityHold&) = delete;
  ValidityHold& operator=(const ValidityHold&) = delete;

 private:
  state::VersionSource* const source_;
  const std::shared_ptr<WatchedValidity> waiter_;
};

// Empties a response that may refer to rows of a version. Clearing a list would clear the rows in
// it, so they are taken out first; single messages on an arena are forgotten, not cleared.
void Reset(Message* response) {
  const auto* const descriptor = response->GetDescriptor();
  const auto* const reflection = response->GetReflection();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const auto* const field = descriptor->field(i);
    if (!field->is_repeated() || field->message_type() == nullptr) continue;
    for (int left = reflection->FieldSize(*response, field); left > 0; --left) {
      reflection->UnsafeArenaReleaseLast(response, field);
    }
  }
  response->Clear();
}

}  // namespace

// Waits for a leader.
class LocalBackend::HeldCall : public WaitingCall, private base::Timer {
 public:
  HeldCall(LocalBackend* backend, Call* call) : WaitingCall(call), backend_(backend) {}

  void Begin() {
    Attach();
    backend_->timers_.Add(this, Clock::now() + backend_->options_.hold_timeout);
  }

 private:
  void Due() override {
    late_.store(true);
    Wake();
  }

  void Continue() override {
    const Consensus::View view = backend_->consensus_->view();
    if (view.leads) {
      backend_->Start(Release());
    } else if (late_.load() || !backend_->holds_.load()) {
      Finish(NoLeader());
    }
  }

  void Detach() override {
    backend_->timers_.Remove(this);
    backend_->Unhold(this);
  }

  LocalBackend* const backend_;
  std::atomic<bool> late_{false};
};

// Waits until its result changes or its time is over.
class LocalBackend::ParkedRead : public WaitingCall, public state::Waiter, private base::Timer {
 public:
  ParkedRead(LocalBackend* backend, const Read& read)
      : WaitingCall(read.call), backend_(backend), read_(read) {
    backend_->parked_.fetch_add(1, std::memory_order_relaxed);
  }
  ~ParkedRead() override { backend_->parked_.fetch_sub(1, std::memory_order_relaxed); }

  // Returns false, and has done nothing, when the result has already changed.
  bool Park(const state::WatchSet& watched, uint64_t index) {
    const auto self = std::static_pointer_cast<ParkedRead>(shared_from_this());
    if (!read_.handler->source->Park(self, watched, index)) return false;
    if (call()->waiting == nullptr) {
      Attach();
      backend_->timers_.Add(this, Clock::now() + backend_->WaitOf(*read_.options));
    }
    return true;
  }

  void Fire() override { Wake(); }

 private:
  void Due() override {
    late_.store(true);
    Wake();
  }

  void Continue() override {
    state::WatchSet* const watched = &ThreadScratch().watched;
    read_.handler->source->registry().Cancel(this);
    for (;;) {
      // Each try leaves something on the call's arena. A read that was woken in vain (it waits for
      // an index that is far ahead) looks on an arena of its own first.
      if (in_vain_ && !late_.load() && Looked(watched)) {
        if (Park(*watched, read_.options->index())) return;
        continue;
      }
      uint64_t index = 0;
      Reset(call()->response());
      if (!backend_->Evaluate(read_, call()->response(), watched, &index)) {
        return Finish(call()->status);
      }
      if (index > read_.options->index() || late_.load()) {
        backend_->GiveValidity(read_, *watched, index);
        return Finish(absl::OkStatus());
      }
      in_vain_ = true;
      if (Park(*watched, read_.options->index())) return;
    }
  }

  // Whether the result's index still has not moved; `watched` is what the look read.
  bool Looked(state::WatchSet* watched) {
    google::protobuf::Arena arena;
    Message* const response = call()->response()->New(&arena);
    uint64_t index = 0;
    return backend_->Evaluate(read_, response, watched, &index) &&
           index <= read_.options->index();
  }

  void Detach() override {
    read_.handler->source->registry().Cancel(this);
    backend_->timers_.Remove(this);
  }

  LocalBackend* const backend_;
  const Read read_;
  std::atomic<bool> late_{false};
  bool in_vain_ = false;
};

// Waits until the leader is sure that it leads.
class LocalBackend::BarrierRead : public WaitingCall {
 public:
  BarrierRead(LocalBackend* backend, const Read& read)
      : WaitingCall(read.call), backend_(backend), read_(read) {}

  void Begin() {
    Attach();
    auto self = std::static_pointer_cast<BarrierRead>(shared_from_this());
    backend_->consensus_->ReadBarrier([self = std::move(self)](absl::Status status) {
      self->status_ = std::move(status);
      self->Wake();
    });
  }

 private:
  void Continue() override {
    if (!status_.ok()) return Finish(status_);
    LocalBackend* const backend = backend_;
    const Read read = read_;
    Release();
    backend->RunRead(read);
  }
  void Detach() override {}

  LocalBackend* const backend_;
  const Read read_;
  absl::Status status_;
};

// Waits until its command is applied.
class LocalBackend::WriteCall : public WaitingCall {
 public:
  WriteCall(Call* call, const WriteHandler& handler) : WaitingCall(call), handler_(handler) {}

  void Begin(Consensus* consensus, std::string command) {
    Attach();
    auto self = std::static_pointer_cast<WriteCall>(shared_from_this());
    consensus->Propose(std::move(command),
                       [self = std::move(self)](absl::StatusOr<Applied> applied) {
                         self->applied_ = std::move(applied);
                         self->Wake();
                       });
  }

  // What was proposed cannot be taken back, and its outcome is known soon: an agent that stops
  // answers it rather than leave its client in doubt.
  void Cancel() override {}

 private:
  void Continue() override {
    if (applied_.ok()) handler_.finish(*applied_, call()->response());
    Finish(applied_.status());
  }
  void Detach() override {}

  const WriteHandler& handler_;
  absl::StatusOr<Applied> applied_;
};

LocalBackend::LocalBackend(Options options, const Handlers* handlers, Consensus* consensus)
    : options_(std::move(options)),
      handlers_(handlers),
      consensus_(consensus),
      timers_("rpc-timers") {
  handlers_->CheckComplete();
}

LocalBackend::~LocalBackend() = default;

void LocalBackend::Start(Call* call) {
  if (!KnowsDatacenter(call)) {
    call->status = Error(errors::v1::REASON_NO_PATH_TO_DATACENTER, "No path to datacenter");
    return call->Done();
  }
  const Handler& handler = handlers_->Of(call->method());
  if (const auto* read = std::get_if<ReadHandler>(&handler)) return StartRead(call, *read);
  if (const auto* write = std::get_if<WriteHandler>(&handler)) return StartWrite(call, *write);
  const bool run = RunHere(handler, call);
  CONSUL_CHECK(run);
}

void LocalBackend::Idle() {
  for (auto& [source, cache] : ThreadScratch().versions) cache.Drop();
}

bool LocalBackend::KnowsDatacenter(Call* call) const {
  const auto* const field = call->method().datacenter_field;
  if (field == nullptr) return true;
  const Message* holder = &call->request();
  if (field->containing_type() != holder->GetDescriptor()) {
    const auto* const first = holder->GetDescriptor()->field(0);
    if (!holder->GetReflection()->HasField(*holder, first)) return true;
    holder = &holder->GetReflection()->GetMessage(*holder, first);
  }
  std::string scratch;
  const std::string& name =
      holder->GetReflection()->GetStringReference(*holder, field, &scratch);
  return name.empty() || name == options_.datacenter;
}

void LocalBackend::StartRead(Call* call, const ReadHandler& handler) {
  Read read{call, &handler, OptionsOf(*call)};
  const query::v1::Consistency consistency =
      read.options == nullptr ? query::v1::CONSISTENCY_DEFAULT : read.options->consistency();
  const Consensus::View view = consensus_->view();
  if (consistency == query::v1::CONSISTENCY_STALE) {
    const bool fresh = !read.options->has_max_stale() || view.leads ||
                       view.last_contact <= ToNanoseconds(read.options->max_stale());
    if (fresh) {
      read.stale = true;
      return RunRead(read);
    }
  }
  if (!view.leads) return Hold(call);
  if (consistency != query::v1::CONSISTENCY_CONSISTENT || view.alone) return RunRead(read);
  std::make_shared<BarrierRead>(this, read)->Begin();
}

void LocalBackend::StartWrite(Call* call, const WriteHandler& handler) {
  if (!consensus_->view().leads) return Hold(call);
  std::string command;
  call->status = handler.prepare(call->request(), &command);
  if (!call->status.ok()) return call->Done();
  std::make_shared<WriteCall>(call, handler)->Begin(consensus_, std::move(command));
}

void LocalBackend::RunRead(const Read& read) {
  state::WatchSet* const watched = &ThreadScratch().watched;
  for (;;) {
    uint64_t index = 0;
    if (!Evaluate(read, read.call->response(), watched, &index)) return read.call->Done();
    const uint64_t given = read.options == nullptr ? 0 : read.options->index();
    if (given == 0 || index > given || watched->empty()) {
      GiveValidity(read, *watched, index);
      return read.call->Done();
    }
    if (parked_.load(std::memory_order_relaxed) >= options_.parked_max) {
      read.call->status = Error(
          errors::v1::REASON_OVERLOADED,
          base::StrCat(options_.parked_max,
                       " blocking queries wait already, the most there may be"));
      return read.call->Done();
    }
    if (std::make_shared<ParkedRead>(this, read)->Park(*watched, given)) {
      // The answer is made anew when it is due; until then it would only hold old rows.
      Reset(read.call->response());
      return;
    }
    Reset(read.call->response());
  }
}

bool LocalBackend::Evaluate(const Read& read, Message* response, state::WatchSet* watched,
                            uint64_t* index) {
  Call* const call = read.call;
  const Rows& newest = ThreadScratch().Newest(read.handler->source);
  const state::Versioned& version = *newest;
  call->rows = &newest;
  CONSUL_CHECK(response->GetArena() != nullptr);
  watched->Clear();
  call->status = read.handler->read(version, call->request(), response, watched);
  if (!call->status.ok()) return false;
  *index = version.IndexOf(*watched);
  const auto* const field = call->method().meta_field;
  if (field == nullptr) return true;
  auto* const meta =
      static_cast<QueryMeta*>(response->GetReflection()->MutableMessage(response, field));
  const Consensus::View view = consensus_->view();
  meta->set_index(*index);
  meta->set_known_leader(view.leader_known);
  if (view.last_contact.count() != 0) {
    meta->mutable_last_contact()->set_seconds(view.last_contact.count() / 1000);
    meta->mutable_last_contact()->set_nanos(view.last_contact.count() % 1000 * 1'000'000);
  }
  meta->set_effective_consistency(read.stale ? query::v1::CONSISTENCY_STALE
                                  : read.options == nullptr ||
                                          read.options->consistency() !=
                                              query::v1::CONSISTENCY_CONSISTENT
                                      ? query::v1::CONSISTENCY_DEFAULT
                                      : query::v1::CONSISTENCY_CONSISTENT);
  return true;
}

void LocalBackend::GiveValidity(const Read& read, const state::WatchSet& watched,
                                uint64_t index) {
  if (!read.call->want_validity || watched.empty()) return;
  auto waiter = std::make_shared<WatchedValidity>();
  state::VersionSource* const source = read.handler->source;
  if (!source->Park(waiter, watched, index)) return;
  const Validity* const validity = &waiter->validity;
  auto hold = std::make_shared<ValidityHold>(source, std::move(waiter));
  read.call->validity = std::shared_ptr<const Validity>(std::move(hold), validity);
}

std::chrono::nanoseconds LocalBackend::WaitOf(const QueryOptions& options) const {
  std::chrono::nanoseconds wait =
      options.has_wait() ? ToNanoseconds(options.wait()) : std::chrono::nanoseconds(0);
  if (wait <= std::chrono::nanoseconds(0)) wait = options_.wait_default;
  wait = std::min(wait, options_.wait_max);
  // A sixteenth at random parts clients that began together.
  std::uniform_int_distribution<int64_t> extra(0, wait.count() / 16);
  return std::min(wait + std::chrono::nanoseconds(extra(ThreadScratch().random)),
                  options_.wait_max);
}

void LocalBackend::Hold(Call* call) {
  if (!call->hold || !holds_.load()) {
    call->status = NoLeader();
    return call->Done();
  }
  const auto held = std::make_shared<HeldCall>(this, call);
  bool held_full = false;
  {
    base::MutexLock lock(&mutex_);
    held_full = held_.size() >= options_.held_max;
    if (!held_full) held_.emplace(held.get(), held);
  }
  if (held_full) {
    call->status = Error(errors::v1::REASON_OVERLOADED,
                         base::StrCat("No cluster leader, and ", options_.held_max,
                                      " calls wait for one already"));
    return call->Done();
  }
  held->Begin();
  // A leader, or an end, that came between the look and the list has told nobody.
  if (consensus_->view().leads || !holds_.load()) held->Wake();
}

void LocalBackend::Unhold(HeldCall* held) {
  base::MutexLock lock(&mutex_);
  held_.erase(held);
}

void LocalBackend::StopHolding() {
  holds_.store(false);
  LeaderChanged();
}

void LocalBackend::LeaderChanged() {
  std::vector<std::shared_ptr<HeldCall>> held;
  {
    base::MutexLock lock(&mutex_);
    for (const auto& [key, call] : held_) held.push_back(call);
  }
  for (const auto& call : held) call->Wake();
}

}  // namespace consul::rpc
