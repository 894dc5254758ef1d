// services/agent/node_sync.h
//
// Keeps the agent's own node in the catalog as the agent has it: meta and tagged addresses, which
// are the agent's to say (the leader writes address, id and health alone). Tries at the start, when
// there is a leader, and from time to time. Once it is told that its generation has left it is done
// for good: whoever comes after it in that place is not to be overwritten.
//
// Threads: one of its own, `node-sync`; all methods from any.
#ifndef CONSUL_SERVICES_AGENT_NODE_SYNC_H_
#define CONSUL_SERVICES_AGENT_NODE_SYNC_H_

#include <chrono>
#include <string>
#include <thread>

#include "consul/catalog/v1/catalog.pb.h"
#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/rpc/consensus.h"
#include "services/state/version_source.h"

namespace consul::agent {

class NodeSync {
 public:
  // The reference's base of the full sync.
  static constexpr std::chrono::milliseconds kInterval = std::chrono::seconds(60);

  // `node` as it should be; `generation` is the agent's life (a random id). The rest outlives it.
  NodeSync(catalog::v1::Node node, std::string generation, rpc::Consensus* consensus,
           state::VersionSource* state, base::Logger* logger,
           std::chrono::milliseconds interval = kInterval);
  ~NodeSync();

  // One try, in the caller. Logs what went wrong.
  void TryNow();
  // Tries from here on.
  void Begin();
  // There may be a leader now: tries again. The interval is for a try without a reason.
  void LeaderChanged();
  // No try begins from here on; does not wait for the one that is under way.
  void AskToStop();
  // No write of it is under way when it returns, and none follows. Idempotent.
  void Stop();

 private:
  bool InSync() const;
  bool Stopping();
  void Run();

  const catalog::v1::Node node_;
  const std::string generation_;
  rpc::Consensus* const consensus_;
  state::VersionSource* const state_;
  base::Logger* const logger_;
  const std::chrono::milliseconds interval_;

  base::Mutex mutex_;
  base::CondVar changed_;
  bool due_ GUARDED_BY(mutex_) = false;
  bool stop_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace consul::agent

#endif  // CONSUL_SERVICES_AGENT_NODE_SYNC_H_
