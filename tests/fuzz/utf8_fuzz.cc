// Goal: no bytes crash the decoder of UTF-8, and it takes exactly what the encoding of a character
// is: what it takes is encoded to the same bytes, and every character that is encoded is taken.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "services/base/utf8.h"

namespace {

using consul::base::Character;
using consul::base::FirstCharacter;

void Require(bool fact) {
  if (!fact) std::abort();
}

std::string Encoded(uint32_t code) {
  if (code < 0x80) return {static_cast<char>(code)};
  const auto tail = [code](int shift) {
    return static_cast<char>(0x80 | (code >> shift & 0x3f));
  };
  if (code < 0x800) return {static_cast<char>(0xc0 | code >> 6), tail(0)};
  if (code < 0x10000) return {static_cast<char>(0xe0 | code >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xf0 | code >> 18), tail(12), tail(6), tail(0)};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  bool sound = true;
  bool printable = true;
  for (std::string_view rest = text; !rest.empty();) {
    const Character first = FirstCharacter(rest);
    Require(first.size >= 0 && static_cast<size_t>(first.size) <= rest.size());
    const size_t bytes = first.size == 0 ? 1 : static_cast<size_t>(first.size);
    if (first.size == 0) {
      sound = false;
    } else {
      Require(first.code <= 0x10ffff && (first.code < 0xd800 || first.code > 0xdfff));
      Require(Encoded(first.code) == rest.substr(0, bytes));
    }
    printable = printable && consul::base::IsPrintable(rest.substr(0, bytes));
    rest.remove_prefix(bytes);
  }
  Require(consul::base::IsUtf8(text) == sound);
  Require(consul::base::IsPrintable(text) == printable);
  const std::string repaired = consul::base::ToUtf8(text);
  Require(consul::base::IsUtf8(repaired) && (repaired == text) == sound);
  if (size < 3) return 0;
  const uint32_t code = (data[0] << 16 | data[1] << 8 | data[2]) % 0x110000;
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  const std::string bytes = Encoded(code);
  Require(consul::base::IsUtf8(bytes) == !surrogate);
  if (!surrogate) Require(FirstCharacter(bytes).code == code);
  return 0;
}
