// services/rpc/channel_backend.h
//
// Carries out calls by passing them to an agent over gRPC, for any method of the table. What a face
// that runs apart from the agent speaks to. A reply carries no validity yet: `validity` stays null,
// so such a face keeps no replies.
//
// Threads: Start from any; a call's Done and Next come by its executor.
#ifndef CONSUL_SERVICES_RPC_CHANNEL_BACKEND_H_
#define CONSUL_SERVICES_RPC_CHANNEL_BACKEND_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "services/rpc/agent_times.h"
#include "services/rpc/backend.h"

namespace consul::rpc {

class ChannelBackend : public Backend {
 public:
  struct Options {
    // A call may take so long, beyond its LongestTime. Streams have no deadline.
    std::chrono::milliseconds timeout = std::chrono::seconds(30);
    // Bytes of a reply; a larger one ends with RESOURCE_EXHAUSTED.
    size_t reply_bytes_max = 512 << 20;
    // Between attempts to connect, doubling. Calls fail at once meanwhile, with UNAVAILABLE.
    std::chrono::milliseconds reconnect_min = std::chrono::milliseconds(100);
    std::chrono::milliseconds reconnect_max = std::chrono::seconds(1);
  };

  // `target` is "127.0.0.1:8400", "[::1]:8400", "name:8400" or "unix:///path". Connects with the
  // first call.
  ChannelBackend(std::string target, Options options);
  // REQUIRES: no call is under way.
  ~ChannelBackend() override;

  // Errors: as the agent gave them, reason included; UNAVAILABLE, which names the target, when no
  // agent answers.
  void Start(Call* call) override;

  // The agent's times, of which calls are given up later than that; for those that start from now
  // on. Until it is said, the defaults. From any thread.
  void SetTimes(const AgentTimes& times);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_CHANNEL_BACKEND_H_
