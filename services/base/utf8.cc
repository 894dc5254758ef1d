#include "services/base/utf8.h"

#include <cstddef>

namespace consul::base {
namespace {

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

struct Range {
  uint32_t first;
  uint32_t last;
};

// Controls, format characters, separators, surrogates' neighbours that are for private use.
constexpr Range kUnprintable[] = {
    {0x00, 0x1F},         {0x7F, 0xA0},         {0xAD, 0xAD},         {0x600, 0x605},
    {0x61C, 0x61C},       {0x6DD, 0x6DD},       {0x70F, 0x70F},       {0x1680, 0x1680},
    {0x180E, 0x180E},     {0x2000, 0x200F},     {0x2028, 0x202F},     {0x205F, 0x206F},
    {0x3000, 0x3000},     {0xE000, 0xF8FF},     {0xFEFF, 0xFEFF},     {0xFFF9, 0xFFFB},
    {0xE0000, 0xE007F},   {0xF0000, 0x10FFFF},
};

bool IsPrintableCode(uint32_t code) {
  for (const Range& range : kUnprintable) {
    if (code >= range.first && code <= range.last) return false;
  }
  return true;
}

}  // namespace

Character FirstCharacter(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return {lead, 1};
  int size = 0;
  uint32_t code = 0;
  uint32_t least = 0;
  if (lead >= 0xC2 && lead <= 0xDF) {
    size = 2, code = lead & 0x1Fu, least = 0x80;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    size = 3, code = lead & 0x0Fu, least = 0x800;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    size = 4, code = lead & 0x07u, least = 0x10000;
  } else {
    return {};
  }
  if (text.size() < static_cast<size_t>(size)) return {};
  for (int i = 1; i < size; ++i) {
    if (!IsContinuation(text[static_cast<size_t>(i)])) return {};
    code = code << 6 | (static_cast<unsigned char>(text[static_cast<size_t>(i)]) & 0x3Fu);
  }
  if (code < least || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return {};
  return {code, size};
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    if (static_cast<unsigned char>(text[0]) < 0x80) {
      text.remove_prefix(1);
      continue;
    }
    const Character character = FirstCharacter(text);
    if (character.size == 0) return false;
    text.remove_prefix(static_cast<size_t>(character.size));
  }
  return true;
}

std::string ToUtf8(std::string_view text) {
  std::string sound;
  sound.reserve(text.size());
  while (!text.empty()) {
    const auto size = static_cast<size_t>(FirstCharacter(text).size);
    sound.append(size == 0 ? std::string_view("\xEF\xBF\xBD") : text.substr(0, size));
    text.remove_prefix(size == 0 ? 1 : size);
  }
  return sound;
}

bool IsPrintable(std::string_view text) {
  while (!text.empty()) {
    const auto lead = static_cast<unsigned char>(text[0]);
    if (lead < 0x80) {
      if (lead < 0x20 || lead == 0x7F) return false;
      text.remove_prefix(1);
      continue;
    }
    const Character character = FirstCharacter(text);
    if (character.size != 0 && !IsPrintableCode(character.code)) return false;
    text.remove_prefix(character.size == 0 ? 1 : static_cast<size_t>(character.size));
  }
  return true;
}

}  // namespace consul::base
