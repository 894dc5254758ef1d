#include "cli/connect_problem.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string_view>

#include "services/base/strings.h"

namespace consul::cli {
namespace {

using Clock = std::chrono::steady_clock;

// An agent on this machine accepts at once; one that does not within this time is not there.
constexpr std::chrono::milliseconds kConnectTimeout(1000);
// What has accepted gets this much longer to greet us, and has had a second before that.
constexpr std::chrono::milliseconds kGreetingTimeout(2000);
constexpr std::string_view kNoGreeting = "it did not answer within 3s";
// What HTTP/2 begins with, on the part of the client: the preface, and settings that set nothing.
constexpr std::string_view kClientGreeting(
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
// The header of a frame; the fourth byte is its type, and the first frame is of settings.
constexpr size_t kFrameHeaderBytes = 9;
constexpr size_t kFrameTypeAt = 3;
constexpr char kSettingsFrame = 4;
constexpr std::string_view kHttp1 = "HTTP/1.";
constexpr size_t kReplyBytesMax = 4096;
// Of what an HTTP server says in its own words.
constexpr size_t kWordsMax = 200;

struct Socket {
  ~Socket() { Close(); }
  void Close() {
    if (fd >= 0) close(fd);
    fd = -1;
  }
  int fd = -1;
};

std::string ErrorText(int error) {
  if (error == ECONNREFUSED) return "connection refused";
  if (error == ETIMEDOUT) return "no answer within 1s";
  return std::strerror(error);
}

int MsUntil(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  return static_cast<int>(std::max<int64_t>(left.count(), 0));
}

// Empty when the connection is made.
std::string ConnectTo(const addrinfo& target, Clock::time_point deadline, Socket* out) {
  out->Close();
  out->fd = socket(target.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (out->fd < 0) return ErrorText(errno);
  if (connect(out->fd, target.ai_addr, target.ai_addrlen) == 0) return "";
  if (errno != EINPROGRESS) return ErrorText(errno);
  pollfd waiting{out->fd, POLLOUT, 0};
  if (poll(&waiting, 1, MsUntil(deadline)) != 1) return ErrorText(ETIMEDOUT);
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(out->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  return error == 0 ? "" : ErrorText(error);
}

// The same by name: the first of its addresses that accepts, else what is wrong with the last.
std::string ConnectTo(const std::string& address, Socket* out) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return "missing port in address";
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = address.substr(colon + 1);
  if (const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return gai_strerror(error);
  }
  const auto deadline = Clock::now() + kConnectTimeout;
  std::string problem;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    problem = ConnectTo(*each, deadline, out);
    if (problem.empty()) break;
  }
  freeaddrinfo(found);
  return problem;
}

// Reads until the peer has ended, `done` is content, or its time is over, which is false.
template <typename Done>
bool ReadUntil(int fd, Clock::time_point deadline, const Done& done, std::string* reply) {
  while (!done() && reply->size() < kReplyBytesMax) {
    pollfd waiting{fd, POLLIN, 0};
    if (poll(&waiting, 1, MsUntil(deadline)) != 1) return false;
    char buffer[kReplyBytesMax];
    const ssize_t size = recv(fd, buffer, sizeof buffer, 0);
    if (size <= 0) break;
    reply->append(buffer, static_cast<size_t>(size));
  }
  return true;
}

// What is printable of the beginning, and not too long.
std::string_view Words(std::string_view text) {
  const auto end =
      std::find_if(text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; });
  return text.substr(0, std::min(static_cast<size_t>(end - text.begin()), kWordsMax));
}

}  // namespace

std::string ConnectProblem(const AgentAddress& address) {
  Socket socket;
  if (std::string problem = ConnectTo(address.host_port, &socket); !problem.empty()) return problem;
  const auto deadline = Clock::now() + kGreetingTimeout;
  std::string reply;
  if (send(socket.fd, kClientGreeting.data(), kClientGreeting.size(), MSG_NOSIGNAL) > 0) {
    const auto greeted = [&] { return reply.size() >= kFrameHeaderBytes; };
    if (!ReadUntil(socket.fd, deadline, greeted, &reply) && reply.empty()) {
      return std::string(kNoGreeting);
    }
  }
  if (reply.starts_with(kHttp1)) {
    // An HTTP server ends once we have.
    shutdown(socket.fd, SHUT_WR);
    ReadUntil(socket.fd, deadline, [] { return false; }, &reply);
    return base::StrCat("it passes no RPC on: ", WhatItSays(reply));
  }
  if (reply.size() >= kFrameHeaderBytes && reply[kFrameTypeAt] == kSettingsFrame) return "";
  return base::StrCat("it is no agent's ", FaceName(address.face), " address");
}

std::string WhatItSays(std::string_view reply) {
  constexpr size_t kVersionBytes = std::string_view("HTTP/1.1 ").size();
  constexpr std::string_view kHeaderEnd = "\r\n\r\n";
  const std::string_view status = Words(reply.substr(std::min(kVersionBytes, reply.size())));
  const size_t end = reply.find(kHeaderEnd);
  if (end == std::string_view::npos) return std::string(status);
  const std::string_view body = Words(reply.substr(end + kHeaderEnd.size()));
  // Our own servers repeat the status; what begins with "<" is a page for browsers.
  if (body.starts_with(status)) return std::string(body);
  return body.empty() || body.front() == '<' ? std::string(status)
                                             : base::StrCat(status, ": ", body);
}

}  // namespace consul::cli
