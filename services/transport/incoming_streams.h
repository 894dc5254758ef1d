// services/transport/incoming_streams.h
//
// The streams on which other servers send, and the gRPC service that takes them: who is foreign is
// refused, what comes is decoded and passed on, and the end of a stream is told at once.
//
// Threads: any; what comes, on gRPC's.
// Background: services/transport/README.md (Receiving).
#ifndef CONSUL_SERVICES_TRANSPORT_INCOMING_STREAMS_H_
#define CONSUL_SERVICES_TRANSPORT_INCOMING_STREAMS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "services/base/mutex.h"
#include "services/raft/core/message.h"
#include "services/raft/core/types.h"
#include "services/transport/message_codec.h"
#include "services/transport/refusal_log.h"
#include "services/transport/transport_options.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace consul::transport {

class IncomingStreams {
 public:
  // `peer_spoke` is told of every hello that is accepted.
  IncomingStreams(std::shared_ptr<const TransportOptions> options,
                  std::shared_ptr<RefusalLog> refusals,
                  std::function<void(const raft::ServerId& peer)> peer_spoke);
  // REQUIRES: stopped; the server that has the service is gone.
  ~IncomingStreams();

  grpc::Service* service();

  // Streams of another cluster, which were accepted before this server knew its own, are ended, and
  // nobody is told that they broke. A sender that knew none yet says hello again when it does.
  void SetClusterId(const std::string& cluster_id);

  // As GrpcTransport::StateVersionOf.
  std::optional<uint32_t> StateVersionOf(const raft::ServerId& peer);

  // Ends all streams without telling of it, refuses new ones, and returns when none is left.
  void Stop();

 private:
  class Service;
  class Stream;
  using Key = std::pair<raft::ServerId, raft::Lane>;
  struct Current {
    Stream* stream = nullptr;
    // Of its peer, as its hello had it.
    std::string cluster_id;
    uint32_t state_version = 0;
  };

  // Counts a stream; false once stopped.
  bool Add(Stream* stream);
  void Remove(Stream* stream);
  // OK: messages of the stream are taken from now on, and it is its peer's only one on its lane.
  // Of a hello that is not the stream's first, too.
  absl::Status Accept(Stream* stream, const Hello& hello);
  absl::Status Compare(const Hello& hello, const std::string& ours) const;
  std::optional<uint32_t> StateVersionLocked(const raft::ServerId& peer) const
      REQUIRES_LOCK(mutex_);
  // Nothing more comes on the stream.
  void Ended(Stream* stream);

  const std::shared_ptr<const TransportOptions> options_;
  const std::shared_ptr<RefusalLog> refusals_;
  const std::function<void(const raft::ServerId& peer)> peer_spoke_;
  const std::unique_ptr<Service> service_;

  base::Mutex mutex_;
  base::CondVar none_;
  std::set<Stream*> streams_ GUARDED_BY(mutex_);  // they delete themselves
  std::map<Key, Current> current_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;
};

}  // namespace consul::transport

#endif  // CONSUL_SERVICES_TRANSPORT_INCOMING_STREAMS_H_
