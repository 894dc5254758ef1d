// gateway/http/dispatch.h
//
// What is to be done with a request, from its verb and target alone: a call on some route, or a
// reply that is fixed already. The rules are those of the reference's router, docs/DIVERGENCE.md
// apart.
//
// Threads: one dispatcher for each event loop; it keeps scratch buffers.
#ifndef CONSUL_GATEWAY_HTTP_DISPATCH_H_
#define CONSUL_GATEWAY_HTTP_DISPATCH_H_

#include <string>
#include <string_view>

#include "gateway/http/reply.h"
#include "gateway/transcode/router.h"
#include "gateway/transcode/url.h"

namespace consul::gateway::http {

struct Outcome {
  // The route to call; null: the fixed reply below. Captures and the query stay valid until the
  // next Dispatch.
  const RoutePlan* route = nullptr;
  Match match;
  bool pretty = false;

  int status = 0;
  std::string headers;
  std::string_view content_type;
  std::string body;
  bool omit_body = false;
  bool close = false;
};

class Dispatcher {
 public:
  // `router` outlives the dispatcher.
  explicit Dispatcher(const Router* router) : router_(router) {}

  Outcome Dispatch(std::string_view verb, std::string_view target);
  // The query of the last target.
  const Query& query() const { return query_; }

 private:
  Outcome DispatchPath(std::string_view verb, std::string_view query);

  const Router* const router_;
  std::string path_;  // decoded
  Query query_;
};

// A reply with a text of its own, as errors are.
Outcome TextReply(int status, std::string_view headers, std::string_view text);

// The reply to bytes that are no request: the connection ends with it.
Outcome BadRequest(int status, std::string_view detail);

}  // namespace consul::gateway::http

#endif  // CONSUL_GATEWAY_HTTP_DISPATCH_H_
