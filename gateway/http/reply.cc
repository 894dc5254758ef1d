#include "gateway/http/reply.h"

#include <charconv>
#include <cstdio>

#include "gateway/transcode/json_text.h"
#include "services/base/check.h"

namespace consul::gateway::http {

std::string_view SniffedType(std::string_view body) {
  return body.starts_with("\x1f\x8b\x08") ? "Content-Type: application/x-gzip\r\n"
                                           : "Content-Type: application/octet-stream\r\n";
}

std::string_view StatusText(int status) {
  switch (status) {
    case 200:
      return "200 OK";
    case 301:
      return "301 Moved Permanently";
    case 400:
      return "400 Bad Request";
    case 403:
      return "403 Forbidden";
    case 404:
      return "404 Not Found";
    case 405:
      return "405 Method Not Allowed";
    case 408:
      return "408 Request Timeout";
    case 413:
      return "413 Request Entity Too Large";
    case 414:
      return "414 Request URI Too Long";
    case 417:
      return "417 Expectation Failed";
    case 429:
      return "429 Too Many Requests";
    case 431:
      return "431 Request Header Fields Too Large";
    case 501:
      return "501 Not Implemented";
    case 502:
      return "502 Bad Gateway";
    case 503:
      return "503 Service Unavailable";
    case 505:
      return "505 HTTP Version Not Supported";
    default:
      return "500 Internal Server Error";
  }
}

std::string_view Clock::DateLine() {
  const time_t now = ::time(nullptr);
  if (now == second_) return line_;
  second_ = now;
  constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  struct tm utc;
  CONSUL_CHECK(::gmtime_r(&now, &utc) != nullptr);
  char buffer[96];
  const int size = std::snprintf(buffer, sizeof(buffer),
                                 "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n",
                                 kDays[utc.tm_wday], utc.tm_mday, kMonths[utc.tm_mon],
                                 utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
  line_.assign(buffer, static_cast<size_t>(size));
  return line_;
}

void AppendReply(const Reply& reply, std::string_view date_line, std::string* out) {
  out->append("HTTP/1.1 ");
  out->append(StatusText(reply.status));
  out->append("\r\n");
  out->append(reply.headers);
  out->append(date_line);
  if (reply.framing == Reply::Framing::kLength) {
    out->append("Content-Length: ");
    AppendJsonUint(reply.body.size(), out);
    out->append("\r\n");
  }
  out->append(reply.content_type);
  switch (reply.after) {
    case After::kKeepAlive:
    case After::kCloseUnsaid:
      break;
    case After::kKeepAliveSaid:
      out->append("Connection: keep-alive\r\n");
      break;
    case After::kClose:
      out->append("Connection: close\r\n");
      break;
  }
  if (reply.framing == Reply::Framing::kChunked) {
    out->append("Transfer-Encoding: chunked\r\n\r\n");
    AppendChunk(reply.body, out);
    return;
  }
  out->append("\r\n");
  if (!reply.omit_body) out->append(reply.body);
}

void AppendChunk(std::string_view bytes, std::string* out) {
  CONSUL_CHECK(!bytes.empty());
  char size[16];
  const auto end = std::to_chars(size, size + sizeof(size), bytes.size(), 16).ptr;
  out->append(size, end);
  out->append("\r\n");
  out->append(bytes);
  out->append("\r\n");
}

}  // namespace consul::gateway::http
