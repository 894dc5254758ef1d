// gateway/dns/tcp_connections.h
//
// The TCP clients of one event loop (RFC 7766): messages with a length before each, several on
// their way at once, answered in the order they are ready. A client that does not read its answers
// is not read from; one that says nothing for a while is closed.
//
// Threads: one owner, an event loop.
#ifndef CONSUL_GATEWAY_DNS_TCP_CONNECTIONS_H_
#define CONSUL_GATEWAY_DNS_TCP_CONNECTIONS_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "gateway/dns/answerer.h"
#include "gateway/dns/socket.h"
#include "gateway/dns/stats.h"

namespace consul::gateway::dns {

// The longest query; a client that announces more is closed.
inline constexpr size_t kTcpQueryBytesMax = 4096;
// Answers that wait for a client to take them before its queries are left waiting too.
inline constexpr size_t kTcpUnsentBytesMax = 256 << 10;
// Queries of one connection that wait for lookups before further ones are left waiting.
inline constexpr int kTcpPipelineMax = 100;

class TcpConnections {
 public:
  using Time = Answerer::Time;

  // What all loops share.
  struct Shared {
    int connections_max = 0;
    // Without a whole message or a byte taken for this long, a connection is closed (RFC 7766
    // 6.2.3).
    std::chrono::milliseconds idle_timeout{0};
    std::atomic<int> open{0};
  };

  // Registers connections with `epoll_fd` as `tag` | their number. All outlive it.
  TcpConnections(int epoll_fd, uint64_t tag, Answerer* answerer, Shared* shared,
                 LoopCounters* counters);
  ~TcpConnections();

  // Accepts what waits at a listening socket. False when the process has no descriptors left: the
  // listener is then not to be asked again for a moment.
  bool Accept(int listener_fd, Time now);
  // Handles epoll's `events` of a connection; unknown numbers are passed over.
  void OnEvents(uint64_t number, uint32_t events, uint32_t unix_s, Time now);
  // Takes a late response for a connection, if it is still there; Flush sends it.
  void SendLate(uint64_t number, std::span<const uint8_t> response);
  // Sends late responses, and answers what had to wait for them. To be called in every round of the
  // loop: SendLate itself runs inside the answerer and must not call it.
  void Flush(uint32_t unix_s, Time now);
  // Closes the idle ones.
  void Tick(Time now);

  bool empty() const { return connections_.empty(); }

 private:
  struct Connection {
    Fd fd;
    uint64_t number = 0;
    std::string received;  // not answered yet
    std::string unsent;
    size_t sent = 0;      // of unsent
    int waiting = 0;      // queries that wait for lookups
    bool ended = false;   // the client sends no more
    uint32_t interest = 0;
    Time active;
  };

  // Each is false when the connection is to be closed.
  bool Read(Connection* connection, uint32_t unix_s, Time now);
  bool AnswerReceived(Connection* connection, uint32_t unix_s, Time now);
  bool Write(Connection* connection, Time now);
  // Writes, and goes on answering while that makes room.
  bool Advance(Connection* connection, uint32_t unix_s, Time now);

  void UpdateInterest(Connection* connection);
  void Close(uint64_t number);
  static bool Full(const Connection& connection);
  static void AppendMessage(std::span<const uint8_t> message, Connection* connection);

  const int epoll_fd_;
  const uint64_t tag_;
  Answerer* const answerer_;
  Shared* const shared_;
  LoopCounters* const counters_;
  uint64_t next_number_ = 1;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Connection>> connections_;
  std::vector<uint64_t> to_advance_;  // have late responses
  std::vector<uint8_t> response_;     // where responses are written
};

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_TCP_CONNECTIONS_H_
