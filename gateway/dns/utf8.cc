#include "gateway/dns/utf8.h"

#include <cstddef>
#include <cstdint>

namespace consul::gateway::dns {

bool IsUtf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const uint8_t first = static_cast<uint8_t>(text[at++]);
    if (first < 0x80) continue;
    int more = 0;
    uint32_t value = 0;
    uint32_t value_min = 0;
    if ((first & 0xe0) == 0xc0) {
      more = 1, value = first & 0x1f, value_min = 0x80;
    } else if ((first & 0xf0) == 0xe0) {
      more = 2, value = first & 0x0f, value_min = 0x800;
    } else if ((first & 0xf8) == 0xf0) {
      more = 3, value = first & 0x07, value_min = 0x10000;
    } else {
      return false;
    }
    for (; more > 0; --more, ++at) {
      if (at >= text.size() || (static_cast<uint8_t>(text[at]) & 0xc0) != 0x80) return false;
      value = value << 6 | (static_cast<uint8_t>(text[at]) & 0x3f);
    }
    if (value < value_min || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return false;
  }
  return true;
}

}  // namespace consul::gateway::dns
