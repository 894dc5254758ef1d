#include "services/api/event_list.h"

#include <atomic>
#include <utility>
#include <vector>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/base/timer_queue.h"
#include "services/rpc/errors.h"
#include "services/rpc/evaluation.h"
#include "services/rpc/waiting_call.h"

namespace consul::api {
namespace {

using event::v1::Event;
using event::v1::ListRequest;
using event::v1::ListResponse;
using Clock = std::chrono::steady_clock;

// The two halves of a UUID, one over the other, as the reference does it. Never 0, which would mean
// not to wait.
uint64_t HashOf(const std::string& id) {
  uint64_t halves[2] = {0, 0};
  size_t digits = 0;
  for (const char c : id) {
    if (c == '-') continue;
    const auto digit = static_cast<uint64_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    uint64_t& half = halves[digits++ < 16 ? 0 : 1];
    half = half << 4 | digit;
  }
  const uint64_t hash = halves[0] ^ halves[1];
  return hash == 0 ? 1 : hash;
}

bool IsAskedFor(const Event& event, const std::string& name) {
  return name.empty() || event.name() == name;
}

}  // namespace

// A call that waits until its list is another one.
class EventList::Wait : public rpc::WaitingCall, private base::Timer {
 public:
  Wait(EventList* list, base::TimerQueue* timers, rpc::Call* call)
      : WaitingCall(call), list_(list), timers_(timers) {}

  void Begin(Clock::time_point deadline) {
    Attach();
    timers_->Add(this, deadline);
  }

 private:
  void Due() override {
    late_.store(true);
    Wake();
  }

  void Continue() override {
    const auto& request = static_cast<const ListRequest&>(call()->request());
    auto* const response = static_cast<ListResponse*>(call()->response());
    if (late_.load()) {
      base::MutexLock lock(&list_->mutex_);
      list_->Fill(request, response);
    } else if (!list_->FillIfMoved(request, response)) {
      return;
    }
    Finish(absl::OkStatus());
  }

  void Detach() override {
    timers_->Remove(this);
    list_->Remove(this);
  }

  EventList* const list_;
  base::TimerQueue* const timers_;
  std::atomic<bool> late_{false};
};

EventList::EventList(std::chrono::nanoseconds wait_default, std::chrono::nanoseconds wait_max)
    : wait_default_(wait_default), wait_max_(wait_max) {}

EventList::~EventList() {
  base::MutexLock lock(&mutex_);
  CONSUL_CHECK(waiting_.empty());
}

void EventList::Add(Event event) {
  std::vector<std::shared_ptr<Wait>> waiting;
  {
    base::MutexLock lock(&mutex_);
    events_.push_back(std::move(event));
    if (events_.size() > kEventsMax) events_.pop_front();
    for (const auto& [key, wait] : waiting_) waiting.push_back(wait);
  }
  for (const auto& wait : waiting) wait->Wake();
}

uint64_t EventList::IndexOf(const std::string& name) const {
  for (auto event = events_.rbegin(); event != events_.rend(); ++event) {
    if (IsAskedFor(*event, name)) return HashOf(event->id());
  }
  return 1;
}

void EventList::Fill(const ListRequest& request, ListResponse* response) const {
  response->mutable_meta()->set_index(IndexOf(request.name()));
  for (const Event& event : events_) {
    if (IsAskedFor(event, request.name())) *response->add_events() = event;
  }
}

bool EventList::FillIfMoved(const ListRequest& request, ListResponse* response) {
  base::MutexLock lock(&mutex_);
  if (IndexOf(request.name()) == request.options().index()) return false;
  Fill(request, response);
  return true;
}

void EventList::Remove(const Wait* wait) {
  base::MutexLock lock(&mutex_);
  waiting_.erase(wait);
}

void EventList::Answer(rpc::Call* call) {
  const auto& request = static_cast<const ListRequest&>(call->request());
  if (FillIfMoved(request, static_cast<ListResponse*>(call->response()))) return call->Done();
  std::shared_ptr<Wait> wait;
  {
    base::MutexLock lock(&mutex_);
    if (waiting_.size() < kWaitingMax) {
      if (timers_ == nullptr) timers_ = std::make_unique<base::TimerQueue>("event-timers");
      wait = std::make_shared<Wait>(this, timers_.get(), call);
      waiting_.emplace(wait.get(), wait);
    }
  }
  if (wait == nullptr) {
    call->status = rpc::Error(errors::v1::REASON_OVERLOADED,
                              base::StrCat(kWaitingMax, " calls wait for events already, the most "
                                                        "there may be"));
    return call->Done();
  }
  wait->Begin(Clock::now() + rpc::WaitOf(request.options(), wait_default_, wait_max_));
  // An event that came between the look and the list has woken nobody.
  wait->Wake();
}

}  // namespace consul::api
