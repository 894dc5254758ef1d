// services/base/strings.h
//
// Debian builds abseil with its own string_view, which does not convert to or from the standard one
// everywhere. Our interfaces use the standard types; this header is the one bridge.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_BASE_STRINGS_H_
#define CONSUL_SERVICES_BASE_STRINGS_H_

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace consul::base {

inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

namespace strings_internal {
template <typename T>
decltype(auto) Bridge(const T& value) {
  if constexpr (std::is_same_v<T, std::string_view>) {
    return ToAbsl(value);
  } else {
    return (value);
  }
}
}  // namespace strings_internal

// absl::StrCat and absl::StrAppend, which also take std::string_view.
template <typename... Args>
std::string StrCat(const Args&... args) {
  return absl::StrCat(strings_internal::Bridge(args)...);
}
template <typename... Args>
void StrAppend(std::string* out, const Args&... args) {
  absl::StrAppend(out, strings_internal::Bridge(args)...);
}

}  // namespace consul::base

#endif  // CONSUL_SERVICES_BASE_STRINGS_H_
