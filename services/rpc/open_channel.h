// services/rpc/open_channel.h
//
// A gRPC channel with this house's settings: a connection of its own, quick to come back, that
// finds out by itself when the other end is gone.
//
// Threads: any.
#ifndef CONSUL_SERVICES_RPC_OPEN_CHANNEL_H_
#define CONSUL_SERVICES_RPC_OPEN_CHANNEL_H_

#include <grpcpp/channel.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

namespace consul::rpc {

struct ChannelSettings {
  // Bytes of a reply; a larger one ends its call with RESOURCE_EXHAUSTED.
  size_t reply_bytes_max = 512 << 20;
  // Between attempts to connect, doubling; an attempt may take `reconnect_max`. gRPC's own maximum
  // is two minutes, in which a server would long be back.
  std::chrono::milliseconds reconnect_min = std::chrono::milliseconds(100);
  std::chrono::milliseconds reconnect_max = std::chrono::seconds(1);
  // A connection on which nothing comes is asked for a sign of life so often while calls wait on
  // it, and given up when none comes within the second: the megabytes of a reply that stand before
  // it need as long on a line of 1 Mbit/s. A listener of ours allows one each 10 s.
  std::chrono::milliseconds keepalive = std::chrono::seconds(30);
  std::chrono::milliseconds keepalive_timeout = std::chrono::seconds(60);
  // Whether gRPC begins a call anew that never reached the other end. What it needs for that of a
  // stream's requests stays until they were a quarter of a megabyte: some 600 bytes for the
  // smallest one.
  bool retries = true;
};

// Connects with the first call.
std::shared_ptr<grpc::Channel> OpenChannel(const std::string& address,
                                           const ChannelSettings& settings);

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_OPEN_CHANNEL_H_
