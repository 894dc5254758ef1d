#include "gateway/http/test_client.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdlib>
#include <cstring>

namespace consul::gateway::http {
namespace {

constexpr int kTimeoutMs = 5000;

}  // namespace

bool Answer::Has(std::string_view header) const {
  return std::find(headers.begin(), headers.end(), header) != headers.end();
}

TestClient::TestClient(uint16_t port, const std::string& host) {
  const boost::asio::ip::tcp::endpoint endpoint(boost::asio::ip::make_address(host), port);
  fd_ = ::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0 || ::connect(fd_, endpoint.data(), static_cast<socklen_t>(endpoint.size())) != 0) {
    Close();
  }
}

TestClient::~TestClient() { Close(); }

void TestClient::Close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void TestClient::ShutdownSend() { ::shutdown(fd_, SHUT_WR); }

void TestClient::Reset() {
  const linger now{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  Close();
}

bool TestClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool TestClient::Request(std::string_view verb, std::string_view target, std::string_view body,
                         std::string_view headers) {
  std::string bytes;
  bytes.append(verb).append(" ").append(target).append(" HTTP/1.1\r\nHost: test\r\n");
  bytes.append(headers);
  if (!body.empty() || verb == "PUT" || verb == "POST") {
    bytes.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
  }
  bytes.append("\r\n").append(body);
  return Send(bytes);
}

bool TestClient::Fill() {
  if (fd_ < 0) return false;
  pollfd wait{fd_, POLLIN, 0};
  if (::poll(&wait, 1, kTimeoutMs) <= 0) return false;
  char buffer[65536];
  const ssize_t size = ::recv(fd_, buffer, sizeof(buffer), 0);
  if (size <= 0) return false;
  read_.append(buffer, static_cast<size_t>(size));
  return true;
}

std::optional<Answer> TestClient::Read(bool without_body) {
  size_t end = 0;
  while ((end = read_.find("\r\n\r\n")) == std::string::npos) {
    if (!Fill()) return std::nullopt;
  }
  Answer answer;
  size_t length = 0;
  bool chunked = false;
  size_t at = 0;
  while (at < end) {
    const size_t line_end = read_.find("\r\n", at);
    const std::string line = read_.substr(at, line_end - at);
    if (at == 0) {
      answer.status = std::atoi(line.substr(line.find(' ') + 1).c_str());
    } else if (line.starts_with("Content-Length: ")) {
      length = std::strtoull(line.c_str() + std::strlen("Content-Length: "), nullptr, 10);
    } else if (!line.starts_with("Date: ")) {
      chunked = chunked || line == "Transfer-Encoding: chunked";
      answer.headers.push_back(line);
    }
    at = line_end + 2;
  }
  read_.erase(0, end + 4);
  if (without_body || answer.status == 100) return answer;
  if (chunked) {
    if (!TakeChunks(&answer.body)) return std::nullopt;
    return answer;
  }
  while (read_.size() < length) {
    if (!Fill()) return std::nullopt;
  }
  answer.body = read_.substr(0, length);
  read_.erase(0, length);
  return answer;
}

bool TestClient::TakeChunks(std::string* body) {
  for (size_t at = 0;;) {
    size_t line_end = 0;
    while ((line_end = read_.find("\r\n", at)) == std::string::npos) {
      if (!Fill()) return false;
    }
    const size_t size = std::strtoull(read_.c_str() + at, nullptr, 16);
    at = line_end + 2;
    while (read_.size() < at + size + 2) {
      if (!Fill()) return false;
    }
    body->append(read_, at, size);
    at += size + 2;
    if (size > 0) continue;
    read_.erase(0, at);
    return true;
  }
}

std::string TestClient::ReadBytes(size_t size) {
  while (read_.size() < size && Fill()) {
  }
  std::string bytes = read_.substr(0, size);
  read_.erase(0, size);
  return bytes;
}

std::string TestClient::ReadToEnd() {
  while (Fill()) {
  }
  return std::move(read_);
}

size_t TestClient::SendUntilStuck(char byte, int ms) {
  const std::string block(65536, byte);
  pollfd wait{fd_, POLLOUT, 0};
  size_t sum = 0;
  while (::poll(&wait, 1, ms) > 0) {
    const ssize_t sent = ::send(fd_, block.data(), block.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent <= 0) break;
    sum += static_cast<size_t>(sent);
  }
  return sum;
}

bool TestClient::Silent(int ms) {
  pollfd wait{fd_, POLLIN, 0};
  return read_.empty() && ::poll(&wait, 1, ms) == 0;
}

}  // namespace consul::gateway::http
