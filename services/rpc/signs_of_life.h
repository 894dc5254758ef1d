// services/rpc/signs_of_life.h
//
// Whether the other end of a gRPC channel is there, below what gRPC tells of its connections: a
// message of many megabytes is one event to it, at its end, and so is one that is sent.
//
// Threads: any, one at a time.
#ifndef CONSUL_SERVICES_RPC_SIGNS_OF_LIFE_H_
#define CONSUL_SERVICES_RPC_SIGNS_OF_LIFE_H_

#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

namespace consul::rpc {

// Remembers the TCP connections of this process that lead to an address, and what has passed over
// each of them.
class SignsOfLife {
 public:
  // Those to `address`, "IP:PORT" or "[IP]:PORT", that are open now; none for any other text.
  // Channels to one address are told apart by their ChannelSettings::keepalive_timeout, which gRPC
  // makes TCP_USER_TIMEOUT of their sockets: raft's lanes to a server may speak where the calls to
  // it do not come through. Looks at every open file of the process, 20,000 in 30 ms: for a rare
  // doubt, on a thread that may be late, as one of timers for pauses, and on none of gRPC's.
  SignsOfLife(std::string_view address, std::chrono::milliseconds keepalive_timeout);

  // Whether one of those connections that is still open has had a sign of life since. Bytes that
  // came are one, and with what stands in line to be sent, at either look, so are bytes that were
  // taken: what asks for a sign of life stands in that line, too. Where nothing stands in line what
  // was taken is none, for the system takes it for a process that stands still; with a line it
  // does so until its buffer is full. Takes microseconds.
  bool Since() const;

  struct Traffic {
    uint64_t received;  // bytes that came
    uint64_t taken;     // bytes sent, of which the other system has said that it has them
    uint32_t in_line;   // bytes that are to be sent, once the other system or the way lets them
  };

 private:
  struct Connection {
    int fd;
    uint64_t cookie;  // no other socket ever has it
    Traffic traffic;
  };
  std::vector<Connection> connections_;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_SIGNS_OF_LIFE_H_
