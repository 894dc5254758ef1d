// services/raft/transport.h
//
// How raft::Node's messages reach other servers. A single server has none; three have one over
// gRPC, and a test has one in memory. What comes in is given to Node::Receive, and the end of a
// connection on which another server sends to Node::StreamBroken.
//
// Threads: Send is called by whoever has the Node's turn and must not block: it queues, within
// limits of its own, and may drop what does not fit; raft sends again.
#ifndef CONSUL_SERVICES_RAFT_TRANSPORT_H_
#define CONSUL_SERVICES_RAFT_TRANSPORT_H_

#include "services/raft/core/message.h"

namespace consul::raft {

class Transport {
 public:
  virtual ~Transport() = default;

  // Sends towards message.to on the connection that LaneOf(message) names.
  virtual void Send(Message message) = 0;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_TRANSPORT_H_
