// gateway/http/client_counts.h
//
// How many connections each client address has, how many there are in all, and how many of those
// are passed on to RPC.
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
  ClientCounts(size_t per_client_max, size_t max, size_t spliced_max)
      : max_(max), spliced_max_(spliced_max), per_client_max_(per_client_max) {}

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
  // Counts a connection that is counted already as one that is passed on to RPC. False: there are
  // as many as there may be.
  bool TakeSpliced() {
    base::MutexLock lock(&mutex_);
    if (spliced_.load(std::memory_order_relaxed) >= spliced_max_) return false;
    spliced_.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  // REQUIRES: a TakeSpliced is not given back yet.
  void GiveBackSpliced() { spliced_.fetch_sub(1, std::memory_order_relaxed); }

  size_t total() const { return total_.load(std::memory_order_relaxed); }
  size_t spliced() const { return spliced_.load(std::memory_order_relaxed); }

 private:
  const size_t max_;
  const size_t spliced_max_;
  mutable base::Mutex mutex_;
  size_t per_client_max_ GUARDED_BY(mutex_);
  std::map<ClientKey, size_t> counts_ GUARDED_BY(mutex_);
  std::atomic<size_t> total_{0};
  std::atomic<size_t> spliced_{0};
};

}  // namespace consul::gateway::http

#endif  // CONSUL_GATEWAY_HTTP_CLIENT_COUNTS_H_
