#include "services/base/base64.h"

#include <array>
#include <cstddef>
#include <cstdint>

#include "services/base/strings.h"

namespace consul::base {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// The six bits that a character stands for; -1: none.
constexpr std::array<int8_t, 256> kBits = [] {
  std::array<int8_t, 256> bits{};
  bits.fill(-1);
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    bits[static_cast<unsigned char>(kAlphabet[i])] = static_cast<int8_t>(i);
  }
  return bits;
}();

absl::Status Illegal(size_t offset) {
  return absl::InvalidArgumentError(StrCat("illegal base64 data at input byte ", offset));
}

}  // namespace

void AppendBase64(std::string_view bytes, std::string* out) {
  const size_t start = out->size();
  out->resize(start + (bytes.size() + 2) / 3 * 4);
  char* to = out->data() + start;
  const auto* from = reinterpret_cast<const unsigned char*>(bytes.data());
  size_t left = bytes.size();
  for (; left >= 3; left -= 3, from += 3) {
    const uint32_t group = uint32_t{from[0]} << 16 | uint32_t{from[1]} << 8 | from[2];
    *to++ = kAlphabet[group >> 18];
    *to++ = kAlphabet[group >> 12 & 63];
    *to++ = kAlphabet[group >> 6 & 63];
    *to++ = kAlphabet[group & 63];
  }
  if (left == 0) return;
  const uint32_t group = uint32_t{from[0]} << 16 | (left == 2 ? uint32_t{from[1]} << 8 : 0);
  *to++ = kAlphabet[group >> 18];
  *to++ = kAlphabet[group >> 12 & 63];
  *to++ = left == 2 ? kAlphabet[group >> 6 & 63] : '=';
  *to = '=';
}

std::string EncodeBase64(std::string_view bytes) {
  std::string text;
  AppendBase64(bytes, &text);
  return text;
}

absl::StatusOr<std::string> DecodeBase64(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  uint32_t group = 0;
  int digits = 0;
  int padding = 0;
  for (size_t offset = 0; offset < text.size(); ++offset) {
    const char c = text[offset];
    if (c == '\n' || c == '\r') continue;
    if (padding > 0 && (c != '=' || digits + padding == 4)) return Illegal(offset);
    if (c == '=') {
      if (digits < 2) return Illegal(offset);
      ++padding;
      continue;
    }
    const int value = kBits[static_cast<unsigned char>(c)];
    if (value < 0) return Illegal(offset);
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
