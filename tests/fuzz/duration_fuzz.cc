// Goal: no text crashes the parser of durations, and what it takes is written back as a text of the
// same value.
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "services/base/duration.h"

namespace {

using consul::base::FormatDuration;
using consul::base::ParseDuration;

void Require(bool fact) {
  if (!fact) std::abort();
}

void RequireBack(std::chrono::nanoseconds value) {
  const auto again = ParseDuration(FormatDuration(value));
  Require(again.ok() && *again == value);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto duration = ParseDuration(text);
  Require(duration.ok() || absl::IsInvalidArgument(duration.status()));
  if (duration.ok()) RequireBack(*duration);
  // Any number of nanoseconds has a text.
  int64_t raw = 0;
  if (size < sizeof(raw)) return 0;
  std::memcpy(&raw, data, sizeof(raw));
  RequireBack(std::chrono::nanoseconds(raw));
  return 0;
}
