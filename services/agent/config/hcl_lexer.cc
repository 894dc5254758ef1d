#include "services/agent/config/hcl_lexer.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "services/base/strings.h"

namespace consul::agent::config {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) {
  // Bytes above 0x7f are letters of other scripts; the parser has checked that the text is UTF-8.
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool IsIdentifierPart(char c) { return IsLetter(c) || IsDigit(c) || c == '-' || c == '.'; }

int DigitValue(char c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

void AppendUtf8(uint32_t code_point, std::string* out) {
  const auto push = [out](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    push(code_point);
  } else if (code_point < 0x800) {
    push(0xc0 | code_point >> 6);
    push(0x80 | (code_point & 0x3f));
  } else if (code_point < 0x10000) {
    push(0xe0 | code_point >> 12);
    push(0x80 | (code_point >> 6 & 0x3f));
    push(0x80 | (code_point & 0x3f));
  } else {
    push(0xf0 | code_point >> 18);
    push(0x80 | (code_point >> 12 & 0x3f));
    push(0x80 | (code_point >> 6 & 0x3f));
    push(0x80 | (code_point & 0x3f));
  }
}

// The indentation that all lines with text share is taken off each.
std::string Unindent(const std::vector<std::string_view>& lines) {
  size_t shared = std::string_view::npos;
  for (const std::string_view line : lines) {
    const size_t text = line.find_first_not_of(" \t");
    if (text != std::string_view::npos) shared = std::min(shared, text);
  }
  std::string out;
  for (const std::string_view line : lines) {
    out.append(line.substr(std::min(shared, line.size())));
    out.push_back('\n');
  }
  return out;
}

}  // namespace

void HclLexer::Advance(size_t bytes) {
  for (; bytes > 0 && !AtEnd(); --bytes) {
    if (text_[offset_++] == '\n') {
      ++position_.line;
      position_.column = 1;
    } else {
      ++position_.column;
    }
  }
}

absl::Status HclLexer::Fail(Position at, std::string_view what) const {
  return absl::InvalidArgumentError(base::StrCat(at.line, ":", at.column, ": ", what));
}

absl::Status HclLexer::SkipSpaceAndComments() {
  while (!AtEnd()) {
    const char c = Peek();
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      Advance();
    } else if (c == '#' || (c == '/' && Peek(1) == '/')) {
      while (!AtEnd() && Peek() != '\n') Advance();
    } else if (c == '/' && Peek(1) == '*') {
      const Position start = position_;
      const size_t end = text_.find("*/", offset_ + 2);
      if (end == std::string_view::npos) return Fail(start, "comment not terminated");
      Advance(end + 2 - offset_);
    } else {
      break;
    }
  }
  return absl::OkStatus();
}

absl::Status HclLexer::Next(Token* token) {
  *token = Token();
  if (absl::Status status = SkipSpaceAndComments(); !status.ok()) return status;
  token->position = position_;
  if (AtEnd()) return absl::OkStatus();
  const char c = Peek();
  if (IsLetter(c)) {
    ReadIdentifier(token);
    return absl::OkStatus();
  }
  if (IsDigit(c) || (c == '-' && IsDigit(Peek(1)))) return ReadNumber(token);
  if (c == '"') return ReadString(token);
  if (c == '<' && Peek(1) == '<') return ReadHeredoc(token);
  return ReadPunctuation(token);
}

absl::Status HclLexer::ReadPunctuation(Token* token) {
  switch (Peek()) {
    case '{': token->kind = TokenKind::kOpenBrace; break;
    case '}': token->kind = TokenKind::kCloseBrace; break;
    case '[': token->kind = TokenKind::kOpenBracket; break;
    case ']': token->kind = TokenKind::kCloseBracket; break;
    case '=': token->kind = TokenKind::kAssign; break;
    case ',': token->kind = TokenKind::kComma; break;
    default: {
      const auto byte = static_cast<unsigned char>(Peek());
      if (byte < 0x20 || byte == 0x7f) {
        return Fail(position_, base::StrCat("illegal character, code ", static_cast<int>(byte)));
      }
      return Fail(position_, base::StrCat("illegal character '", text_.substr(offset_, 1), "'"));
    }
  }
  Advance();
  return absl::OkStatus();
}

void HclLexer::ReadIdentifier(Token* token) {
  token->kind = TokenKind::kIdentifier;
  const size_t start = offset_;
  while (!AtEnd() && IsIdentifierPart(Peek())) Advance();
  token->text = std::string(text_.substr(start, offset_ - start));
}

