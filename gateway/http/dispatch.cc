#include "gateway/http/dispatch.h"

#include "services/base/strings.h"
#include "services/base/utf8.h"

namespace consul::gateway::http {
namespace {

Outcome EmptyReply(int status, std::string_view headers = {}) {
  Outcome outcome;
  outcome.status = status;
  outcome.headers = headers;
  return outcome;
}

// http.Redirect of the reference: a body for those who look, for GET and HEAD alone.
Outcome Redirect(std::string_view verb, std::string_view path, std::string_view query) {
  std::string location = EscapePath(path);
  if (!query.empty()) {
    location.push_back('?');
    // The query stays as it came, but for what would end the header line.
    for (const char c : query) {
      if (c != '\r' && c != '\n') location.push_back(c);
    }
  }
  Outcome outcome;
  outcome.status = 301;
  const bool get = verb == "GET";
  const bool head = verb == "HEAD";
  if (get || head) outcome.headers = kTextHtml;
  base::StrAppend(&outcome.headers, "Location: ", location, "\r\n");
  if (get) {
    outcome.body =
        base::StrCat("<a href=\"", EscapeHtml(location), "\">Moved Permanently</a>.\n\n");
  }
  return outcome;
}

}  // namespace

Outcome TextReply(int status, std::string_view headers, std::string_view text) {
  Outcome outcome;
  outcome.status = status;
  outcome.headers = headers;
  if (!text.empty()) outcome.content_type = kTextPlain;
  outcome.body = text;
  return outcome;
}

Outcome BadRequest(int status, std::string_view detail) {
  // The reference names the type first here, and gives this one status no text.
  Outcome outcome = EmptyReply(status, status == 417 ? "" : kTextPlain);
  outcome.close = true;
  if (status == 417) return outcome;
  outcome.body = StatusText(status);
  if (!detail.empty()) base::StrAppend(&outcome.body, ": ", detail);
  return outcome;
}

Outcome Dispatcher::Dispatch(std::string_view verb, std::string_view target) {
  if (target == "*" && verb == "OPTIONS") return EmptyReply(200);
  SplitTarget split;
  path_.clear();
  if (!Split(target, &split) || !DecodePath(split.path, &path_)) return BadRequest(400, "");
  if (!base::IsPrintable(path_)) return EmptyReply(400);
  if (!IsCleanPath(path_)) return Redirect(verb, CleanPath(path_), split.query);
  return DispatchPath(verb, split.query);
}

Outcome Dispatcher::DispatchPath(std::string_view verb, std::string_view query) {
  Outcome outcome;
  if (path_ == "/") {
    outcome = TextReply(200, "", "Consul Agent");
    outcome.omit_body = verb == "HEAD";
    return outcome;
  }
  outcome.match = router_->Find(path_);
  if (outcome.match.endpoint == nullptr) {
    if (outcome.match.needs_slash) return Redirect(verb, path_ + "/", query);
    return EmptyReply(404);
  }
  if (absl::Status status = query_.Parse(query); !status.ok()) {
    return TextReply(400, kVary, base::ToStd(status.message()));
  }
  outcome.route = outcome.match.endpoint->Select(verb, query_);
  if (outcome.route != nullptr) {
    outcome.pretty = query_.Has("pretty");
    return outcome;
  }
  const std::string headers =
      base::StrCat("Allow: ", outcome.match.endpoint->allow(), "\r\n", kVary);
  if (verb == "OPTIONS") return EmptyReply(200, headers);
  outcome = TextReply(405, headers, base::StrCat("method ", verb, " not allowed"));
  outcome.omit_body = verb == "HEAD";
  return outcome;
}

}  // namespace consul::gateway::http
