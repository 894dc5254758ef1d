// services/agent/node_sync.h
//
// Keeps the agent's own node in the catalog as the agent has it: meta and tagged addresses, which
// are the agent's to say (the leader writes address, id and health alone), and its coordinate.
// Tries at the start, when there is somebody to ask, and from time to time. It asks through the
// agent's backend, as every caller does, so that it is the same on servers and clients. Told that
// its generation has left it says so once, and tries again as after any failure: whoever comes
// after it in that place is not overwritten; and if it was made to leave while it was cut off, the
// leader takes that back once it is seen alive.
//
// Threads: one of its own, `node-sync`; all methods from any.
#ifndef CONSUL_SERVICES_AGENT_NODE_SYNC_H_
#define CONSUL_SERVICES_AGENT_NODE_SYNC_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "consul/catalog/v1/catalog.pb.h"
#include "consul/coordinate/v1/coordinate.pb.h"
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
    // Between two looks at the own coordinate; up to twice as long, by chance. In a large pool
    // longer, so that all members together write so many a second at most.
    std::chrono::milliseconds place = std::chrono::seconds(15);
    size_t places_per_second = 64;
    // A coordinate that has hardly moved is told again after so long, for its row may be gone.
    std::chrono::milliseconds place_again = std::chrono::minutes(10);
  };

  // Where the agent is, and how many members its pool has. Called on the thread; may block.
  struct Places {
    std::function<std::optional<coordinate::v1::Coordinate>()> own;
    std::function<size_t()> members;
  };

  // `node` as it should be; `generation` is the agent's life (a random id). The backend is in use
  // until Stop has returned.
  NodeSync(catalog::v1::Node node, std::string generation, rpc::Backend* backend,
           base::Logger* logger, Times times);
  ~NodeSync();

  // Tells the agent's coordinate from here on. Before Begin, or not at all.
  void TellPlaces(Places places) { places_ = std::move(places); }
  // One try, in the caller, which does not wait for a leader to come. Before Begin. Logs what went
  // wrong.
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
  using Clock = std::chrono::steady_clock;

  absl::Status Sync(bool hold);
  // Returns whether all is as it should be.
  bool Try(bool hold);
  bool Stopping();
  void Run();
  // Writes the own coordinate, if it has moved or is not there.
  void TellPlace();
  Clock::time_point NextPlace();

  const catalog::v1::Node node_;
  const std::string generation_;
  rpc::Backend* const backend_;
  base::Logger* const logger_;
  const Times times_;
  Places places_;
  rpc::WaitedCalls calls_;

  // The thread's own, and before Begin the caller's.
  // The log says that tries are refused, for this generation has left; none went well since.
  bool left_ = false;
  // What was told last; none: to be told.
  std::optional<coordinate::v1::Coordinate> told_place_;
  Clock::time_point told_at_;
  std::minstd_rand random_{std::random_device{}()};

  base::Mutex mutex_;
  base::CondVar changed_;
  bool due_ GUARDED_BY(mutex_) = false;
  bool stop_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace consul::agent

#endif  // CONSUL_SERVICES_AGENT_NODE_SYNC_H_
