// Goal: whatever bytes are the body of a request, they are refused with a text, or are a message
// whose JSON reads back as the same message.
#include <google/protobuf/message.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "consul/coordinate/v1/coordinate.pb.h"
#include "consul/event/v1/event.pb.h"
#include "consul/operators/v1/autopilot.pb.h"
#include "consul/operators/v1/keyring.pb.h"
#include "gateway/transcode/json_decode.h"
#include "gateway/transcode/json_plan.h"

namespace {

using consul::gateway::JsonPlans;
using google::protobuf::Message;

void Require(bool fact) {
  if (!fact) std::abort();
}

// Of types with floating numbers the texts may differ in a last place: the parser rounds so.
void Check(std::string_view json, const Message& prototype, bool exact) {
  static JsonPlans* const plans = new JsonPlans;
  const auto& type = *plans->Of(prototype.GetDescriptor());
  const std::unique_ptr<Message> message(prototype.New());
  const absl::Status status = consul::gateway::DecodeJson(json, type, message.get());
  Require(status.ok() || !status.message().empty());
  if (!status.ok()) return;
  std::string texts[2];
  for (std::string& text : texts) {
    consul::gateway::AppendJson(type, *message, &text);
    message->Clear();
    Require(consul::gateway::DecodeJson(text, type, message.get()).ok());
  }
  Require(!exact || texts[0] == texts[1]);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  Check(json, consul::coordinate::v1::UpdateRequest::default_instance(), /*exact=*/false);
  Check(json, consul::operators::v1::InstallKeyRequest::default_instance(), true);
  Check(json, consul::event::v1::Event::default_instance(), true);
  Check(json, consul::operators::v1::AutopilotConfiguration::default_instance(), true);
  return 0;
}
