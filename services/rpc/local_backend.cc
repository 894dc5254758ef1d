#include "services/rpc/local_backend.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "consul/query/v1/query.pb.h"
#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/rpc/waiting_call.h"

namespace consul::rpc {
namespace {

using google::protobuf::Message;
using Clock = std::chrono::steady_clock;

// Between two questions to a leader that does not serve: about a heartbeat.
constexpr std::chrono::milliseconds kHoldPause{25};

absl::Status NoLeader() { return Error(errors::v1::REASON_NO_LEADER, "No cluster leader"); }

bool IsNoLeader(const absl::Status& status) {
  return !status.ok() && Detail(status).reason() == errors::v1::REASON_NO_LEADER;
}

std::chrono::nanoseconds ToNanoseconds(const google::protobuf::Duration& duration) {
  return std::chrono::seconds(duration.seconds()) + std::chrono::nanoseconds(duration.nanos());
}

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

// Waits for a leader. A call that the leader of the moment would not serve, for he is about to fall
// or has just fallen, comes back: it then pauses before it asks again.
class LocalBackend::HeldCall : public WaitingCall, private base::Timer {
 public:
  HeldCall(LocalBackend* backend, Call* call)
      : WaitingCall(call), backend_(backend), again_(call->held_until.has_value()) {
    if (!again_) call->held_until = Clock::now() + backend->options_.hold_timeout;
  }

  void Begin() {
    const Clock::time_point until = *call()->held_until;
    Attach();
    backend_->timers_.Add(this, again_ ? std::min(until, Clock::now() + kHoldPause) : until);
  }

 private:
  void Due() override {
    due_.store(true);
    Wake();
  }

  void Continue() override {
    const bool due = due_.load();
    if (Clock::now() >= *call()->held_until || !backend_->holds_.load()) {
      Finish(NoLeader());
    } else if (backend_->ServesNow(*call()) && (!again_ || due)) {
      backend_->Start(Release());
    } else if (due) {
      due_.store(false);
      backend_->timers_.Add(this, std::min(*call()->held_until, Clock::now() + kHoldPause));
    }
  }

  void Detach() override {
    backend_->timers_.Remove(this);
    backend_->Unhold(this);
  }

  LocalBackend* const backend_;
  const bool again_;
  std::atomic<bool> due_{false};
};

// Waits until this server has applied what the leader vouches for.
class LocalBackend::BarrierRead : public WaitingCall, public SharedBarriers::Read {
 public:
  BarrierRead(LocalBackend* backend, const rpc::Read& read)
      : WaitingCall(read.call), backend_(backend), read_(read) {}

  void Begin(ReadMode mode) {
    Attach();
    backend_->barriers_.Await(call()->executor(), mode,
                              std::static_pointer_cast<BarrierRead>(shared_from_this()));
  }

 private:
  void Answered(const absl::Status& status) override {
    status_ = status;
    GoOn();
  }

  void Continue() override {
    LocalBackend* const backend = backend_;
    if (IsNoLeader(status_)) return backend->Hold(Release());
    if (!status_.ok()) return Finish(status_);
    const rpc::Read read = read_;
    Release();
    backend->RunRead(read);
  }
  void Detach() override {}

  LocalBackend* const backend_;
  const rpc::Read read_;
  absl::Status status_;
};

// Waits until its rows are looked up elsewhere.
class LocalBackend::RowsRead : public WaitingCall {
 public:
  RowsRead(LocalBackend* backend, const Read& read)
      : WaitingCall(read.call), backend_(backend), read_(read) {}

  void Begin() {
    Attach();
    rows_ = backend_->long_reads_.Start(read_, shared_from_this());
  }

 private:
  void Continue() override {
    const std::shared_ptr<LongAnswer> answer = rows_->Take();
    const Rows hold = Answer::HoldOf(answer);
    Evaluated evaluated = answer->evaluated;
    evaluated.rows = &hold;
    LocalBackend* const backend = backend_;
    const Read read = read_;
    Release();
    read.call->status = answer->status;
    if (backend->Settle(read, evaluated) || backend->parked_.Join(read)) return;
    // It has had its turn, and is not among those that come anew.
    std::make_shared<RowsRead>(backend, read)->Begin();
  }
  void Detach() override { rows_.reset(); }

  LocalBackend* const backend_;
  const Read read_;
  std::unique_ptr<LongRead> rows_;
};

// Waits until its command is applied.
class LocalBackend::WriteCall : public WaitingCall {
 public:
  WriteCall(LocalBackend* backend, Call* call, const WriteHandler& handler)
      : WaitingCall(call), backend_(backend), handler_(handler) {}

