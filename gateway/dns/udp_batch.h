// gateway/dns/udp_batch.h
//
// Receives datagrams and sends the replies many at a time (recvmmsg, sendmmsg), so that a query's
// share of two system calls is small. A reply leaves from the address that was asked: on a wildcard
// socket the kernel tells it with each packet and is told it again with the reply.
//
// Threads: one owner, an event loop; its buffers serve all sockets of the loop in turn.
#ifndef CONSUL_GATEWAY_DNS_UDP_BATCH_H_
#define CONSUL_GATEWAY_DNS_UDP_BATCH_H_

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "gateway/dns/client.h"
#include "gateway/dns/wire.h"

namespace consul::gateway::dns {

// Datagrams of one batch. More saves little and costs latency and cache.
inline constexpr size_t kUdpBatchMax = 32;
// The longest query that is read. Real ones stay far below; a longer one is dropped.
inline constexpr size_t kUdpQueryBytesMax = 2048;

class UdpBatch {
 public:
  UdpBatch();

  // Receives what is there, without waiting; returns how many. `number` is the socket's, for
  // Client; `wildcard` says that local addresses come along.
  size_t Receive(int fd, uint64_t number, bool wildcard);

  // The i-th datagram; empty when it was longer than kUdpQueryBytesMax.
  std::span<const uint8_t> message(size_t i) const;
  const Client& client(size_t i) const { return buffers_->clients[i]; }
  // Where the reply to it may be written.
  std::span<uint8_t> reply(size_t i) { return buffers_->replies[i]; }

  // Adds the reply to the i-th, `bytes` long, to what Send sends.
  void Reply(size_t i, size_t bytes);
  // Sends the replies; returns how many the kernel did not take. Those are lost, as UDP may.
  size_t Send(int fd);

 private:
  struct Buffers {
    std::array<std::array<uint8_t, kUdpQueryBytesMax>, kUdpBatchMax> queries;
    std::array<std::array<uint8_t, kUdpBytesMax>, kUdpBatchMax> replies;
    std::array<Client, kUdpBatchMax> clients;
    std::array<std::array<uint8_t, kPacketInfoBytes>, kUdpBatchMax> controls;
    std::array<iovec, kUdpBatchMax> receive_parts;
    std::array<mmsghdr, kUdpBatchMax> receive_headers;
    std::array<iovec, kUdpBatchMax> send_parts;
    std::array<mmsghdr, kUdpBatchMax> send_headers;
  };

  const std::unique_ptr<Buffers> buffers_;
  size_t replies_count_ = 0;
};

// Sends one datagram to a UDP client through the socket that it asked; false when it was not taken.
bool SendTo(int fd, const Client& client, std::span<const uint8_t> message);

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_UDP_BATCH_H_
