#include "services/server/bootstrapper.h"

#include <google/protobuf/arena.h>
#include <google/protobuf/message.h>
#include <pthread.h>

#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"

namespace consul::server {
namespace {

using base::StrCat;
using google::protobuf::Message;
using internal::bootstrap::v1::ConfirmRequest;
using internal::bootstrap::v1::ConfirmResponse;
using internal::bootstrap::v1::FoundRequest;
using internal::bootstrap::v1::PledgeRequest;

constexpr std::string_view kService = "/consul.internal.bootstrap.v1.BootstrapService/";

const rpc::Method& MethodOf(std::string_view name) {
  const rpc::Method* const method = rpc::InternalApi().Find(StrCat(kService, name));
  CONSUL_CHECK(method != nullptr);
  return *method;
}

template <typename Request>
std::unique_ptr<Message> About(const Foundation& foundation) {
  auto request = std::make_unique<Request>();
  *request->mutable_foundation() = foundation;
  return request;
}

absl::Status Stopping() {
  return rpc::Error(errors::v1::REASON_SHUTTING_DOWN, "this server is stopping");
}

}  // namespace

// A call to another server, whose backend is its own.
class Bootstrapper::OutCall final : public rpc::Call {
 public:
  OutCall(Bootstrapper* owner, const rpc::Method& method, ServerMember to,
          std::unique_ptr<rpc::Backend> backend, std::unique_ptr<Message> request)
      : OutCall(owner, method, std::move(to), std::move(backend), std::move(request),
                std::make_unique<google::protobuf::Arena>()) {}

  void Done() override {
    // What the reply refers to is there until this returns.
    if (status.ok()) reply_->CopyFrom(*response());
    done = true;
  }

  rpc::Backend* backend() const { return backend_.get(); }
  const Message* reply() const { return reply_.get(); }

  const ServerMember server;
  bool done = false;

 private:
  OutCall(Bootstrapper* owner, const rpc::Method& method, ServerMember to,
          std::unique_ptr<rpc::Backend> backend, std::unique_ptr<Message> request,
          std::unique_ptr<google::protobuf::Arena> arena)
      : Call(method, owner, request.get(), method.response_prototype->New(arena.get())),
        server(std::move(to)),
        arena_(std::move(arena)),
        request_(std::move(request)),
        reply_(method.response_prototype->New()),
        backend_(std::move(backend)) {
    hold = false;
  }

  const std::unique_ptr<google::protobuf::Arena> arena_;
  const std::unique_ptr<Message> request_;
  const std::unique_ptr<Message> reply_;
  const std::unique_ptr<rpc::Backend> backend_;
};

Bootstrapper::Bootstrapper(Options options, std::optional<Foundation> pledge, PledgeFile* file,
                           const gossip::MemberList* lan, base::Logger* logger)
    : options_(std::move(options)),
      lan_(lan),
      logger_(logger),
      founding_({options_.self, options_.expect}, std::move(pledge), file) {}

Bootstrapper::~Bootstrapper() { Stop(); }

void Bootstrapper::Start() {
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "bootstrap");
}

void Bootstrapper::Stop() {
  {
    base::MutexLock lock(&mutex_);
    stopped_ = true;
    inbox_.stop = true;
    changed_.Signal();
  }
  if (thread_.joinable()) thread_.join();
}

void Bootstrapper::MembersChanged() {
  base::MutexLock lock(&mutex_);
  inbox_.changed = true;
  changed_.Signal();
}

bool Bootstrapper::Do(std::function<void()> work) {
  base::MutexLock lock(&mutex_);
  if (stopped_) return false;
  inbox_.work.push_back(std::move(work));
  changed_.Signal();
  return true;
}

void Bootstrapper::Post(rpc::Task* task) {
  if (!queue_.Push(task)) return;
  base::MutexLock lock(&mutex_);
  posted_ = true;
  changed_.Signal();
}

// ---- What others ask.

void Bootstrapper::Pledge(Foundation foundation, Done<PledgeResponse> done) {
  const bool posted = Do([this, foundation = std::move(foundation), done] {
    PledgeResponse response;
    if (options_.has_state()) {
      response.set_result(internal::bootstrap::v1::PLEDGE_RESULT_HAS_STATE);
    } else if (sealed_ && !founding_.pledge_is(foundation)) {
      response.set_result(internal::bootstrap::v1::PLEDGE_RESULT_PLEDGED_ELSEWHERE);
      *response.mutable_elsewhere() = *founding_.pledge();
    } else {
      return done(founding_.Pledge(foundation));
    }
    done(std::move(response));
  });
  if (!posted) done(Stopping());
}

void Bootstrapper::Confirm(Foundation foundation, Done<bool> done) {
  const bool posted = Do([this, foundation = std::move(foundation), done] {
    // With raft state it may have founded it.
    done(options_.has_state() || founding_.Stands(foundation));
  });
  if (!posted) done(Stopping());
}

void Bootstrapper::Found(Foundation foundation, std::function<void(absl::Status)> done) {
  const bool posted = Do([this, foundation = std::move(foundation), done] {
    if (options_.has_state()) return done(absl::OkStatus());
    if (!founding_.pledge_is(foundation)) {
      return done(absl::FailedPreconditionError("this server has not pledged to that"));
    }
    Write(foundation, done);
  });
  if (!posted) done(Stopping());
}

void Bootstrapper::Write(const Foundation& foundation, std::function<void(absl::Status)> done) {
  options_.found(foundation, std::move(done));
}

