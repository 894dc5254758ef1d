#include "services/base/duration.h"

#include <cstdint>
#include <limits>
#include <optional>

#include "absl/status/status.h"
#include "services/base/strings.h"

namespace consul::base {
namespace {

constexpr uint64_t kNanosecondsMax = uint64_t{1} << 63;  // of a negative duration; one less else

// Nanoseconds in a unit, or 0 for a unit that there is not.
uint64_t UnitNanoseconds(std::string_view unit) {
  if (unit == "ns") return 1;
  if (unit == "us" || unit == "\u00b5s" || unit == "\u03bcs") return 1000;
  if (unit == "ms") return 1000 * 1000;
  if (unit == "s") return 1000 * 1000 * 1000;
  if (unit == "m") return uint64_t{60} * 1000 * 1000 * 1000;
  if (unit == "h") return uint64_t{3600} * 1000 * 1000 * 1000;
  return 0;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

absl::Status Invalid(std::string_view what, std::string_view text) {
  return absl::InvalidArgumentError(StrCat("time: ", what, " \"", text, "\""));
}

struct Number {
  uint64_t whole = 0;
  uint64_t fraction = 0;  // in units of 1 / scale
  uint64_t scale = 1;
};

// Takes digits, a dot and digits off the front. Nullopt: no digit at all, or too large.
std::optional<Number> TakeNumber(std::string_view* rest) {
  Number number;
  bool any = false;
  while (!rest->empty() && IsDigit(rest->front())) {
    if (number.whole > kNanosecondsMax / 10) return std::nullopt;
    number.whole = number.whole * 10 + static_cast<uint64_t>(rest->front() - '0');
    if (number.whole > kNanosecondsMax) return std::nullopt;
    rest->remove_prefix(1);
    any = true;
  }
  if (!rest->empty() && rest->front() == '.') {
    rest->remove_prefix(1);
    while (!rest->empty() && IsDigit(rest->front())) {
      // Further digits are below a nanosecond even of an hour.
      if (number.scale <= uint64_t{100000000000000}) {
        number.fraction = number.fraction * 10 + static_cast<uint64_t>(rest->front() - '0');
        number.scale *= 10;
      }
      rest->remove_prefix(1);
      any = true;
    }
  }
  if (!any) return std::nullopt;
  return number;
}

// number * unit in nanoseconds, nullopt when out of range.
std::optional<uint64_t> Scale(const Number& number, uint64_t unit) {
  const auto wide = static_cast<unsigned __int128>(number.whole) * unit +
                    static_cast<unsigned __int128>(number.fraction) * unit / number.scale;
  if (wide > kNanosecondsMax) return std::nullopt;
  return static_cast<uint64_t>(wide);
}

// `nanoseconds` / `unit` with its fraction, without trailing zeros: 1.5.
std::string WithFraction(uint64_t nanoseconds, uint64_t unit) {
  std::string out = StrCat(nanoseconds / unit);
  uint64_t rest = nanoseconds % unit;
  if (rest == 0) return out;
  out.push_back('.');
  while (rest != 0) {
    unit /= 10;
    out.push_back(static_cast<char>('0' + rest / unit));
    rest %= unit;
  }
  return out;
}

}  // namespace

absl::StatusOr<std::chrono::nanoseconds> ParseDuration(std::string_view text) {
  std::string_view rest = text;
  const bool negative = !rest.empty() && rest.front() == '-';
  if (!rest.empty() && (rest.front() == '-' || rest.front() == '+')) rest.remove_prefix(1);
  if (rest == "0") return std::chrono::nanoseconds(0);
  if (rest.empty()) return Invalid("invalid duration", text);
  uint64_t sum = 0;
  while (!rest.empty()) {
    const std::optional<Number> number = TakeNumber(&rest);
    if (!number.has_value()) return Invalid("invalid duration", text);
    size_t unit_size = 0;
    while (unit_size < rest.size() && rest[unit_size] != '.' && !IsDigit(rest[unit_size])) {
      ++unit_size;
    }
    if (unit_size == 0) return Invalid("missing unit in duration", text);
    const std::string_view unit = rest.substr(0, unit_size);
    rest.remove_prefix(unit_size);
    const uint64_t nanoseconds = UnitNanoseconds(unit);
    if (nanoseconds == 0) {
      return absl::InvalidArgumentError(
          StrCat("time: unknown unit \"", unit, "\" in duration \"", text, "\""));
    }
    const std::optional<uint64_t> part = Scale(*number, nanoseconds);
    if (!part.has_value() || *part > kNanosecondsMax - sum) {
      return Invalid("invalid duration", text);
    }
    sum += *part;
  }
  if (negative) return std::chrono::nanoseconds(static_cast<int64_t>(0 - sum));
  if (sum == kNanosecondsMax) return Invalid("invalid duration", text);
  return std::chrono::nanoseconds(static_cast<int64_t>(sum));
}

std::string FormatDuration(std::chrono::nanoseconds duration) {
  constexpr uint64_t kMicrosecond = 1000;
  constexpr uint64_t kMillisecond = 1000 * kMicrosecond;
  constexpr uint64_t kSecond = 1000 * kMillisecond;
  const int64_t count = duration.count();
  if (count == 0) return "0s";
  const uint64_t size = count < 0 ? 0 - static_cast<uint64_t>(count) : static_cast<uint64_t>(count);
  std::string out = count < 0 ? "-" : "";
  if (size < kMicrosecond) return StrCat(out, size, "ns");
  if (size < kMillisecond) return StrCat(out, WithFraction(size, kMicrosecond), "\u00b5s");
  if (size < kSecond) return StrCat(out, WithFraction(size, kMillisecond), "ms");
  const uint64_t minutes = size / (60 * kSecond);
  if (minutes >= 60) StrAppend(&out, minutes / 60, "h");
  if (minutes > 0) StrAppend(&out, minutes % 60, "m");
  StrAppend(&out, WithFraction(size % (60 * kSecond), kSecond), "s");
  return out;
}

}  // namespace consul::base
