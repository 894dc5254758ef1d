#include "services/base/pattern.h"

#include <re2/re2.h>

#include <string>
#include <utility>

#include "services/base/strings.h"

namespace consul::base {
namespace {

std::string_view GoText(RE2::ErrorCode code) {
  switch (code) {
    case RE2::ErrorBadEscape:
      return "invalid escape sequence";
    case RE2::ErrorBadCharClass:
      return "invalid character class";
    case RE2::ErrorBadCharRange:
      return "invalid character class range";
    case RE2::ErrorMissingBracket:
      return "missing closing ]";
    case RE2::ErrorMissingParen:
      return "missing closing )";
    case RE2::ErrorUnexpectedParen:
      return "unexpected )";
    case RE2::ErrorTrailingBackslash:
      return "trailing backslash at end of expression";
    case RE2::ErrorRepeatArgument:
      return "missing argument to repetition operator";
    case RE2::ErrorRepeatSize:
      return "invalid repeat count";
    case RE2::ErrorRepeatOp:
      return "invalid nested repetition operator";
    case RE2::ErrorBadPerlOp:
      return "invalid or unsupported Perl syntax";
    case RE2::ErrorBadUTF8:
      return "invalid UTF-8";
    case RE2::ErrorBadNamedCapture:
      return "invalid named capture";
    case RE2::ErrorPatternTooLarge:
      return "expression too large";
    default:
      return "internal error";
  }
}

}  // namespace

Pattern::Pattern(std::unique_ptr<const re2::RE2> expression)
    : expression_(std::move(expression)) {}
Pattern::~Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;

absl::StatusOr<Pattern> Pattern::Compile(std::string_view text) {
  if (text.size() > kBytesMax) {
    return absl::InvalidArgumentError(StrCat("error parsing regexp: it is ", text.size(),
                                             " bytes long, the limit is ", kBytesMax));
  }
  RE2::Options options;
  options.set_log_errors(false);
  auto expression =
      std::make_unique<const RE2>(re2::StringPiece(text.data(), text.size()), options);
  if (expression->ok()) return Pattern(std::move(expression));
  std::string_view about = expression->error_arg();
  // Go names the whole expression where a parenthesis is not closed.
  if (expression->error_code() == RE2::ErrorMissingParen) about = text;
  return absl::InvalidArgumentError(StrCat("error parsing regexp: ",
                                           GoText(expression->error_code()), ": `", about, "`"));
}

bool Pattern::Matches(std::string_view text) const {
  return RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), *expression_);
}

}  // namespace consul::base
