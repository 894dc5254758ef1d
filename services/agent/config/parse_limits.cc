#include "services/agent/config/parse_limits.h"

#include <algorithm>

#include "services/agent/config/parse.h"
#include "services/base/strings.h"

namespace consul::agent::config {
namespace {

// Bytes of the well-formed UTF-8 sequence at the start of `text`; 0 when there is none.
size_t SequenceSize(std::string_view text) {
  const auto byte = [text](size_t index) -> unsigned {
    return index < text.size() ? static_cast<unsigned char>(text[index]) : 0;
  };
  const auto continues = [&byte](size_t index) { return (byte(index) & 0xc0) == 0x80; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return continues(1) ? 2 : 0;
  if (first >= 0xe0 && first < 0xf0) {
    if (!continues(1) || !continues(2)) return 0;
    // Overlong forms and surrogates.
    if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) >= 0xa0)) return 0;
    return 3;
  }
  if (first >= 0xf0 && first < 0xf5) {
    if (!continues(1) || !continues(2) || !continues(3)) return 0;
    if ((first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) >= 0x90)) return 0;
    return 4;
  }
  return 0;
}

}  // namespace

Position PositionOf(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const size_t line_end = before.rfind('\n');
  const size_t line_start = line_end == std::string_view::npos ? 0 : line_end + 1;
  return {1 + static_cast<int>(std::count(before.begin(), before.end(), '\n')),
          1 + static_cast<int>(before.size() - line_start)};
}

absl::Status CheckText(std::string_view* text, std::string_view source) {
  if (text->size() > kTextBytesMax) {
    return absl::InvalidArgumentError(base::StrCat(source, ": ", text->size(),
                                                   " bytes, more than the limit of ",
                                                   kTextBytesMax));
  }
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text->substr(0, kByteOrderMark.size()) == kByteOrderMark) {
    text->remove_prefix(kByteOrderMark.size());
  }
  for (size_t offset = 0; offset < text->size();) {
    const size_t size = SequenceSize(text->substr(offset));
    if (size == 0) {
      const Position at = PositionOf(*text, offset);
      return absl::InvalidArgumentError(
          base::StrCat(source, ":", at.line, ":", at.column, ": not UTF-8 text"));
    }
    offset += size;
  }
  return absl::OkStatus();
}

}  // namespace consul::agent::config
