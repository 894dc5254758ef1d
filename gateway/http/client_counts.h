// gateway/http/client_counts.h
//
// How many connections each client address has, and how many there are in all.
//
// Threads: any.
#ifndef CONSUL_GATEWAY_HTTP_CLIENT_COUNTS_H_
#define CONSUL_GATEWAY_HTTP_CLIENT_COUNTS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>

#include "services/base/mutex.h"

namespace consul::gateway::http {

// An IPv6 address, or an IPv4 one mapped into it.
using ClientKey = std::array<uint8_t, 16>;

class ClientCounts {
 public:
  enum class Result { kTaken, kClientFull, kFull };

  // 0 as `per_client_max`: no limit.
  ClientCounts(size_t per_client_max, size_t max) : max_(max), per_client_max_(per_client_max) {}

  // Counts one connection more of `client`, unless a limit is reached.
  Result Take(const ClientKey& client) {
    base::MutexLock lock(&mutex_);
    if (total_.load(std::memory_order_relaxed) >= max_) return Result::kFull;
    size_t& count = counts_[client];
    if (per_client_max_ != 0 && count >= per_client_max_) return Result::kClientFull;
    ++count;
    total_.fetch_add(1, std::memory_order_relaxed);
    return Result::kTaken;
  }

  // REQUIRES: a Take of this client is not given back yet.
  void GiveBack(const ClientKey& client) {
    base::MutexLock lock(&mutex_);
    const auto found = counts_.find(client);
    if (--found->second == 0) counts_.erase(found);
    total_.fetch_sub(1, std::memory_order_relaxed);
  }

  // Connections that are there already stay, also where they are more.
  void SetPerClientMax(size_t max) {
    base::MutexLock lock(&mutex_);
    per_client_max_ = max;
  }
  size_t per_client_max() const {
    base::MutexLock lock(&mutex_);
    return per_client_max_;
  }

  size_t total() const { return total_.load(std::memory_order_relaxed); }

 private:
  const size_t max_;
  mutable base::Mutex mutex_;
  size_t per_client_max_ GUARDED_BY(mutex_);
  std::map<ClientKey, size_t> counts_ GUARDED_BY(mutex_);
  std::atomic<size_t> total_{0};
};

}  // namespace consul::gateway::http

#endif  // CONSUL_GATEWAY_HTTP_CLIENT_COUNTS_H_
