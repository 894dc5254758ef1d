// services/agent/node_sync.h
//
// Keeps the agent's own node in the catalog as the agent has it: meta and tagged addresses, which
// are the agent's to say (the leader writes address, id and health alone). Tries at the start, when
// there is somebody to ask, and from time to time. It asks through the agent's backend, as every
// caller does, so that it is the same on servers and clients. Once it is told that its generation
// has left it is done for good: whoever comes after it in that place is not to be overwritten.
//
// Threads: one of its own, `node-sync`; all methods from any.
#ifndef CONSUL_SERVICES_AGENT_NODE_SYNC_H_
#define CONSUL_SERVICES_AGENT_NODE_SYNC_H_

#include <chrono>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "consul/catalog/v1/catalog.pb.h"
#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/rpc/backend.h"
#include "services/rpc/waited_calls.h"

namespace consul::agent {

class NodeSync {
 public:
  // The reference's: the base of the full sync, and the time after a try that failed.
  struct Times {
    std::chrono::milliseconds interval = std::chrono::seconds(60);
    std::chrono::milliseconds retry = std::chrono::seconds(15);
  };

  // `node` as it should be; `generation` is the agent's life (a random id). The backend is in use
  // until Stop has returned.
  NodeSync(catalog::v1::Node node, std::string generation, rpc::Backend* backend,
           base::Logger* logger, Times times);
  ~NodeSync();

  // One try, in the caller, which does not wait for a leader to come. Logs what went wrong.
  void TryNow();
  // Tries from here on.
  void Begin();
  // There may be somebody to ask now: tries again. The interval is for a try without a reason.
  void TrySoon();
  // No try begins from here on, and a read that is under way ends; does not wait for a write.
  void AskToStop();
  // No write of it is under way when it returns, and none follows. Idempotent.
  void Stop();

 private:
  absl::Status Sync(bool hold);
  // Returns whether all is as it should be.
  bool Try(bool hold);
  bool Stopping();
  void Run();

  const catalog::v1::Node node_;
  const std::string generation_;
  rpc::Backend* const backend_;
  base::Logger* const logger_;
  const Times times_;
  rpc::WaitedCalls calls_;

  base::Mutex mutex_;
  base::CondVar changed_;
  bool due_ GUARDED_BY(mutex_) = false;
  bool stop_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace consul::agent

#endif  // CONSUL_SERVICES_AGENT_NODE_SYNC_H_
