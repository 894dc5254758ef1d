#include "cli/settings_watch.h"

#include <google/protobuf/arena.h>

#include <utility>

namespace consul::cli {
namespace {

using agent::v1::GetGatewaySettingsRequest;
using agent::v1::GetGatewaySettingsResponse;
using google::protobuf::Arena;

// Request and response, made before the call that refers to them.
struct Messages {
  Arena arena;
  GetGatewaySettingsRequest& asked = *Arena::CreateMessage<GetGatewaySettingsRequest>(&arena);
  GetGatewaySettingsResponse& reply = *Arena::CreateMessage<GetGatewaySettingsResponse>(&arena);
};

}  // namespace

class SettingsWatch::Question : private Messages, public rpc::Call {
 public:
  Question(const rpc::Method& method, rpc::Executor* executor)
      : rpc::Call(method, executor, &asked, &reply) {}

  void Done() override { done_ = true; }

  bool done() const { return done_; }
  Answer answer() const {
    if (!status.ok()) return status;
    if (!reply.has_settings()) return absl::InternalError("the answer holds no settings");
    return reply.settings();
  }

 private:
  bool done_ = false;
};

SettingsWatch::SettingsWatch(rpc::Backend* backend, std::function<void()> wake,
                             std::function<void(Answer)> heard)
    : backend_(backend),
      wake_(std::move(wake)),
      heard_(std::move(heard)),
      method_(rpc::PublicApi().Get("/consul.agent.v1.AgentService/GetGatewaySettings")) {}

SettingsWatch::~SettingsWatch() {
  if (question_ == nullptr || IsAnswered()) return;
  backend_->Cancel(question_.get());
  while (!IsAnswered()) {
    base::MutexLock lock(&mutex_);
    while (!has_tasks_) posted_.Wait(&mutex_);
    has_tasks_ = false;
  }
}

std::optional<SettingsWatch::Clock::time_point> SettingsWatch::Turn(Clock::time_point now) {
  if (question_ != nullptr && IsAnswered()) {
    Answer answer = question_->answer();
    question_.reset();
    next_ = now + (answer.ok() ? kAskAgain : kAskUntilAnswered);
    heard_(std::move(answer));
  }
  if (question_ == nullptr && now >= next_) Ask();
  if (question_ == nullptr) return next_;
  // Answered inside Start: that is told in a turn of its own.
  if (question_->done()) return now;
  return std::nullopt;
}

void SettingsWatch::Ask() {
  rpc::Executor* const executor = this;
  question_ = std::make_unique<Question>(method_, executor);
  backend_->Start(question_.get());
}

bool SettingsWatch::IsAnswered() {
  tasks_.RunAll();
  // Whoever has posted it is out of Post then, and the watch may end.
  base::MutexLock lock(&mutex_);
  return question_->done();
}

void SettingsWatch::Post(rpc::Task* task) {
  base::MutexLock lock(&mutex_);
  tasks_.Push(task);
  has_tasks_ = true;
  posted_.Signal();
  wake_();
}

}  // namespace consul::cli
