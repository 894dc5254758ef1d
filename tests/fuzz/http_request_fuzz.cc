// Goal: no bytes crash the way of an HTTP request through parser, dispatcher and request plans, nor
// does where the bytes are cut change what is understood.
#include <google/protobuf/message.h>

#include <boost/asio/buffer.hpp>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "gateway/http/dispatch.h"
#include "gateway/http/parser.h"
#include "gateway/transcode/router.h"
#include "services/rpc/method.h"

namespace {

using consul::gateway::Router;
using consul::gateway::http::Dispatcher;
using consul::gateway::http::Outcome;
using consul::gateway::http::Parser;

void Require(bool fact) {
  if (!fact) std::abort();
}

const Router& Routes() {
  static const Router* const router = new Router(consul::rpc::PublicApi());
  return *router;
}

void Dispatch(std::string_view verb, std::string_view target) {
  Dispatcher dispatcher(&Routes());
  const Outcome outcome = dispatcher.Dispatch(verb, target);
  if (outcome.route == nullptr) {
    Require(outcome.status >= 200 && outcome.status < 600);
    // Nothing of the request can end a header line of the reply and begin another.
    for (size_t at = 0; (at = outcome.headers.find('\n', at)) != std::string::npos; ++at) {
      Require(at > 0 && outcome.headers[at - 1] == '\r');
    }
    return;
  }
  const std::unique_ptr<google::protobuf::Message> request(
      outcome.route->method->request_prototype->New());
  const absl::Status status =
      outcome.route->request.Fill(outcome.match.captured(), dispatcher.query(), request.get());
  if (!status.ok()) return;
  // What is taken can travel: every text field is UTF-8.
  std::string bytes;
  Require(request->SerializeToString(&bytes));
  const std::unique_ptr<google::protobuf::Message> again(request->New());
  Require(again->ParseFromString(bytes));
}

// The body that comes out when the bytes after the head are put in pieces of `step`.
std::string Body(std::string_view head, std::string_view rest, size_t step, bool* failed) {
  Parser parser;
  parser.body_limit(boost::none);
  boost::system::error_code ec;
  parser.put(boost::asio::const_buffer(head.data(), head.size()), ec);
  std::string body;
  *failed = static_cast<bool>(ec) || !parser.is_header_done();
  if (*failed) return body;
  parser.eager(true);
  parser.SetBody(&body, 1 << 16);
  size_t begin = 0;
  size_t end = 0;
  while (!parser.is_done() && end < rest.size()) {
    end = std::min(end + step, rest.size());
    begin += parser.put(boost::asio::const_buffer(rest.data() + begin, end - begin), ec);
    if (ec == boost::beast::http::error::need_more) ec = {};
    if (ec) {
      *failed = true;
      return body;
    }
  }
  return body;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t line = text.find_first_of(" \r\n");
  Dispatch(text.substr(0, line), line == std::string_view::npos ? text : text.substr(line + 1));
  const size_t end = text.find("\r\n\r\n");
  if (end == std::string_view::npos) return 0;
  const std::string_view head = text.substr(0, end + 4);
  Parser parser;
  parser.body_limit(boost::none);
  boost::system::error_code ec;
  parser.put(boost::asio::const_buffer(head.data(), head.size()), ec);
  if (ec || !parser.is_header_done()) return 0;
  Dispatch(parser.head().verb, parser.head().target);
  bool whole_failed = false;
  bool pieces_failed = false;
  const std::string whole = Body(head, text.substr(head.size()), size, &whole_failed);
  const std::string pieces = Body(head, text.substr(head.size()), 7, &pieces_failed);
  if (!whole_failed && !pieces_failed) Require(whole == pieces);
  return 0;
}
