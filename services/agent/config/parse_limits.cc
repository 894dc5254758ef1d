#include "services/agent/config/parse_limits.h"

#include <algorithm>

#include "services/agent/config/parse.h"
#include "services/base/strings.h"
#include "services/base/utf8.h"

namespace consul::agent::config {

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
    const auto size = static_cast<size_t>(base::FirstCharacter(text->substr(offset)).size);
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
