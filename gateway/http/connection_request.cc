#include <google/protobuf/message.h>

#include <string>
#include <utility>

#include "gateway/http/connection.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"

namespace consul::gateway::http {
namespace {

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr std::string_view kJsonHeaders =
    "Content-Type: application/json\r\nVary: Accept-Encoding\r\n";
// What a value holds is the writer's: a browser must not run it.
constexpr std::string_view kRawHeaders =
    "Content-Security-Policy: sandbox\r\nContent-Type: text/plain\r\nVary: Accept-Encoding\r\n";
constexpr std::string_view kNoSniff = "X-Content-Type-Options: nosniff\r\n";
// A reply is encoded this far ahead of its client, and one element of a list further. Small enough
// that the others on the loop do not notice (0.2 ms), large enough that a system call is little.
constexpr size_t kSliceBytes = 64 * 1024;

}  // namespace

// Refuses what the parser lets through.
bool Connection::IsAcceptable() {
  const RequestHead& head = parser_->head();
  if (head.version == 11 && head.hosts == 0) {
    Fail(400, "missing required Host header");
  } else if (head.hosts > 1) {
    Fail(400, "too many Host headers");
  } else if (head.target.size() > loop_->limits().url_bytes_max) {
    Fail(414, base::StrCat("the URL is larger than url_bytes_max (",
                           loop_->limits().url_bytes_max, " bytes)"));
  } else if (head.transfer_encoding && !parser_->chunked()) {
    Fail(501, "unsupported transfer encoding");
  } else if (head.expects_other) {
    Fail(417, "");
  }
  return !close_after_;
}

void Connection::BeginRequest() {
  keep_alive_ = parser_->keep_alive() && !loop_->stopping();
  http10_ = parser_->head().version == 10;
  if (!IsAcceptable()) return;
  const Outcome outcome =
      loop_->dispatcher().Dispatch(parser_->head().verb, parser_->head().target);
  if (outcome.route != nullptr) {
    BeginCall(outcome);
  } else {
    AnswerFixed(outcome);
  }
  if (close_after_) return;
  if (parser_->is_done()) {
    EndRequest();
  } else {
    ExpectBody();
  }
}

// Makes the request's message. Afterwards there is a context, or the answer is given.
void Connection::BeginCall(const Outcome& outcome) {
  context_ = loop_->TakeContext();
  CallContext& context = *context_;
  context.route = outcome.route;
  context.pretty = outcome.pretty;
  const rpc::Method& method = *outcome.route->method;
  context.request = method.request_prototype->New(&context.arena);
  const RequestPlan& plan = outcome.route->request;
  absl::Status status;
  if (parser_->head().has_namespace) status = plan.CheckNamespace();
  if (status.ok()) {
    status = plan.Fill(outcome.match.captured(), loop_->dispatcher().query(), context.request);
  }
  const auto length = parser_->content_length();
  const bool too_large =
      plan.takes_body() && length.has_value() && *length > plan.body_max();
  if (status.ok() && too_large) status = plan.BodyTooLarge(*length);
  if (status.ok()) {
    context.token = parser_->head().token;
    if (context.token.empty()) {
      const Parameter* const token = loop_->dispatcher().query().Find("token");
      if (token != nullptr) context.token = token->value;
    }
    return;
  }
  ReleaseContext();
  Outcome error = TextReply(rpc::HttpStatus(status), kVary, base::ToStd(status.message()));
  error.close = too_large;
  AnswerFixed(error);
}

void Connection::ExpectBody() {
  state_ = State::kBody;
  parser_->eager(true);
  body_.clear();
  if (context_ != nullptr && context_->route->request.takes_body()) {
    const auto length = parser_->content_length();
    if (length.has_value()) body_.reserve(*length);
    parser_->SetBody(&body_, context_->route->request.body_max());
  } else {
    const size_t max = loop_->limits().ignored_body_bytes_max;
    parser_->SetBody(nullptr, max);
    const auto length = parser_->content_length();
    if (context_ == nullptr && length.has_value() && *length > max) close_after_ = true;
  }
  if (!parser_->head().expects_continue) return;
  if (context_ != nullptr) {
    out_.append(kContinue);
  } else {
    // It was told the answer instead, and may or may not send the body: where the next request
    // begins cannot be known.
    close_after_ = true;
  }
}

// More body came than is taken. Where the next request begins is too far to go.
void Connection::RefuseBody() {
  keep_alive_ = false;
  if (context_ == nullptr) {
    close_after_ = true;  // the answer was given with the header
    return;
  }
  const RequestPlan& plan = context_->route->request;
  const absl::Status status = plan.BodyTooLarge(parser_->body_size());
  const std::string text =
      plan.takes_body()
          ? std::string(base::ToStd(status.message()))
          : base::StrCat("the body is larger than ignored_body_bytes_max (",
                         loop_->limits().ignored_body_bytes_max, " bytes)");
  ReleaseContext();
  AnswerFixed(TextReply(413, kVary, text));
}

void Connection::EndRequest() {
  state_ = State::kHeader;
  if (context_ != nullptr) StartCall();
}

void Connection::StartCall() {
  CallContext& context = *context_;
  const rpc::Method& method = *context.route->method;
  if (context.route->request.takes_body()) {
    const absl::Status status =
        context.route->request.SetBody(std::exchange(body_, std::string()), context.request);
    if (!status.ok()) {
      ReleaseContext();
      return AnswerFixed(TextReply(rpc::HttpStatus(status), kVary, base::ToStd(status.message())));
    }
  }
  context.call.emplace(this, method, loop_, context.request,
                       method.response_prototype->New(&context.arena));
  context.call->token = context.token;
  state_ = State::kCall;
  calling_ = true;
  call_seen_ = false;
  loop_->NoteCall();
  loop_->backend()->Start(&*context.call);
}

// Leaves the end of a large reply in the context: AppendSlice goes on.
void Connection::AnswerCall() {
  CallContext& context = *context_;
  const rpc::Call& call = *context.call;
  EncodedReply& encoded = loop_->encoded();
  Reply reply;
  if (!call.status.ok()) {
    encoded.shared_answer = 0;
    encoded.headers.assign(kVary);
    context.route->response.AppendErrorMeta(&encoded.headers);
    reply.status = rpc::HttpStatus(call.status);
    reply.headers = encoded.headers;
    reply.body = base::ToStd(call.status.message());
    if (!reply.body.empty()) reply.content_type = kTextPlain;
    Append(reply);
    return;
  }
  const bool again = call.shared_answer != 0 && call.shared_answer == encoded.shared_answer &&
                     context.route == encoded.route && context.pretty == encoded.pretty;
  if (!again) EncodeAnswer(&encoded);
  reply.status = encoded.status;
  reply.headers = encoded.headers;
  reply.body = encoded.body;
  if (context.rest != nullptr) {
    if (call.rows != nullptr) context.rows = *call.rows;
    reply.framing = http10_ ? Reply::Framing::kUntilClose : Reply::Framing::kChunked;
    if (http10_) keep_alive_ = false;
  }
  Append(reply);
  constexpr size_t kBodyKeptMax = 1024 * 1024;
  if (encoded.body.capacity() > kBodyKeptMax) encoded = EncodedReply();
}

// A reply whose end is left in the context is of use to nobody else.
void Connection::EncodeAnswer(EncodedReply* encoded) {
  CallContext& context = *context_;
  const ResponsePlan& plan = context.route->response;
  const google::protobuf::Message& response = *context.call->response();
  std::string& headers = encoded->headers;
  headers.clear();
  encoded->body.clear();
  encoded->status = plan.Status(response);
  const ResponsePlan::Result result =
      plan.AppendBody(*context.request, response, context.pretty, kSliceBytes, &encoded->body,
                      &context.rest);
  switch (result) {
    case ResponsePlan::Result::kJson:
      headers.append(kJsonHeaders);
      break;
    case ResponsePlan::Result::kRaw:
      if (plan.content_type().empty()) {
        headers.append(kRawHeaders);
      } else {
        base::StrAppend(&headers, "Content-Type: ", plan.content_type(), "\r\n", kVary);
      }
      break;
    case ResponsePlan::Result::kNotFound:
      encoded->status = 404;
      headers.append(kVary);
      break;
    case ResponsePlan::Result::kEmpty:
      headers.append(kVary);
      break;
  }
  plan.AppendMeta(response, &headers);
  if (result == ResponsePlan::Result::kRaw && plan.content_type().empty()) {
    headers.append(kNoSniff);
  }
  encoded->shared_answer = context.rest == nullptr ? context.call->shared_answer : 0;
  encoded->route = context.route;
  encoded->pretty = context.pretty;
}

void Connection::AppendSlice() {
  if (out_.empty()) out_ = loop_->TakeOut();
  std::string& body = loop_->body_scratch();
  body.clear();
  const bool complete = context_->rest->Append(kSliceBytes, &body);
  if (http10_) {
    out_.append(body);
  } else {
    AppendChunk(body, &out_);
    if (complete) out_.append(kLastChunk);
  }
  if (!complete) return;
  ReleaseContext();
  state_ = State::kHeader;
}

void Connection::AppendPart() {
  CallContext& context = *context_;
  const ResponsePlan& plan = context.route->response;
  const google::protobuf::Message& response = *context.call->response();
  std::string& body = loop_->body_scratch();
  body.clear();
  plan.AppendBody(*context.request, response, context.pretty, kSliceBytes, &body, &context.rest);
  if (body.empty()) return;
  if (streamed_ && http10_) {
    out_.append(body);
  } else if (streamed_) {
    AppendChunk(body, &out_);
  } else {
    streamed_ = true;
    std::string headers(kVary);
    plan.AppendMeta(response, &headers);
    Reply reply;
    reply.headers = headers;
    reply.content_type = SniffedType(body);
    reply.body = body;
    reply.framing = http10_ ? Reply::Framing::kUntilClose : Reply::Framing::kChunked;
    if (http10_) keep_alive_ = false;
    Append(reply);
  }
}

void Connection::AnswerFixed(const Outcome& outcome) {
  Reply reply;
  reply.status = outcome.status;
  reply.headers = outcome.headers;
  reply.content_type = outcome.content_type;
  reply.body = outcome.body;
  reply.omit_body = outcome.omit_body;
  if (outcome.close) keep_alive_ = false;
  Append(reply);
}

void Connection::Fail(int status, std::string_view detail) {
  ReleaseContext();
  AnswerFixed(BadRequest(status, detail));
}

void Connection::Append(Reply reply) {
  if (!keep_alive_ || loop_->stopping() || close_after_) {
    // A client of HTTP/1.0 that did not ask for more expects it.
    reply.after = http10_ ? After::kCloseUnsaid : After::kClose;
    close_after_ = true;
  } else if (http10_) {
    reply.after = After::kKeepAliveSaid;
  }
  AppendReply(reply, loop_->DateLine(), &out_);
}

}  // namespace consul::gateway::http
