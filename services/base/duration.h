// services/base/duration.h
//
// Durations as Go writes and reads them ("10s", "1h30m", "1.5ms"): the text of configuration files,
// flags, ?wait= and JSON fields.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_BASE_DURATION_H_
#define CONSUL_SERVICES_BASE_DURATION_H_

#include <chrono>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace consul::base {

// A sign, then numbers with units ns, us (also with either micro sign), ms, s, m and h: "-1.5h",
// "1h15m30.918s"; "0" needs no unit. Fractions beyond a nanosecond are cut off.
// INVALID_ARGUMENT with Go's text: time: invalid duration "x", time: missing unit in duration "5",
// time: unknown unit "d" in duration "1d". Out of range (about 292 years) is an invalid duration.
absl::StatusOr<std::chrono::nanoseconds> ParseDuration(std::string_view text);

// The shortest such text: "1h0m0s", "1.5s", "200ms", "0s". ParseDuration gives the same value back.
std::string FormatDuration(std::chrono::nanoseconds duration);

}  // namespace consul::base

#endif  // CONSUL_SERVICES_BASE_DURATION_H_
