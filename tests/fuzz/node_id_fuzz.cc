// Goal: no text crashes what reads the node-id file, and what it takes is a UUID that it takes
// again.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "services/agent/config/node_id.h"
#include "services/base/uuid.h"

namespace {

using consul::agent::config::ParseNodeId;

void Require(bool fact) {
  if (!fact) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto id = ParseNodeId(text);
  if (!id.ok()) {
    Require(absl::IsInvalidArgument(id.status()));
    return 0;
  }
  Require(id->empty() || consul::base::IsUuid(*id));
  Require(*ParseNodeId(*id + " \n") == *id);
  Require(id->find_first_of("ABCDEF") == std::string::npos);
  return 0;
}
