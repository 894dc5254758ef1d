#include "gateway/transcode/json_text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>

#include "services/base/base64.h"
#include "services/base/utf8.h"

namespace consul::gateway {
namespace {

constexpr char kHex[] = "0123456789abcdef";
// Go's limits between the plain form and the one with an exponent.
constexpr double kPlainMin = 1e-6;
constexpr double kPlainEnd = 1e21;

// True for bytes that stand for themselves inside quotes.
constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> plain{};
  for (size_t c = 0x20; c < 0x80; ++c) {
    plain[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
  }
  return plain;
}();

void AppendEscapedAscii(char c, std::string* out) {
  switch (c) {
    case '"':
      out->append("\\\"");
      return;
    case '\\':
      out->append("\\\\");
      return;
    case '\n':
      out->append("\\n");
      return;
    case '\r':
      out->append("\\r");
      return;
    case '\t':
      out->append("\\t");
      return;
    default:
      out->append("\\u00");
      out->push_back(kHex[static_cast<unsigned char>(c) >> 4]);
      out->push_back(kHex[static_cast<unsigned char>(c) & 0xF]);
  }
}

template <typename Number>
void AppendNumber(Number value, std::string* out) {
  char buffer[24];
  const std::to_chars_result result = std::to_chars(buffer, buffer + sizeof(buffer), value);
  out->append(buffer, result.ptr);
}

}  // namespace

void AppendJsonString(std::string_view text, std::string* out) {
  out->push_back('"');
  size_t start = 0;
  size_t i = 0;
  while (i < text.size()) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (kPlain[c]) {
      ++i;
      continue;
    }
    if (c < 0x80) {
      out->append(text.substr(start, i - start));
      AppendEscapedAscii(text[i], out);
      start = ++i;
      continue;
    }
    const base::Character character = base::FirstCharacter(text.substr(i));
    if (character.size != 0 && character.code != 0x2028 && character.code != 0x2029) {
      i += static_cast<size_t>(character.size);
      continue;
    }
    out->append(text.substr(start, i - start));
    if (character.size == 0) {
      out->append("\\ufffd");
      ++i;
    } else {
      out->append(character.code == 0x2028 ? "\\u2028" : "\\u2029");
      i += static_cast<size_t>(character.size);
    }
    start = i;
  }
  out->append(text.substr(start));
  out->push_back('"');
}

void AppendJsonBase64(std::string_view bytes, std::string* out) {
  out->push_back('"');
  base::AppendBase64(bytes, out);
  out->push_back('"');
}

void AppendJsonInt(int64_t value, std::string* out) { AppendNumber(value, out); }
void AppendJsonUint(uint64_t value, std::string* out) { AppendNumber(value, out); }

void AppendJsonDouble(double value, std::string* out) {
  if (!std::isfinite(value)) {
    out->append("null");
    return;
  }
  const double size = std::fabs(value);
  const bool plain = size == 0 || (size >= kPlainMin && size < kPlainEnd);
  char buffer[64];
  std::to_chars_result result =
      std::to_chars(buffer, buffer + sizeof(buffer), value,
                    plain ? std::chars_format::fixed : std::chars_format::scientific);
  // Go writes e-7 where the standard writes e-07.
  const std::string_view text(buffer, static_cast<size_t>(result.ptr - buffer));
  const size_t zero = text.find("e-0");
  if (zero == std::string_view::npos) {
    out->append(text);
    return;
  }
  out->append(text.substr(0, zero + 2));
  out->append(text.substr(zero + 3));
}

void Indenter::Append(std::string_view piece, std::string* out) {
  constexpr size_t kSpaces = 4;
  const auto new_line = [&] {
    out->push_back('\n');
    out->append(depth_ * kSpaces, ' ');
  };
  for (size_t i = 0; i < piece.size(); ++i) {
    const char c = piece[i];
    const bool closes = c == '}' || c == ']';
    if (closes) --depth_;
    if (opened_ != closes) new_line();
    opened_ = false;
    if (c == '"') {
      const size_t start = i;
      for (++i; i < piece.size() && piece[i] != '"'; ++i) {
        if (piece[i] == '\\') ++i;
      }
      out->append(piece.substr(start, i - start + 1));
      continue;
    }
    out->push_back(c);
    if (c == '{' || c == '[') {
      ++depth_;
      opened_ = true;
    } else if (c == ',') {
      new_line();
    } else if (c == ':') {
      out->push_back(' ');
    }
  }
}

void AppendIndented(std::string_view json, std::string* out) { Indenter().Append(json, out); }

}  // namespace consul::gateway
