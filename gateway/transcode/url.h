// gateway/transcode/url.h
//
// Request targets as Go's net/url and net/http read them: percent-decoding, queries, the clean form
// of a path and the escapes in which it is given back.
//
// Threads: pure functions; a Query belongs to one thread.
#ifndef CONSUL_GATEWAY_TRANSCODE_URL_H_
#define CONSUL_GATEWAY_TRANSCODE_URL_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace consul::gateway {

struct SplitTarget {
  std::string_view path;   // encoded, with its first slash
  std::string_view query;  // encoded, without "?"
};

// Splits a request target in origin form ("/a?b") or absolute form ("http://host/a?b"). False for
// other forms.
bool Split(std::string_view target, SplitTarget* split);

// Appends `path` with its escapes decoded. False when an escape is malformed.
bool DecodePath(std::string_view path, std::string* out);

// True when the decoded `path` has no empty, "." or ".." segment; the last may be empty.
bool IsCleanPath(std::string_view path);

// The clean form of a decoded path: path.Clean, with the slash at its end kept.
// REQUIRES: `path` begins with a slash.
std::string CleanPath(std::string_view path);

// A decoded path with the escapes that a URL needs.
std::string EscapePath(std::string_view path);

// `text` for the inside of an HTML attribute or element.
std::string EscapeHtml(std::string_view text);

struct Parameter {
  std::string_view name;
  std::string_view value;
};

// The parameters of a query, in their order.
class Query {
 public:
  // Replaces what was there. "&" and ";" separate, "+" is a space. INVALID_ARGUMENT with Go's text
  // on a malformed escape: invalid URL escape "%ZZ".
  absl::Status Parse(std::string_view query);

  std::span<const Parameter> parameters() const { return parameters_; }
  // The first of that name, or null.
  const Parameter* Find(std::string_view name) const;
  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  // The parameters encoded again, sorted by name: url.Values.Encode.
  std::string Encode() const;

 private:
  std::string text_;  // the decoded bytes that parameters_ refer to
  std::vector<Parameter> parameters_;
};

}  // namespace consul::gateway

#endif  // CONSUL_GATEWAY_TRANSCODE_URL_H_
