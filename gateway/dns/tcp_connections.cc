#include "gateway/dns/tcp_connections.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace consul::gateway::dns {
namespace {

constexpr size_t kLengthBytes = 2;
// Read from a connection at a time.
constexpr size_t kReadBytes = 8 << 10;
static_assert(kReadBytes >= kTcpQueryBytesMax + kLengthBytes);

size_t LengthAt(const std::string& bytes, size_t at) {
  return static_cast<size_t>(static_cast<uint8_t>(bytes[at])) << 8 |
         static_cast<uint8_t>(bytes[at + 1]);
}

}  // namespace

TcpConnections::TcpConnections(int epoll_fd, uint64_t tag, Answerer* answerer, Shared* shared,
                               LoopCounters* counters)
    : epoll_fd_(epoll_fd),
      tag_(tag),
      answerer_(answerer),
      shared_(shared),
      counters_(counters) {}

TcpConnections::~TcpConnections() {
  shared_->open.fetch_sub(static_cast<int>(connections_.size()), std::memory_order_relaxed);
}

bool TcpConnections::Accept(int listener_fd, Time now) {
  while (true) {
    Fd fd(accept4(listener_fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.open()) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
    }
    if (shared_->open.fetch_add(1, std::memory_order_relaxed) >= shared_->connections_max) {
      shared_->open.fetch_sub(1, std::memory_order_relaxed);
      counters_->tcp_refused.Add();
      continue;
    }
    counters_->tcp_connections.Add();
    const int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    auto connection = std::make_unique<Connection>();
    connection->number = next_number_++;
    connection->active = now;
    connection->interest = EPOLLIN;
    connection->fd = std::move(fd);
    epoll_event event{.events = EPOLLIN, .data = {.u64 = tag_ | connection->number}};
    epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, connection->fd.get(), &event);
    connections_.emplace(connection->number, std::move(connection));
  }
}

void TcpConnections::OnEvents(uint64_t number, uint32_t events, uint32_t unix_s, Time now) {
  const auto it = connections_.find(number);
  if (it == connections_.end()) return;
  Connection* const connection = it->second.get();
  bool open = (events & (EPOLLERR | EPOLLHUP)) == 0;
  if (open && (events & EPOLLIN) != 0) open = Read(connection, unix_s, now);
  if (open) open = Advance(connection, unix_s, now);
  if (!open) return Close(number);
  UpdateInterest(connection);
}

void TcpConnections::SendLate(uint64_t number, std::span<const uint8_t> response) {
  const auto it = connections_.find(number);
  if (it == connections_.end()) return;
  --it->second->waiting;
  AppendMessage(response, it->second.get());
  to_advance_.push_back(number);
}

void TcpConnections::Flush(uint32_t unix_s, Time now) {
  // Answering may add to the list again, when a lookup is done at once.
  for (size_t i = 0; i < to_advance_.size(); ++i) {
    const uint64_t number = to_advance_[i];
    const auto it = connections_.find(number);
    if (it == connections_.end()) continue;
    if (Advance(it->second.get(), unix_s, now)) {
      UpdateInterest(it->second.get());
    } else {
      Close(number);
    }
  }
  to_advance_.clear();
}

void TcpConnections::Tick(Time now) {
  std::vector<uint64_t> idle;
  for (const auto& [number, connection] : connections_) {
    if (now - connection->active >= shared_->idle_timeout) idle.push_back(number);
  }
  counters_->tcp_closed_idle.Add(idle.size());
  for (const uint64_t number : idle) Close(number);
}

bool TcpConnections::Read(Connection* connection, uint32_t unix_s, Time now) {
  std::array<char, kReadBytes> bytes;
  ssize_t count = -1;
  do {
    count = recv(connection->fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
  if (count == 0) {
    connection->ended = true;
    return true;
  }
  connection->received.append(bytes.data(), static_cast<size_t>(count));
  return AnswerReceived(connection, unix_s, now);
}

bool TcpConnections::AnswerReceived(Connection* connection, uint32_t unix_s, Time now) {
  const std::string& received = connection->received;
  size_t at = 0;
  response_.resize(kTcpBytesMax);
  while (!Full(*connection) && received.size() - at >= kLengthBytes) {
    const size_t bytes = LengthAt(received, at);
    if (bytes > kTcpQueryBytesMax) return false;
    if (received.size() - at - kLengthBytes < bytes) break;
    counters_->tcp_queries.Add();
    Client client;
    client.transport = Transport::kTcp;
    client.number = connection->number;
    const auto* const message =
        reinterpret_cast<const uint8_t*>(received.data() + at + kLengthBytes);
    const Answerer::Outcome outcome =
        answerer_->Answer({message, bytes}, client, unix_s, now, response_);
    // What is no query at all came from no resolver.
    if (outcome.bytes == 0 && !outcome.later) return false;
    if (outcome.later) ++connection->waiting;
    if (outcome.bytes != 0) AppendMessage(std::span(response_).first(outcome.bytes), connection);
    connection->active = now;
    at += kLengthBytes + bytes;
  }
  connection->received.erase(0, at);
  return true;
}

bool TcpConnections::Write(Connection* connection, Time now) {
  while (connection->sent < connection->unsent.size()) {
    const ssize_t count =
        send(connection->fd.get(), connection->unsent.data() + connection->sent,
             connection->unsent.size() - connection->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return true;
      counters_->send_failures.Add();
      return false;
    }
    connection->sent += static_cast<size_t>(count);
    connection->active = now;
  }
  connection->unsent.clear();
  connection->sent = 0;
  return true;
}

bool TcpConnections::Advance(Connection* connection, uint32_t unix_s, Time now) {
  while (true) {
    if (!Write(connection, now)) return false;
    const size_t before = connection->received.size();
    if (!AnswerReceived(connection, unix_s, now)) return false;
    if (connection->received.size() == before) break;
  }
  const bool done = connection->waiting == 0 && connection->unsent.empty();
  return !(connection->ended && done);
}

void TcpConnections::UpdateInterest(Connection* connection) {
  uint32_t interest = 0;
  if (!connection->ended && !Full(*connection)) interest |= EPOLLIN;
  if (!connection->unsent.empty()) interest |= EPOLLOUT;
  if (interest == connection->interest) return;
  connection->interest = interest;
  epoll_event event{.events = interest, .data = {.u64 = tag_ | connection->number}};
  epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, connection->fd.get(), &event);
}

void TcpConnections::Close(uint64_t number) {
  connections_.erase(number);
  shared_->open.fetch_sub(1, std::memory_order_relaxed);
}

bool TcpConnections::Full(const Connection& connection) {
  return connection.unsent.size() - connection.sent >= kTcpUnsentBytesMax ||
         connection.waiting >= kTcpPipelineMax;
}

void TcpConnections::AppendMessage(std::span<const uint8_t> message, Connection* connection) {
  const char length[kLengthBytes] = {static_cast<char>(message.size() >> 8),
                                     static_cast<char>(message.size())};
  connection->unsent.append(length, kLengthBytes);
  connection->unsent.append(reinterpret_cast<const char*>(message.data()), message.size());
}

}  // namespace consul::gateway::dns