absl::Status HclLexer::ReadNumber(Token* token) {
  const size_t start = offset_;
  const size_t prefix = Peek() == '-' ? 1 : 0;
  const bool hex = Peek(prefix) == '0' && (Peek(prefix + 1) == 'x' || Peek(prefix + 1) == 'X');
  Advance(prefix);
  // A sign belongs to the number only at its start and behind an exponent's letter.
  const auto is_part = [this, hex] {
    if (Peek() != '-' && Peek() != '+') return IsIdentifierPart(Peek());
    const char before = text_[offset_ - 1];
    return !hex && (before == 'e' || before == 'E');
  };
  while (is_part()) Advance();
  token->text = std::string(text_.substr(start, offset_ - start));
  std::string_view digits = token->text;
  const bool negative = digits.front() == '-';
  if (negative) digits.remove_prefix(1);
  int base = 10;
  if (digits.size() > 2 && digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X')) {
    base = 16;
    digits.remove_prefix(2);
  } else if (digits.size() > 1 && digits[0] == '0' &&
             digits.find_first_not_of("01234567") == std::string_view::npos) {
    base = 8;
  }
  const char* const end = digits.data() + digits.size();
  if (base == 10 && digits.find_first_of(".eE") != std::string_view::npos) {
    token->kind = TokenKind::kFloat;
    const auto [last, error] = std::from_chars(digits.data(), end, token->number);
    if (error == std::errc() && last == end) {
      if (negative) token->number = -token->number;
      return absl::OkStatus();
    }
  } else {
    token->kind = TokenKind::kInteger;
    std::string text(negative ? "-" : "");
    text.append(digits);
    const auto [last, error] =
        std::from_chars(text.data(), text.data() + text.size(), token->integer, base);
    if (error == std::errc() && last == text.data() + text.size()) return absl::OkStatus();
  }
  return Fail(token->position, base::StrCat("not a number, or out of range: ", token->text));
}

absl::Status HclLexer::ReadString(Token* token) {
  token->kind = TokenKind::kString;
  Advance();
  while (true) {
    if (AtEnd() || Peek() == '\n') return Fail(token->position, "literal not terminated");
    if (Peek() == '"') {
      Advance();
      return absl::OkStatus();
    }
    absl::Status status;
    if (Peek() == '\\') {
      status = ReadEscape(token);
    } else if (Peek() == '$' && Peek(1) == '{') {
      status = ReadInterpolation(token);
    } else {
      token->text.push_back(Peek());
      Advance();
    }
    if (!status.ok()) return status;
  }
}

// "${...}" is kept as it is written, to the brace that closes it; quotes and line ends are text
// there.
absl::Status HclLexer::ReadInterpolation(Token* token) {
  int braces = 0;
  do {
    if (AtEnd()) return Fail(token->position, "literal not terminated");
    if (Peek() == '{') ++braces;
    if (Peek() == '}') --braces;
    token->text.push_back(Peek());
    Advance();
  } while (braces > 0 || token->text.back() == '$');
  return absl::OkStatus();
}

absl::Status HclLexer::ReadEscape(Token* token) {
  const Position start = position_;
  Advance();
  const char c = Peek();
  constexpr std::string_view kNames = "abfnrtv\\\"";
  constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\\"";
  if (const size_t index = kNames.find(c); !AtEnd() && index != std::string_view::npos) {
    token->text.push_back(kMeanings[index]);
    Advance();
    return absl::OkStatus();
  }
  uint32_t code_point = 0;
  absl::Status status;
  if (c >= '0' && c <= '7') {
    status = ReadCodePoint(3, 3, 8, &code_point);
  } else if (c == 'x' || c == 'u' || c == 'U') {
    Advance();
    const int digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
    status = ReadCodePoint(digits, digits, 16, &code_point);
  } else {
    return Fail(start, "illegal escape in a string");
  }
  if (!status.ok()) return status;
  const bool surrogate = code_point >= 0xd800 && code_point < 0xe000;
  if (surrogate || code_point > 0x10ffff) {
    return Fail(start, "escape is not a Unicode character");
  }
  AppendUtf8(code_point, &token->text);
  return absl::OkStatus();
}

absl::Status HclLexer::ReadCodePoint(int digits_min, int digits_max, int base,
                                     uint32_t* code_point) {
  int digits = 0;
  for (; digits < digits_max && DigitValue(Peek()) < base; ++digits) {
    *code_point = *code_point * static_cast<uint32_t>(base) +
                  static_cast<uint32_t>(DigitValue(Peek()));
    Advance();
  }
  if (digits < digits_min) return Fail(position_, "illegal escape in a string");
  return absl::OkStatus();
}

absl::Status HclLexer::ReadHeredoc(Token* token) {
  token->kind = TokenKind::kString;
  Advance(2);
  const bool indented = Peek() == '-';
  if (indented) Advance();
  const size_t marker_start = offset_;
  while (!AtEnd() && (IsLetter(Peek()) || IsDigit(Peek()))) Advance();
  const std::string_view marker = text_.substr(marker_start, offset_ - marker_start);
  if (marker.empty()) return Fail(token->position, "heredoc without a marker");
  if (Peek() == '\r') Advance();
  if (Peek() != '\n') return Fail(position_, "heredoc marker must end its line");
  Advance();
  std::vector<std::string_view> lines;
  while (!AtEnd()) {
    const size_t end = std::min(text_.find('\n', offset_), text_.size());
    std::string_view line = text_.substr(offset_, end - offset_);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    const size_t text = std::min(line.find_first_not_of(" \t"), line.size());
    if (line.substr(text) == marker) {
      Advance(end - offset_);
      if (indented) {
        token->text = Unindent(lines);
      } else {
        for (const std::string_view kept : lines) base::StrAppend(&token->text, kept, "\n");
      }
      return absl::OkStatus();
    }
    lines.push_back(line);
    Advance(end + 1 - offset_);
  }
  return Fail(token->position, base::StrCat("heredoc not terminated: no line ", marker));
}

}  // namespace consul::agent::config
