// gateway/http/parser.h
//
// The HTTP/1.1 parser of the server: Beast's basic_parser, writing into a fixed struct instead of a
// container of fields. Views in the head refer to the bytes that were put, so a head is put whole.
//
// Threads: one at a time.
#ifndef CONSUL_GATEWAY_HTTP_PARSER_H_
#define CONSUL_GATEWAY_HTTP_PARSER_H_

#include <boost/beast/http/basic_parser.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace consul::gateway::http {

struct RequestHead {
  std::string_view verb;
  std::string_view target;
  std::string_view token;  // X-Consul-Token, else a bearer token
  int version = 11;        // 10 or 11
  int hosts = 0;
  bool has_namespace = false;  // X-Consul-Namespace is not empty
  bool expects_continue = false;
  bool expects_other = false;
  bool transfer_encoding = false;
};

class Parser : public boost::beast::http::basic_parser<true> {
 public:
  const RequestHead& head() const { return head_; }

  // Where the body goes; null: nowhere. A body over `max` fails with error::body_limit.
  void SetBody(std::string* body, uint64_t max) {
    body_ = body;
    body_max_ = max;
  }
  // Bytes of body that came, those over the limit included.
  uint64_t body_size() const { return body_size_; }

 private:
  using Base = boost::beast::http::basic_parser<true>;
  using error_code = boost::beast::error_code;
  using string_view = boost::beast::string_view;

  static std::string_view View(string_view text) { return {text.data(), text.size()}; }
  size_t TakeBody(string_view bytes, error_code& ec);

  void on_request_impl(boost::beast::http::verb, string_view verb, string_view target, int version,
                       error_code&) override;
  void on_response_impl(int, string_view, int, error_code&) override {}
  void on_field_impl(boost::beast::http::field name, string_view text, string_view value,
                     error_code&) override;
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<uint64_t>&, error_code&) override {}
  size_t on_body_impl(string_view bytes, error_code& ec) override { return TakeBody(bytes, ec); }
  void on_chunk_header_impl(uint64_t, string_view, error_code&) override {}
  size_t on_chunk_body_impl(uint64_t, string_view bytes, error_code& ec) override {
    return TakeBody(bytes, ec);
  }
  void on_finish_impl(error_code&) override {}

  RequestHead head_;
  std::string* body_ = nullptr;
  uint64_t body_max_ = 0;
  uint64_t body_size_ = 0;
};

}  // namespace consul::gateway::http

#endif  // CONSUL_GATEWAY_HTTP_PARSER_H_
