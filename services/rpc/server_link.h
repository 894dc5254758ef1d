// services/rpc/server_link.h
//
// One server that calls are passed on to: the connection to it, and who waits for its answer. Who
// waits is woken when the server is given up, or has fallen silent; what becomes of the call is the
// call's to decide (forwarded_call.h), when to look for signs of life that of ServerLinks.
//
// Threads: any. A call is added and removed on its executor's.
#ifndef CONSUL_SERVICES_RPC_SERVER_LINK_H_
#define CONSUL_SERVICES_RPC_SERVER_LINK_H_

#include <grpcpp/channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <unordered_map>

#include "services/base/mutex.h"
#include "services/rpc/open_channel.h"
#include "services/rpc/server_list.h"
#include "services/rpc/waiting_call.h"

namespace consul::rpc {

// A call holds the link for as long as it asks there.
class ServerLink {
 public:
  using Clock = std::chrono::steady_clock;
  // What has become of a server for which a call waits.
  enum class Fate {
    kServes,  // for all that is known
    kLeft,    // it goes, or another one is to be asked; what it was asked it may still answer
    kFailed,  // the pool says so
    kSilent,  // it gave no sign of life when it was asked for one
  };
  // Whether somebody waits for an answer, and for so long that the server is to be asked for a sign
  // of life.
  enum class Waiting { kNobody, kSomebody, kForLong };

  ServerLink(KnownServer server, const ChannelSettings& settings);

  const KnownServer& server() const { return server_; }
  // "server a at 10.0.0.1:8300", as errors name it.
  std::string Name() const;
  grpc::GenericStub* stub() { return &stub_; }
  // Whether there is a connection, and nothing is known against it. Begins to make one where there
  // is none.
  bool IsWell();

  // The call is going to ask: until it is removed it is woken with each change of its FateOf. It
  // finds it long to hear nothing of the server for `patience`. False: the server was given up
  // before, and nothing is to be sent.
  bool Add(Waking* call, Clock::time_point now, Clock::duration patience);
  Fate FateOf(Waking* call) const;
  // Its attempt is over; `answered`: by the server's own word.
  void Remove(Waking* call, Clock::time_point now, bool answered);

  // For good: nobody is added any more. REQUIRES: `fate` is kLeft or kFailed.
  void GiveUp(Fate fate);
  // Whether it was given up because it left.
  bool HasLeft() const;
  // Those who wait now need not; others may be added.
  void FellSilent();
  // When kForLong: the caller asks for the sign of life, and says when the answer is there. Until
  // then it is not kForLong again.
  Waiting Look(Clock::time_point now);
  void Looked(Clock::time_point now, bool alive);

  // Whether the server did not answer the last time. Returns what was set before.
  bool SetFailing(bool failing);

 private:
  struct Call {
    Clock::time_point since;
    Clock::duration patience;
    Fate fate = Fate::kServes;
  };
  void TellAllLocked(Fate fate) REQUIRES_LOCK(mutex_);

  const KnownServer server_;
  const std::shared_ptr<grpc::Channel> channel_;
  grpc::GenericStub stub_;
  std::atomic<bool> failing_{false};
  mutable base::Mutex mutex_;
  Fate given_up_ GUARDED_BY(mutex_) = Fate::kServes;  // kServes: it was not
  bool looking_ GUARDED_BY(mutex_) = false;
  Clock::time_point heard_at_ GUARDED_BY(mutex_);
  std::unordered_map<Waking*, Call> calls_ GUARDED_BY(mutex_);
};

}  // namespace consul::rpc

#endif  // CONSUL_SERVICES_RPC_SERVER_LINK_H_
