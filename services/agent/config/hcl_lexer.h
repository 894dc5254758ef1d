// services/agent/config/hcl_lexer.h
//
// Cuts HCL 1 text into tokens. The parser is its only user.
//
// Threads: a lexer belongs to its caller; the text must outlive it.
// Background: services/agent/config/README.md (the language as we take it).
#ifndef CONSUL_SERVICES_AGENT_CONFIG_HCL_LEXER_H_
#define CONSUL_SERVICES_AGENT_CONFIG_HCL_LEXER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "services/agent/config/value.h"

namespace consul::agent::config {

enum class TokenKind {
  kEnd,
  kIdentifier,  // text: as written
  kString,      // text: unescaped; quoted strings and heredocs
  kInteger,     // integer
  kFloat,       // number
  kOpenBrace,
  kCloseBrace,
  kOpenBracket,
  kCloseBracket,
  kAssign,
  kComma,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  Position position;
  std::string text;
  int64_t integer = 0;
  double number = 0;
};

class HclLexer {
 public:
  explicit HclLexer(std::string_view text) : text_(text) {}

  // Reads the next token into `token`; at the end of the text kEnd, again and again. An error is
  // INVALID_ARGUMENT "LINE:COLUMN: what"; after one the lexer is spent. Columns count bytes from 1.
  absl::Status Next(Token* token);

 private:
  bool AtEnd() const { return offset_ >= text_.size(); }
  char Peek(size_t ahead = 0) const {
    return offset_ + ahead < text_.size() ? text_[offset_ + ahead] : '\0';
  }
  void Advance(size_t bytes = 1);
  absl::Status Fail(Position at, std::string_view what) const;

  absl::Status SkipSpaceAndComments();
  absl::Status ReadPunctuation(Token* token);
  void ReadIdentifier(Token* token);
  absl::Status ReadNumber(Token* token);
  absl::Status ReadString(Token* token);
  absl::Status ReadInterpolation(Token* token);
  absl::Status ReadEscape(Token* token);
  absl::Status ReadCodePoint(int digits_min, int digits_max, int base, uint32_t* code_point);
  absl::Status ReadHeredoc(Token* token);

  const std::string_view text_;
  size_t offset_ = 0;
  Position position_{1, 1};
};

}  // namespace consul::agent::config

#endif  // CONSUL_SERVICES_AGENT_CONFIG_HCL_LEXER_H_
