// services/rpc/server_links.h
//
// The connections of a client agent to the servers that it asks: one for each server in use, made
// when it is first needed. Which server is asked is ServerOrder's to say; from time to time the
// order is made anew, and the agent goes over to the first server of it that answers.
//
// A server for which a call has waited for long is asked for a sign of life, once for all calls,
// and whoever waits for it hears when there is none: gRPC itself would let them wait for a minute
// where no packet comes through, and for one and a half where the process stands still. Whatever
// comes from the server on the channel is a sign, and so is whatever it takes of a line of requests
// (signs_of_life.h): on a slow line its answer stands behind megabytes of a reply, and the question
// behind megabytes of a request.
//
// Threads: any. What is told by gRPC comes on its threads, until Stop has returned.
#ifndef CONSUL_SERVICES_RPC_SERVER_LINKS_H_
#define CONSUL_SERVICES_RPC_SERVER_LINKS_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "absl/status/status.h"
#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/base/timer_queue.h"
#include "services/rpc/open_channel.h"
#include "services/rpc/server_link.h"
#include "services/rpc/server_list.h"
#include "services/rpc/server_order.h"
#include "services/rpc/waiting_call.h"

namespace consul::rpc {

class ServerLinks : private base::Timer {
 public:
  struct Options {
    ChannelSettings channel;
    // A server that does not say within it that it serves is not gone over to.
    std::chrono::milliseconds ping_timeout = std::chrono::seconds(2);
    // So long after the last sign of life a server that is waited for is asked for another one;
    // where all that wait may have to for long, as blocking reads do, after the second time. With
    // the ping and a quarter of `patience` to notice, that is when a silent server is found out.
    std::chrono::milliseconds patience = std::chrono::seconds(2);
    std::chrono::milliseconds patience_blocked = std::chrono::seconds(10);
    std::chrono::milliseconds stay_min = kServerStayMin;
    uint64_t seed = 0;
  };

  // Both outlive it.
  ServerLinks(Options options, base::TimerQueue* timers, base::Logger* logger);
  // REQUIRES: stopped.
  ~ServerLinks();

  // Calls that wait for a server which is no longer alive in `list` hear of it.
  void SetServers(const ServerList& list);
  // Servers known and alive.
  size_t size() const;

  // The link to ask, of a server whose id is not among `tried`; null when there is none.
  std::shared_ptr<ServerLink> Choose(std::span<const std::string> tried);
  // The server does not answer, as `why` says, or it cannot do what it was asked: others are asked
  // before it.
  void Failed(ServerLink* link, const absl::Status& why);
  void CannotDo(const ServerLink& link);
  // The call is going to ask there: as ServerLink::Add, and the server is watched meanwhile.
  // `may_block`: it may have to wait for long.
  bool Add(const std::shared_ptr<ServerLink>& link, Waking* call, bool may_block);
  // What a server says when it is asked whether it serves.
  enum class Pulse {
    kServes,
    kAnswers,  // that it does not, or it takes no new connections: it may be about to end
    kNone,     // nothing in time
  };
  // Asks it, connecting first; `done` is told on a thread of gRPC's, or inside when this is
  // stopped.
  void Ping(std::shared_ptr<ServerLink> link, std::function<void(Pulse)> done);

  // What is under way is cancelled, and nobody is told anything after it has returned. Idempotent.
  void Stop();

 private:
  struct PingCall;
  static Pulse PulseOf(const grpc::Status& status, const grpc::ByteBuffer& reply);
  // When to look whether somebody waits for long.
  class Watch final : public base::Timer {
   public:
    explicit Watch(ServerLinks* links) : links_(links) {}
    void Due() override { links_->LookAtAll(); }

   private:
    ServerLinks* const links_;
  };
  using Candidates = std::shared_ptr<const std::vector<KnownServer>>;

  void Due() override;
  void GoOver(const Candidates& candidates, size_t next);
  void LookAtAll();
  void AskForLife(const std::shared_ptr<ServerLink>& link);
  void WatchLocked() REQUIRES_LOCK(mutex_);
  void ArmLocked() REQUIRES_LOCK(mutex_);
  std::shared_ptr<ServerLink> LinkLocked(const KnownServer& server) REQUIRES_LOCK(mutex_);
  void DropUnusedLocked() REQUIRES_LOCK(mutex_);

  const Options options_;
  base::TimerQueue* const timers_;
  base::Logger* const logger_;

  mutable base::Mutex mutex_;
  base::CondVar pinged_;
  ServerOrder order_ GUARDED_BY(mutex_);
  std::unordered_map<std::string, std::shared_ptr<ServerLink>> links_ GUARDED_BY(mutex_);
  // Of servers that are no longer asked, for as long as somebody waits for them.
  std::vector<std::shared_ptr<ServerLink>> former_ GUARDED_BY(mutex_);
  std::unordered_set<PingCall*> pings_ GUARDED_BY(mutex_);
  bool armed_ GUARDED_BY(mutex_) = false;
  bool stopped_ GUARDED_BY(mutex_) = false;
  // The watch goes on; it rests while nobody waits. Set with `mutex_`.
  std::atomic<bool> watching_{false};
  Watch watch_{this};
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_SERVER_LINKS_H_
