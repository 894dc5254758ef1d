// services/api/event_handlers.h
//
// consul.event.v1.EventService: user events, told and heard by gossip.
//
// Threads: EventView's function is called from any thread.
#ifndef CONSUL_SERVICES_API_EVENT_HANDLERS_H_
#define CONSUL_SERVICES_API_EVENT_HANDLERS_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "consul/event/v1/event.pb.h"
#include "services/api/event_list.h"
#include "services/rpc/handlers.h"

namespace consul::api {

// What the handlers see of the agent. Everything in it outlives them.
struct EventView {
  std::string datacenter;
  EventList* heard = nullptr;
  // Tells all agents. RESOURCE_EXHAUSTED: the event is too large.
  std::function<void(const event::v1::Event& event, std::function<void(absl::Status)> done)> tell;
};

// The form of events that agents make and know.
inline constexpr uint32_t kEventVersion = 1;

// `view` outlives `handlers`.
void RegisterEvents(const EventView* view, rpc::Handlers* handlers);

}  // namespace consul::api

#endif  // CONSUL_SERVICES_API_EVENT_HANDLERS_H_
