// Goal: whatever bytes come as a user event, they are refused with a text, or are an event that
// goes on as it came; and its filters harm nobody.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "services/agent/user_event.h"

namespace {

void Require(bool fact) {
  if (!fact) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using consul::agent::FromGossip;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  consul::gossip::UserEvent heard{consul::gossip::LamportTime{7}, "event:x", bytes, false};
  const auto event = FromGossip(heard);
  Require(event.ok() || !event.status().message().empty());
  if (!event.ok()) return 0;
  const consul::agent::GossipEvent told = consul::agent::ToGossip(*event);
  const auto again = FromGossip({heard.time, told.name, told.payload, false});
  Require(again.ok() && again->SerializeAsString() == event->SerializeAsString());
  const auto wanted = consul::agent::IsFor(*event, "node");
  Require(wanted.ok() || !wanted.status().message().empty());
  return 0;
}
