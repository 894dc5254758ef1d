#include "services/base/base64.h"

#include <cstdint>

#include "services/base/strings.h"

namespace consul::base {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

absl::Status Illegal(size_t offset) {
  return absl::InvalidArgumentError(StrCat("illegal base64 data at input byte ", offset));
}

}  // namespace

std::string EncodeBase64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    }
    for (size_t j = 0; j < 4; ++j) {
      const bool padding = i + j > bytes.size();
      text.push_back(padding ? '=' : kAlphabet[group >> (18 - 6 * j) & 63]);
    }
  }
  return text;
}

absl::StatusOr<std::string> DecodeBase64(std::string_view text) {
  std::string bytes;
  // Once and for all: what is decoded may be a key, and growth would leave copies of it behind.
  bytes.reserve(text.size() / 4 * 3 + 3);
  uint32_t group = 0;
  int digits = 0;
  int padding = 0;
  for (size_t offset = 0; offset < text.size(); ++offset) {
    const char c = text[offset];
    if (c == '\n' || c == '\r') continue;
    if (padding > 0 ? c != '=' || digits + padding == 4 : false) return Illegal(offset);
    if (c == '=') {
      if (digits < 2) return Illegal(offset);
      ++padding;
      continue;
    }
    const size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) return Illegal(offset);
    group = group << 6 | static_cast<uint32_t>(value);
    if (++digits < 4) continue;
    for (int shift = 16; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(group >> shift));
    group = 0;
    digits = 0;
  }
  if (digits == 0) return bytes;
  if (digits + padding != 4) return Illegal(text.size());
  group <<= 6 * padding;
  for (int shift = 16; shift >= 8 * padding; shift -= 8) {
    bytes.push_back(static_cast<char>(group >> shift));
  }
  return bytes;
}

}  // namespace consul::base
