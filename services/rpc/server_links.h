// services/rpc/server_links.h
//
// The connections of a client agent to the servers that it asks: one for each server in use, made
// when it is first needed. Which server is asked is ServerOrder's to say; from time to time the
// order is made anew, and the agent goes over to the first server of it that answers.
//
// Threads: any. What is told by gRPC comes on its threads, until Stop has returned.
#ifndef CONSUL_SERVICES_RPC_SERVER_LINKS_H_
#define CONSUL_SERVICES_RPC_SERVER_LINKS_H_

#include <grpcpp/channel.h>
#include <grpcpp/generic/generic_stub.h>

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
#include "services/rpc/attempt.h"
#include "services/rpc/open_channel.h"
#include "services/rpc/server_list.h"
#include "services/rpc/server_order.h"

namespace consul::rpc {

// One server and the connection to it. A call holds the link for as long as it asks there.
class ServerLink {
 public:
  ServerLink(KnownServer server, const ChannelSettings& settings);

  const KnownServer& server() const { return server_; }
  // "server a at 10.0.0.1:8300", as errors name it.
  std::string Name() const;
  grpc::GenericStub* stub() { return &stub_; }
  // Whether there is a connection. Begins to make one where there is none.
  bool Connected() { return channel_->GetState(true) == GRPC_CHANNEL_READY; }

  // An attempt that may be made elsewhere, from its start to its end: it is cancelled when the
  // server is given up.
  void Add(Attempt* attempt);
  void Remove(Attempt* attempt);
  // The pool says that the server is gone: whoever waits for it need not.
  void GiveUp();

  // Whether the server did not answer the last time. Returns what was set before.
  bool SetFailing(bool failing);

 private:
  const KnownServer server_;
  const std::shared_ptr<grpc::Channel> channel_;
  grpc::GenericStub stub_;
  std::atomic<bool> failing_{false};
  base::Mutex mutex_;
  bool given_up_ GUARDED_BY(mutex_) = false;
  std::unordered_set<Attempt*> attempts_ GUARDED_BY(mutex_);
};

class ServerLinks : private base::Timer {
 public:
  struct Options {
    ChannelSettings channel;
    // A server that does not say within it that it serves is not gone over to.
    std::chrono::milliseconds ping_timeout = std::chrono::seconds(2);
    std::chrono::milliseconds stay_min = kServerStayMin;
    uint64_t seed = 0;
  };

  // Both outlive it.
  ServerLinks(Options options, base::TimerQueue* timers, base::Logger* logger);
  // REQUIRES: stopped.
  ~ServerLinks();

  // Calls that wait for a server which is no longer alive in `list` go elsewhere.
  void SetServers(const ServerList& list);
  // Servers known and alive.
  size_t size() const;

  // The link to ask, of a server whose id is not among `tried`; null when there is none.
  std::shared_ptr<ServerLink> Choose(std::span<const std::string> tried);
  // The server does not answer, as `why` says, or it cannot do what it was asked: others are asked
  // before it.
  void Failed(ServerLink* link, const absl::Status& why);
  void CannotDo(const ServerLink& link);
  // Asks the server whether it serves, connecting first; `done` is told on a thread of gRPC's, or
  // inside when this is stopped.
  void Ping(std::shared_ptr<ServerLink> link, std::function<void(bool)> done);

  // What is under way is cancelled, and nobody is told anything after it has returned. Idempotent.
  void Stop();

 private:
  struct PingCall;
  using Candidates = std::shared_ptr<const std::vector<KnownServer>>;

  void Due() override;
  void GoOver(const Candidates& candidates, size_t next);
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
  std::unordered_set<PingCall*> pings_ GUARDED_BY(mutex_);
  bool armed_ GUARDED_BY(mutex_) = false;
  bool stopped_ GUARDED_BY(mutex_) = false;
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_SERVER_LINKS_H_
