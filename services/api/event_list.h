// services/api/event_list.h
//
// The newest user events that an agent has heard, and those who wait for another one. It needs no
// server and no leader; every agent has a list of its own, in the order in which it heard them.
//
// A list has an index: a hash of its newest event, 1 without one. It rises and falls; who gives an
// index waits while the list has that very one.
//
// Threads: Add from any; Answer on the call's executor.
#ifndef CONSUL_SERVICES_API_EVENT_LIST_H_
#define CONSUL_SERVICES_API_EVENT_LIST_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>

#include "consul/event/v1/event.pb.h"
#include "services/base/mutex.h"
#include "services/rpc/call.h"

namespace consul::base {
class TimerQueue;
}  // namespace consul::base

namespace consul::api {

class EventList {
 public:
  static constexpr size_t kEventsMax = 256;
  // Calls that wait at once; above it REASON_OVERLOADED.
  static constexpr size_t kWaitingMax = 10'000;

  // Of a call that names no wait, and of any.
  EventList(std::chrono::nanoseconds wait_default, std::chrono::nanoseconds wait_max);
  // REQUIRES: nobody waits.
  ~EventList();
  EventList(const EventList&) = delete;
  EventList& operator=(const EventList&) = delete;

  void Add(event::v1::Event event);

  // Answers a call of EventService.List, at once or when the list is another one.
  void Answer(rpc::Call* call);

 private:
  class Wait;
  friend class Wait;

  uint64_t IndexOf(const std::string& name) const REQUIRES_LOCK(mutex_);
  void Fill(const event::v1::ListRequest& request, event::v1::ListResponse* response) const
      REQUIRES_LOCK(mutex_);
  // Fills `response` unless the list still has the index that the request gave; then false.
  bool FillIfMoved(const event::v1::ListRequest& request, event::v1::ListResponse* response);
  void Remove(const Wait* wait);

  const std::chrono::nanoseconds wait_default_;
  const std::chrono::nanoseconds wait_max_;
  base::Mutex mutex_;
  std::deque<event::v1::Event> events_ GUARDED_BY(mutex_);  // the oldest first
  std::unordered_map<const Wait*, std::shared_ptr<Wait>> waiting_ GUARDED_BY(mutex_);
  // Made for the first that waits: most agents never have one.
  std::unique_ptr<base::TimerQueue> timers_ GUARDED_BY(mutex_);
};

}  // namespace consul::api

#endif  // CONSUL_SERVICES_API_EVENT_LIST_H_