// ---- The thread.

bool Bootstrapper::Idle() const {
  return options_.expect == 0 || gave_up_ || sealed_ || options_.has_state();
}

Bootstrapper::Inbox Bootstrapper::WaitForWork() {
  base::MutexLock lock(&mutex_);
  while (!posted_ && !inbox_.changed && inbox_.work.empty() && !inbox_.stop) {
    const Clock::time_point now = Clock::now();
    if (Idle() || !calls_.empty()) {
      changed_.Wait(&mutex_);
    } else if (look_at_ <= now || !changed_.WaitFor(&mutex_, look_at_ - now)) {
      break;
    }
  }
  posted_ = false;
  return std::exchange(inbox_, Inbox{});
}

void Bootstrapper::Run() {
  bool stopping = false;
  for (;;) {
    const Inbox inbox = WaitForWork();
    queue_.RunAll();
    for (const auto& work : inbox.work) work();
    if (inbox.changed) look_at_ = {};
    if (inbox.stop && !std::exchange(stopping, true)) {
      for (const auto& call : calls_) call->backend()->Cancel(call.get());
      // Those that ended inside Cancel have told nobody.
      queue_.RunAll();
    }
    const bool over = std::all_of(calls_.begin(), calls_.end(),
                                  [](const auto& call) { return call->done; });
    if (stopping && over) return calls_.clear();
    if (stopping || !over) continue;
    if (!calls_.empty()) Judge();
    if (!Idle() && calls_.empty() && look_at_ <= Clock::now()) Look();
  }
}

void Bootstrapper::Look() {
  look_at_ = Clock::now() + options_.interval;
  absl::StatusOr<Founding::Step> step =
      founding_.Next(ServerMembers(*lan_->members(), options_.datacenter));
  if (Failed(step.status())) return;
  step_ = *std::move(step);
  if (!step_.news.empty()) {
    Say(step_.error ? base::LogLevel::kError : base::LogLevel::kInfo, step_.news);
  }
  for (const ServerMember& server : step_.others) {
    if (step_.kind == Founding::Step::Kind::kConfirm) {
      Ask(server, "Confirm", About<ConfirmRequest>(step_.foundation));
    } else {
      Ask(server, "Pledge", About<PledgeRequest>(step_.foundation));
    }
  }
}

void Bootstrapper::Ask(const ServerMember& server, std::string_view method,
                       std::unique_ptr<Message> request) {
  calls_.push_back(std::make_unique<OutCall>(this, MethodOf(method), server,
                                             options_.connect(server.address),
                                             std::move(request)));
  OutCall* const call = calls_.back().get();
  call->backend()->Start(call);
}

void Bootstrapper::Judge() {
  if (step_.kind == Founding::Step::Kind::kAsk && !sealed_) {
    JudgePledges();
  } else if (step_.kind == Founding::Step::Kind::kConfirm) {
    const OutCall& call = *calls_.front();
    const bool withdrawn =
        call.status.ok() && !static_cast<const ConfirmResponse*>(call.reply())->stands();
    if (withdrawn && !Failed(founding_.Withdrawn(step_.foundation))) look_at_ = {};
  }
  calls_.clear();
}

void Bootstrapper::JudgePledges() {
  size_t pledged = 0;
  for (const auto& call : calls_) {
    const std::string who = StrCat(call->server.name, " (", call->server.address, ")");
    if (!call->status.ok()) {
      Say(base::LogLevel::kWarn, StrCat("cannot ask server ", who, " to found a cluster: ",
                                        base::ToStd(call->status.message())));
      continue;
    }
    const auto& response = *static_cast<const PledgeResponse*>(call->reply());
    const auto outcome = founding_.Answered(step_.foundation, response);
    if (Failed(outcome.status())) return;
    if (*outcome == Founding::Outcome::kGiveUp) {
      return GiveUp(StrCat("Existing Raft peers reported by ", who, ", disabling bootstrap mode"));
    }
    if (*outcome == Founding::Outcome::kPledged) ++pledged;
    if (!response.why().empty()) {
      Say(base::LogLevel::kError,
          StrCat("server ", who, " does not found a cluster with this one: ", response.why()));
    }
  }
  if (pledged == calls_.size()) Seal();
}

// All have pledged, this server included: nothing can stand in the way any more.
void Bootstrapper::Seal() {
  sealed_ = true;
  const std::vector<ServerMember> others = step_.others;
  calls_.clear();
  logger_->Info("consul", StrCat("all servers have pledged, founding cluster ",
                                 step_.foundation.cluster_id()));
  Write(step_.foundation, [this, others](absl::Status status) {
    Do([this, others, status] {
      // Only now: if this server were to end before its entry is durable, it would ask again.
      if (Failed(status)) {
        sealed_ = false;
        return;
      }
      for (const ServerMember& other : others) {
        Ask(other, "Found", About<FoundRequest>(step_.foundation));
      }
    });
  });
}

void Bootstrapper::GiveUp(const std::string& why) {
  gave_up_ = true;
  logger_->Info("consul", why);
}

void Bootstrapper::Say(base::LogLevel level, const std::string& news) {
  if (news == said_) return;
  said_ = news;
  logger_->Log(level, "consul", news);
}

bool Bootstrapper::Failed(const absl::Status& status) {
  if (status.ok()) return false;
  Say(base::LogLevel::kError,
      StrCat("cannot found a cluster: ", base::ToStd(status.message())));
  return true;
}

}  // namespace consul::server
