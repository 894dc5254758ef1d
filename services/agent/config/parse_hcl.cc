#include <memory>
#include <utility>

#include "services/agent/config/hcl_lexer.h"
#include "services/agent/config/parse.h"
#include "services/agent/config/parse_limits.h"
#include "services/base/strings.h"

namespace consul::agent::config {
namespace {

const char* KindName(TokenKind kind) {
  switch (kind) {
    case TokenKind::kEnd: return "end of file";
    case TokenKind::kIdentifier: return "a name";
    case TokenKind::kString: return "a string";
    case TokenKind::kInteger:
    case TokenKind::kFloat: return "a number";
    case TokenKind::kOpenBrace: return "'{'";
    case TokenKind::kCloseBrace: return "'}'";
    case TokenKind::kOpenBracket: return "'['";
    case TokenKind::kCloseBracket: return "']'";
    case TokenKind::kAssign: return "'='";
    case TokenKind::kComma: return "','";
  }
  return "";
}

// Recursive descent over one token of look-ahead:
//   items  = { item [","] }            item  = key { key } ( "=" value | object )
//   value  = literal | list | object   list  = "[" [ value { "," value } [","] ] "]"
//   object = "{" items "}"             key   = name | string
class HclParser {
 public:
  HclParser(std::string_view text, std::shared_ptr<const std::string> source)
      : lexer_(text), source_(std::move(source)) {}

  absl::StatusOr<Value> ParseFile() {
    if (absl::Status status = Shift(); !status.ok()) return status;
    absl::StatusOr<Object> items = ParseItems(TokenKind::kEnd, 0);
    if (!items.ok()) return items.status();
    if (items->empty()) return Value();
    return At({1, 1}, Value(*std::move(items)));
  }

 private:
  absl::Status Shift() { return lexer_.Next(&token_); }

  absl::Status Fail(std::string_view what) const {
    return absl::InvalidArgumentError(
        base::StrCat(token_.position.line, ":", token_.position.column, ": ", what));
  }
  absl::Status Unexpected(std::string_view wanted) const {
    return Fail(base::StrCat("expected ", wanted, ", got ", KindName(token_.kind),
                             token_.kind == TokenKind::kIdentifier ? " " + token_.text : ""));
  }

  Value At(Position position, Value value) const {
    value.position = position;
    value.source = source_;
    return value;
  }

  absl::StatusOr<Object> ParseItems(TokenKind end, int depth) {
    Object items;
    while (token_.kind != end) {
      if (absl::Status status = ParseItem(&items, depth); !status.ok()) return status;
      if (token_.kind == TokenKind::kComma && !items.empty()) {
        if (absl::Status status = Shift(); !status.ok()) return status;
      }
    }
    return items;
  }

  // Several keys are blocks in blocks: service "web" { } is {"service": {"web": {}}}.
  absl::Status ParseItem(Object* items, int depth) {
    const Position start = token_.position;
    std::vector<std::string> keys;
    while (token_.kind == TokenKind::kIdentifier || token_.kind == TokenKind::kString) {
      keys.push_back(std::move(token_.text));
      if (depth + static_cast<int>(keys.size()) > kDepthMax) return TooDeep();
      if (absl::Status status = Shift(); !status.ok()) return status;
    }
    if (keys.empty()) return Unexpected("a key");
    const bool assignment = token_.kind == TokenKind::kAssign;
    if (assignment) {
      if (keys.size() > 1) return Fail("an assignment has one key");
      if (absl::Status status = Shift(); !status.ok()) return status;
    } else if (token_.kind != TokenKind::kOpenBrace) {
      return Unexpected(base::StrCat("'{' or '=' after key '", keys.back(), "'"));
    }
    absl::StatusOr<Value> value = ParseValue(depth + static_cast<int>(keys.size()));
    if (!value.ok()) return value.status();
    for (; keys.size() > 1; keys.pop_back()) {
      Object wrapper;
      wrapper.emplace_back(std::move(keys.back()), *std::move(value));
      value = At(start, Value(std::move(wrapper)));
    }
    if (items->size() == kObjectKeysMax) {
      return Fail(base::StrCat("more than ", kObjectKeysMax, " keys in one object"));
    }
    items->emplace_back(std::move(keys.front()), *std::move(value));
    return absl::OkStatus();
  }

  absl::Status TooDeep() const {
    return Fail(base::StrCat("nested deeper than ", kDepthMax, " levels"));
  }

  absl::StatusOr<Value> ParseValue(int depth) {
    if (depth > kDepthMax) return TooDeep();
    const Position start = token_.position;
    switch (token_.kind) {
      case TokenKind::kString: return Literal(start, Value(std::move(token_.text)));
      case TokenKind::kInteger: return Literal(start, Value(token_.integer));
      case TokenKind::kFloat: return Literal(start, Value(token_.number));
      case TokenKind::kIdentifier:
        if (token_.text == "true") return Literal(start, Value(true));
        if (token_.text == "false") return Literal(start, Value(false));
        if (token_.text == "null") return Literal(start, Value());
        return Unexpected("a value");
      case TokenKind::kOpenBracket: return ParseList(start, depth);
      case TokenKind::kOpenBrace: return ParseObject(start, depth);
      case TokenKind::kEnd:
      case TokenKind::kCloseBrace:
      case TokenKind::kCloseBracket:
      case TokenKind::kAssign:
      case TokenKind::kComma: return Unexpected("a value");
    }
    return Unexpected("a value");
  }

  absl::StatusOr<Value> Literal(Position start, Value value) {
    if (absl::Status status = Shift(); !status.ok()) return status;
    return At(start, std::move(value));
  }

  absl::StatusOr<Value> ParseObject(Position start, int depth) {
    if (absl::Status status = Shift(); !status.ok()) return status;
    absl::StatusOr<Object> items = ParseItems(TokenKind::kCloseBrace, depth);
    if (!items.ok()) return items.status();
    return Literal(start, Value(*std::move(items)));
  }

  absl::StatusOr<Value> ParseList(Position start, int depth) {
    if (absl::Status status = Shift(); !status.ok()) return status;
    List list;
    while (token_.kind != TokenKind::kCloseBracket) {
      absl::StatusOr<Value> value = ParseValue(depth + 1);
      if (!value.ok()) return value.status();
      list.push_back(*std::move(value));
      if (token_.kind == TokenKind::kCloseBracket) break;
      if (token_.kind != TokenKind::kComma) return Unexpected("',' or ']' in a list");
      if (absl::Status status = Shift(); !status.ok()) return status;
    }
    return Literal(start, Value(std::move(list)));
  }

  HclLexer lexer_;
  const std::shared_ptr<const std::string> source_;
  Token token_;
};

}  // namespace

absl::StatusOr<Value> ParseHcl(std::string_view text, std::string_view source) {
  if (absl::Status status = CheckText(&text, source); !status.ok()) return status;
  HclParser parser(text, std::make_shared<const std::string>(source));
  absl::StatusOr<Value> value = parser.ParseFile();
  if (!value.ok()) {
    return absl::InvalidArgumentError(
        base::StrCat(source, ":", base::ToStd(value.status().message())));
  }
  return value;
}

}  // namespace consul::agent::config
