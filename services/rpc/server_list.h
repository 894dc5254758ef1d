// services/rpc/server_list.h
//
// The servers of the datacenter as an agent knows them from its pool: what it may forward calls to.
// Whoever owns the pool makes a new list with each change and publishes it.
//
// Threads: an immutable value.
#ifndef CONSUL_SERVICES_RPC_SERVER_LIST_H_
#define CONSUL_SERVICES_RPC_SERVER_LIST_H_

#include <cstddef>
#include <string>
#include <vector>

namespace consul::rpc {

// What the pool believes of a server. Only those that are alive are asked.
enum class ServerStanding {
  kAlive,
  kFailed,  // it answers nobody any more
  kLeft,    // it goes or has gone by itself, and may still answer what it was asked
};

struct KnownServer {
  // Node id, by which a server is known whatever its address.
  std::string id;
  std::string name;
  // `ip:port` of its server port.
  std::string address;
  ServerStanding standing = ServerStanding::kAlive;

  bool alive() const { return standing == ServerStanding::kAlive; }

  friend bool operator==(const KnownServer&, const KnownServer&) = default;
};

struct ServerList {
  std::vector<KnownServer> servers;
  // Of the pool, servers and clients: the more there are, the more seldom each changes its server.
  size_t members = 0;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_SERVER_LIST_H_
