// services/rpc/server_order.h
//
// Which server a client agent asks, and which one after it. The order is random, so that the agents
// of a pool spread over its servers; the first is asked until it fails or it is time to spread
// anew. A server that fails goes to the end.
//
// Threads: pure value type; chance is an argument.
#ifndef CONSUL_SERVICES_RPC_SERVER_ORDER_H_
#define CONSUL_SERVICES_RPC_SERVER_ORDER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "services/rpc/server_list.h"

namespace consul::rpc {

// The reference's numbers (agent/router): an agent stays with a server for two to three minutes at
// least, and longer in a pool so large that its servers would otherwise have more than 64 agents a
// second come anew to each of them.
inline constexpr std::chrono::milliseconds kServerStayMin = std::chrono::seconds(120);
inline constexpr size_t kNewAgentsPerSecondPerServer = 64;

class ServerOrder {
 public:
  explicit ServerOrder(uint64_t seed) : random_(seed) {}

  // Takes over what has changed: servers that are gone or not alive leave the order, new ones come
  // behind those that are there, in random order among themselves.
  void Update(const ServerList& list);

  // The first server of the order whose id is not among `tried`; null when there is none. Valid
  // until the order changes.
  const KnownServer* First(std::span<const std::string> tried = {}) const;

  // The server is put last. Returns whether it was the first, so that others are asked now.
  bool Failed(std::string_view id);
  // The server is put first, if it is still known.
  void Prefer(std::string_view id);
  // All of them in a new random order, which becomes the order only by Prefer.
  std::vector<KnownServer> Shuffled();

  // How long to stay with the first server from now on. At least `stay_min`, and up to half of it
  // more at random.
  std::chrono::milliseconds Stay(std::chrono::milliseconds stay_min);

  size_t size() const { return servers_.size(); }

 private:
  std::mt19937_64 random_;
  std::vector<KnownServer> servers_;
  size_t members_ = 0;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_SERVER_ORDER_H_