  void Begin(state::SealedCommand command) {
    Attach();
    auto self = std::static_pointer_cast<WriteCall>(shared_from_this());
    backend_->consensus_->Propose(std::move(command),
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
    // It is surely in no log: it waits for the next leader, as it would have waited for the first.
    if (IsNoLeader(applied_.status())) return backend_->Hold(Release());
    if (applied_.ok()) handler_.finish(*applied_, call()->response());
    Finish(applied_.status());
  }
  void Detach() override {}

  LocalBackend* const backend_;
  const WriteHandler& handler_;
  absl::StatusOr<Applied> applied_;
};

LocalBackend::LocalBackend(Options options, const Handlers* handlers, Consensus* consensus)
    : options_(std::move(options)),
      handlers_(handlers),
      consensus_(consensus),
      timers_("rpc-timers"),
      barriers_(consensus),
      long_reads_(consensus, options_.long_reads_max),
      parked_({options_.wait_default, options_.wait_max, options_.parked_max}, consensus,
              &long_reads_, &timers_) {
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
  if (call->method().kind == options::v1::KIND_LEADER && !consensus_->view().leads) {
    return PassOn(call);
  }
  const bool run = RunHere(handler, call);
  CONSUL_CHECK(run);
}

void LocalBackend::PassOn(Call* call) {
  if (call->for_leader) {
    // Whoever passed it on hears of the next leader, too.
    call->status = NoLeader();
    return call->Done();
  }
  if (leader_ != nullptr && leader_->Start(call)) return;
  Hold(call);
}

// Whether there is somebody to whom the call can go.
bool LocalBackend::ServesNow(const Call& call) const {
  const Consensus::View view = consensus_->view();
  if (call.method().kind != options::v1::KIND_LEADER) return view.has_leader;
  return view.leads || (leader_ != nullptr && leader_->HasLeader());
}

void LocalBackend::Idle() {
  DropVersions();
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
  Read read = ReadOf(call, handler);
  const query::v1::Consistency consistency =
      read.options == nullptr ? query::v1::CONSISTENCY_DEFAULT : read.options->consistency();
  const Consensus::View view = consensus_->view();
  if (consistency == query::v1::CONSISTENCY_STALE) {
    const bool fresh = !read.options->has_max_stale() || view.leased ||
                       view.last_contact <= ToNanoseconds(read.options->max_stale());
    if (fresh) {
      read.stale = true;
      return RunRead(read);
    }
  }
  if (view.removed) return PassOn(call);
  const bool consistent = consistency == query::v1::CONSISTENCY_CONSISTENT;
  if (consistent ? view.alone : view.leased) return RunRead(read);
  if (!view.has_leader) return Hold(call);
  std::make_shared<BarrierRead>(this, read)
      ->Begin(consistent ? ReadMode::kConsistent : ReadMode::kDefault);
}

void LocalBackend::StartWrite(Call* call, const WriteHandler& handler) {
  const Consensus::View view = consensus_->view();
  if (!view.has_leader) return Hold(call);
  if (view.removed) return PassOn(call);
  state::SealedCommand command;
  call->status = handler.prepare(call->request(), &command);
  if (!call->status.ok()) return call->Done();
  std::make_shared<WriteCall>(this, call, handler)->Begin(std::move(command));
}

void LocalBackend::RunRead(const Read& read) {
  Call* const call = read.call;
  if (read.given() != 0 && parked_.Join(read)) return;
  for (;;) {
    Evaluated evaluated;
    call->status = Evaluate(read, *consensus_, call->response(), &evaluated);
    if (evaluated.cut) {
      Reset(call->response());
      if (!long_reads_.full()) return std::make_shared<RowsRead>(this, read)->Begin();
      call->status = Error(errors::v1::REASON_OVERLOADED,
                           base::StrCat(options_.long_reads_max,
                                        " long lists wait to be looked up already, the most there "
                                        "may be"));
      return call->Done();
    }
    if (Settle(read, evaluated)) return;
  }
}

bool LocalBackend::Settle(const Read& read, const Evaluated& evaluated) {
  Call* const call = read.call;
  const bool waits = call->status.ok() && read.given() != 0 &&
                     evaluated.index <= read.given() && !evaluated.watched->empty();
  if (!waits) {
    if (call->status.ok()) GiveValidity(read, evaluated);
    call->rows = evaluated.rows;
    call->ShareAnswer(evaluated.response, 0);
    call->Done();
    return true;
  }
  const ParkedReads::Outcome outcome = parked_.Park(read, evaluated);
  // The answer is made anew when it is due; until then it would only hold old rows.
  Reset(call->response());
  if (outcome == ParkedReads::Outcome::kFull) {
    call->status = Error(errors::v1::REASON_OVERLOADED,
                         base::StrCat(options_.parked_max,
                                      " blocking queries wait already, the most there may be"));
    call->Done();
  }
  return outcome != ParkedReads::Outcome::kMoved;
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
  if (ServesNow(*call) || !holds_.load()) held->Wake();
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
