// Goal: no text crashes the parsers of configuration files, and whatever they take can be checked,
// merged and built into a configuration or is refused with a message.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "services/agent/config/load.h"
#include "services/agent/config/parse.h"

namespace {

using consul::agent::config::Load;
using consul::agent::config::Loaded;
using consul::agent::config::Machine;
using consul::agent::config::ParseHcl;
using consul::agent::config::ParseJson;
using consul::agent::config::Sources;

void Require(bool fact) {
  if (!fact) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto hcl = ParseHcl(text, "fuzz.hcl");
  Require(hcl.ok() || hcl.status().message().substr(0, 9) == "fuzz.hcl:");
  if (hcl.ok()) {
    // What was read is a tree of JSON too, and reads back the same.
    const std::string json = hcl->ToJson();
    if (!hcl->is_null()) Require(ParseJson(json, "fuzz.json").ok());
  }
  const auto json = ParseJson(text, "fuzz.json");
  Require(json.ok() || json.status().message().substr(0, 10) == "fuzz.json:");

  Sources sources;
  sources.flags.Set("data_dir", "/nowhere");
  sources.fragments.emplace_back(text);
  const Machine machine{"fuzz", "10.0.0.1", "", {{"eth0", "10.0.0.1"}}};
  const absl::StatusOr<Loaded> loaded = Load(sources, machine);
  Require(loaded.ok() || !loaded.status().message().empty());
  return 0;
}
