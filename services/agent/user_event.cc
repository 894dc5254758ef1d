#include "services/agent/user_event.h"

#include "consul/internal/event/v1/user_event.pb.h"
#include "services/api/event_handlers.h"
#include "services/base/pattern.h"
#include "services/base/strings.h"
#include "services/base/uuid.h"

namespace consul::agent {
namespace {

// Before the names of user events, as the reference has it; but shorter, for the name counts.
constexpr std::string_view kPrefix = "event:";

absl::Status Unreadable(std::string_view why) {
  return absl::InvalidArgumentError(base::StrCat("failed to decode event: ", why));
}

}  // namespace

GossipEvent ToGossip(const event::v1::Event& event) {
  internal::event::v1::UserEvent wire;
  wire.set_id(event.id());
  wire.set_payload(event.payload());
  wire.set_node_filter(event.node_filter());
  wire.set_service_filter(event.service_filter());
  wire.set_tag_filter(event.tag_filter());
  wire.set_version(event.version());
  return {base::StrCat(kPrefix, event.name()), wire.SerializeAsString()};
}

bool IsUserEvent(const gossip::UserEvent& event) { return event.name.starts_with(kPrefix); }

absl::StatusOr<event::v1::Event> FromGossip(const gossip::UserEvent& event) {
  internal::event::v1::UserEvent wire;
  if (!wire.ParseFromString(event.payload)) return Unreadable("malformed payload");
  if (!base::IsUuid(wire.id())) return Unreadable("its id is no UUID");
  if (wire.version() > api::kEventVersion) {
    return Unreadable(base::StrCat("version ", wire.version(), " is not known, the newest is ",
                                   api::kEventVersion));
  }
  event::v1::Event user;
  user.set_id(wire.id());
  user.set_name(event.name.substr(kPrefix.size()));
  user.set_payload(wire.payload());
  user.set_node_filter(wire.node_filter());
  user.set_service_filter(wire.service_filter());
  user.set_tag_filter(wire.tag_filter());
  user.set_version(wire.version());
  user.set_l_time(event.time.value);
  return user;
}

absl::StatusOr<bool> IsFor(const event::v1::Event& event, std::string_view node_name) {
  if (!event.node_filter().empty()) {
    const absl::StatusOr<base::Pattern> nodes = base::Pattern::Compile(event.node_filter());
    if (!nodes.ok()) return nodes.status();
    if (!nodes->Matches(node_name)) return false;
  }
  return event.service_filter().empty();
}

}  // namespace consul::agent
