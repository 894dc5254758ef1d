#include "gateway/http/parser.h"

#include <boost/beast/http/error.hpp>

namespace consul::gateway::http {
namespace {

// `lower` is in lower case.
bool EqualsIgnoringCase(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] + 32) : text[i];
    if (c != lower[i]) return false;
  }
  return true;
}

constexpr std::string_view kBearer = "bearer ";

}  // namespace

size_t Parser::TakeBody(string_view bytes, error_code& ec) {
  body_size_ += bytes.size();
  if (body_size_ > body_max_) {
    ec = boost::beast::http::error::body_limit;
    return 0;
  }
  if (body_ != nullptr) body_->append(bytes.data(), bytes.size());
  return bytes.size();
}

void Parser::on_request_impl(boost::beast::http::verb, string_view verb, string_view target,
                             int version, error_code&) {
  head_.verb = View(verb);
  head_.target = View(target);
  head_.version = version;
}

void Parser::on_field_impl(boost::beast::http::field name, string_view text, string_view value,
                           error_code&) {
  using boost::beast::http::field;
  switch (name) {
    case field::host:
      ++head_.hosts;
      return;
    case field::expect:
      (EqualsIgnoringCase(View(value), "100-continue") ? head_.expects_continue
                                                       : head_.expects_other) = true;
      return;
    case field::transfer_encoding:
      head_.transfer_encoding = true;
      return;
    case field::authorization:
      if (head_.token.empty() && value.size() > kBearer.size() &&
          EqualsIgnoringCase(View(value).substr(0, kBearer.size()), kBearer)) {
        head_.token = View(value).substr(kBearer.size());
      }
      return;
    case field::unknown:
      if (EqualsIgnoringCase(View(text), "x-consul-token")) head_.token = View(value);
      if (EqualsIgnoringCase(View(text), "x-consul-namespace")) {
        head_.has_namespace = head_.has_namespace || !value.empty();
      }
      return;
    default:
      return;
  }
}

}  // namespace consul::gateway::http
