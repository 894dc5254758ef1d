// gateway/http/reply.h
//
// The bytes of an HTTP/1.1 reply. Headers stand in the order in which Go's server writes them, so
// that replies can be compared with the reference to the byte.
//
// Threads: a Clock belongs to one thread; the rest are pure functions.
#ifndef CONSUL_GATEWAY_HTTP_REPLY_H_
#define CONSUL_GATEWAY_HTTP_REPLY_H_

#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>

namespace consul::gateway::http {

inline constexpr std::string_view kVary = "Vary: Accept-Encoding\r\n";
inline constexpr std::string_view kTextPlain = "Content-Type: text/plain; charset=utf-8\r\n";
inline constexpr std::string_view kTextHtml = "Content-Type: text/html; charset=utf-8\r\n";

// The line of a body's type by what it begins with, as Go's server finds it for the reference.
std::string_view SniffedType(std::string_view body);

// "200 OK".
std::string_view StatusText(int status);

// The Date header's line, made anew once a second.
class Clock {
 public:
  std::string_view DateLine();

 private:
  time_t second_ = -1;
  std::string line_;
};

// What the connection does after a reply.
enum class After { kKeepAlive, kKeepAliveSaid, kClose, kCloseUnsaid };

struct Reply {
  int status = 200;
  // Complete lines, sorted by name.
  std::string_view headers;
  // A complete line that goes last, or nothing: the type of a body that headers do not tell.
  std::string_view content_type;
  std::string_view body;
  // The body's length is told and the body left out: an answer to HEAD.
  bool omit_body = false;
  // More of the body follows: in chunks, or until the connection ends.
  enum class Framing { kLength, kChunked, kUntilClose };
  Framing framing = Framing::kLength;
  After after = After::kKeepAlive;
};

void AppendReply(const Reply& reply, std::string_view date_line, std::string* out);

// One chunk of a body in chunks. REQUIRES: `bytes` is not empty: that would end the body.
void AppendChunk(std::string_view bytes, std::string* out);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace consul::gateway::http

#endif  // CONSUL_GATEWAY_HTTP_REPLY_H_
