#include "services/api/event_handlers.h"

#include <string_view>
#include <utility>

#include "services/api/awaited_call.h"
#include "services/base/pattern.h"
#include "services/base/strings.h"
#include "services/base/uuid.h"
#include "services/rpc/errors.h"

namespace consul::api {
namespace {

using event::v1::Event;
using event::v1::FireRequest;
using event::v1::FireResponse;

absl::Status CheckFilter(std::string_view what, const std::string& text,
                         std::string_view field) {
  const absl::StatusOr<base::Pattern> pattern = base::Pattern::Compile(text);
  if (pattern.ok()) return absl::OkStatus();
  return rpc::Error(errors::v1::REASON_INVALID_FIELD,
                    base::StrCat("Invalid ", what, " filter: ",
                                 base::ToStd(pattern.status().message())),
                    field);
}

absl::Status Check(const EventView& view, const FireRequest& request) {
  if (!request.datacenter().empty() && request.datacenter() != view.datacenter) {
    return rpc::Error(errors::v1::REASON_NO_PATH_TO_DATACENTER, "No path to datacenter");
  }
  if (request.name().empty()) {
    return rpc::Error(errors::v1::REASON_MISSING_FIELD, "Missing name", "name");
  }
  if (!request.tag_filter().empty() && request.service_filter().empty()) {
    return rpc::Error(errors::v1::REASON_CONFLICTING_FIELDS,
                      "Cannot provide tag filter without service filter", "tag_filter");
  }
  absl::Status status = CheckFilter("node", request.node_filter(), "node_filter");
  if (status.ok()) status = CheckFilter("service", request.service_filter(), "service_filter");
  if (status.ok()) status = CheckFilter("tag", request.tag_filter(), "tag_filter");
  return status;
}

void Fire(const EventView& view, rpc::Call* call) {
  const auto& request = static_cast<const FireRequest&>(call->request());
  call->status = Check(view, request);
  if (!call->status.ok()) return call->Done();
  Event event;
  event.set_id(base::MakeUuid());
  event.set_name(request.name());
  event.set_payload(request.payload());
  event.set_node_filter(request.node_filter());
  event.set_service_filter(request.service_filter());
  event.set_tag_filter(request.tag_filter());
  event.set_version(kEventVersion);
  Await<Event, FireResponse>(
      call,
      [&](std::function<void(absl::StatusOr<Event>)> done) {
        view.tell(event, [event, done = std::move(done)](const absl::Status& status) {
          if (status.ok()) return done(event);
          if (!absl::IsResourceExhausted(status)) return done(status);
          done(rpc::Error(errors::v1::REASON_TOO_LARGE, base::ToStd(status.message()), "payload"));
        });
      },
      [](const Event& told, FireResponse* response) { *response->mutable_event() = told; });
}

}  // namespace

void RegisterEvents(const EventView* view, rpc::Handlers* handlers) {
  handlers->Take("/consul.event.v1.EventService/Fire",
                 [view](rpc::Call* call) { Fire(*view, call); });
  handlers->Take("/consul.event.v1.EventService/List",
                 [view](rpc::Call* call) { view->heard->Answer(call); });
}

}  // namespace consul::api
