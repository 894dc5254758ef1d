#include "gateway/dns/test_client.h"

#include <poll.h>

#include <cerrno>

#include "gateway/dns/dump.h"
#include "gateway/dns/query_text.h"
#include "gateway/dns/text_test.h"
#include "services/base/check.h"

namespace consul::gateway::dns {
namespace {

Fd Connect(int type, std::string_view ip, uint16_t port) {
  const absl::StatusOr<SocketAddress> address = ParseSocketAddress(ip, port);
  CONSUL_CHECK(address.ok());
  Fd fd(socket(address->family(), type | SOCK_CLOEXEC, 0));
  CONSUL_CHECK(fd.open());
  CONSUL_CHECK(connect(fd.get(), address->get(), address->bytes) == 0);
  return fd;
}

bool Readable(const Fd& fd, int wait_ms) {
  pollfd poll_fd = {.fd = fd.get(), .events = POLLIN, .revents = 0};
  return poll(&poll_fd, 1, wait_ms) > 0;
}

}  // namespace

std::vector<uint8_t> QueryBytes(const std::string& words, uint16_t id) {
  const std::optional<std::vector<uint8_t>> bytes = QueryFromWords(SplitWords(words), id);
  CONSUL_CHECK(bytes.has_value());
  return *bytes;
}

UdpClient::UdpClient(std::string_view ip, uint16_t port) : fd_(Connect(SOCK_DGRAM, ip, port)) {}

void UdpClient::Send(std::span<const uint8_t> message) {
  CONSUL_CHECK(send(fd_.get(), message.data(), message.size(), 0) >= 0);
}

std::string UdpClient::Receive(int wait_ms) {
  if (!Readable(fd_, wait_ms)) return "timeout";
  std::vector<uint8_t> buffer(kTcpBytesMax);
  const ssize_t bytes = recv(fd_.get(), buffer.data(), buffer.size(), 0);
  if (bytes < 0) return "error";
  return Dump(std::span(buffer).first(static_cast<size_t>(bytes)));
}

TcpClient::TcpClient(std::string_view ip, uint16_t port) : fd_(Connect(SOCK_STREAM, ip, port)) {}

void TcpClient::SendRaw(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;  // closed by the server: Receive tells
    bytes = bytes.subspan(static_cast<size_t>(sent));
  }
}

void TcpClient::Send(std::span<const uint8_t> message) {
  std::vector<uint8_t> framed = {static_cast<uint8_t>(message.size() >> 8),
                                 static_cast<uint8_t>(message.size())};
  framed.insert(framed.end(), message.begin(), message.end());
  SendRaw(framed);
}

void TcpClient::EndSending() { shutdown(fd_.get(), SHUT_WR); }

bool TcpClient::ReadExactly(std::span<uint8_t> out, int wait_ms, std::string* state) {
  while (!out.empty()) {
    if (!Readable(fd_, wait_ms)) {
      *state = "timeout";
      return false;
    }
    const ssize_t bytes = recv(fd_.get(), out.data(), out.size(), 0);
    if (bytes <= 0) {
      *state = "closed";
      return false;
    }
    out = out.subspan(static_cast<size_t>(bytes));
  }
  return true;
}

std::string TcpClient::Receive(int wait_ms) {
  std::string state;
  uint8_t length[2];
  if (!ReadExactly(length, wait_ms, &state)) return state;
  std::vector<uint8_t> message(static_cast<size_t>(length[0] << 8 | length[1]));
  if (!ReadExactly(message, wait_ms, &state)) return state;
  return Dump(message);
}

}  // namespace consul::gateway::dns
