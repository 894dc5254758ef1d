// services/base/pattern.h
//
// Regular expressions from users: RE2's, which are Go's, and match in time linear in the text.
//
// Threads: immutable once made.
#ifndef CONSUL_SERVICES_BASE_PATTERN_H_
#define CONSUL_SERVICES_BASE_PATTERN_H_

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"

namespace re2 {
class RE2;
}  // namespace re2

namespace consul::base {

class Pattern {
 public:
  // Longest text of an expression, in bytes.
  static constexpr size_t kBytesMax = 1024;

  // INVALID_ARGUMENT "error parsing regexp: missing closing ): `(`", as Go words it.
  static absl::StatusOr<Pattern> Compile(std::string_view text);
  ~Pattern();
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;

  // Whether the expression matches anywhere in `text`.
  bool Matches(std::string_view text) const;

 private:
  explicit Pattern(std::unique_ptr<const re2::RE2> expression);

  std::unique_ptr<const re2::RE2> expression_;
};

}  // namespace consul::base

#endif  // CONSUL_SERVICES_BASE_PATTERN_H_
