// services/base/utf8.h
//
// UTF-8 as Go decodes it: the longest well-formed character, or one byte that is none.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_BASE_UTF8_H_
#define CONSUL_SERVICES_BASE_UTF8_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace consul::base {

struct Character {
  uint32_t code = 0;
  // Bytes that it takes; 0: the first byte starts no well-formed character.
  int size = 0;
};

// The character at the front of `text`. Overlong forms, surrogates and codes above U+10FFFF are not
// well-formed.
// REQUIRES: `text` is not empty.
Character FirstCharacter(std::string_view text);

bool IsUtf8(std::string_view text);

// `text` with U+FFFD for each byte that is in no well-formed character, as Go's JSON does.
std::string ToUtf8(std::string_view text);

// True when no character of `text` is a control, a format character, or white space other than the
// ordinary space. Bytes that are no UTF-8 count as printable: keys may hold them.
bool IsPrintable(std::string_view text);

}  // namespace consul::base

#endif  // CONSUL_SERVICES_BASE_UTF8_H_
