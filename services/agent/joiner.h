// services/agent/joiner.h
//
// Joins a pool as the configuration and users ask for it: once, or again and again until somebody
// answers, with the log lines that say so.
//
// Threads: methods from any; callbacks on the pool's thread.
#ifndef CONSUL_SERVICES_AGENT_JOINER_H_
#define CONSUL_SERVICES_AGENT_JOINER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/agent/config/config.h"
#include "services/base/log.h"
#include "services/gossip/pool.h"

namespace consul::agent {

class Joiner {
 public:
  // `name` is "LAN" or "WAN". Both outlive it, and the pool is stopped before it goes.
  Joiner(const char* name, gossip::Pool* pool, base::Logger* logger)
      : name_(name), pool_(pool), logger_(logger) {}

  // Tells how many answered. REASON_JOIN_FAILED when none did, with each one's error; an address
  // that did not answer beside one that did is a line in the log and no more.
  void Join(std::vector<std::string> addresses,
            std::function<void(absl::StatusOr<uint32_t>)> done);

  // Joins `settings.retry_join` until one answers. `exhausted` is told when the first attempt and
  // `retry_max` retries have failed: "max join LAN retry exhausted, exiting".
  void KeepTrying(const config::GossipPool& settings,
                  std::function<void(absl::Status)> exhausted);
  // The pool is about to be left or stopped, which ends an attempt: it was the last, and nobody is
  // told of it.
  void StopTrying() { tries_.store(false); }

 private:
  struct Retry;
  void Attempt(std::shared_ptr<Retry> retry);

  const char* const name_;
  gossip::Pool* const pool_;
  base::Logger* const logger_;
  std::atomic<bool> tries_{true};
};

}  // namespace consul::agent

#endif  // CONSUL_SERVICES_AGENT_JOINER_H_
