// gateway/dns/stats.h
//
// What the DNS server counts. Each loop has its own counters; a reader adds them up.
//
// Threads: one writer, any readers.
#ifndef CONSUL_GATEWAY_DNS_STATS_H_
#define CONSUL_GATEWAY_DNS_STATS_H_

#include <atomic>
#include <cstdint>

namespace consul::gateway::dns {

// A counter that one thread raises and any may read.
class Counter {
 public:
  void Add(uint64_t more = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// The sums at one moment.
struct Stats {
  uint64_t udp_queries = 0;
  uint64_t tcp_queries = 0;
  uint64_t kept_answers = 0;         // answered with what was kept
  uint64_t lookups = 0;              // lookups started
  uint64_t lookups_joined = 0;       // queries that waited for a lookup already under way
  uint64_t lookups_timed_out = 0;    // answered SERVFAIL for that
  uint64_t lookups_refused = 0;      // answered SERVFAIL because too many wait
  uint64_t dropped = 0;              // not answered: no header, a response, too long
  uint64_t send_failures = 0;        // answers that the kernel did not take
  uint64_t tcp_connections = 0;      // accepted
  uint64_t tcp_refused = 0;          // closed at once: too many
  uint64_t tcp_closed_idle = 0;
};

struct LoopCounters {
  Counter udp_queries;
  Counter tcp_queries;
  Counter kept_answers;
  Counter lookups;
  Counter lookups_joined;
  Counter lookups_timed_out;
  Counter lookups_refused;
  Counter dropped;
  Counter send_failures;
  Counter tcp_connections;
  Counter tcp_refused;
  Counter tcp_closed_idle;

  void AddTo(Stats* stats) const {
    stats->udp_queries += udp_queries.value();
    stats->tcp_queries += tcp_queries.value();
    stats->kept_answers += kept_answers.value();
    stats->lookups += lookups.value();
    stats->lookups_joined += lookups_joined.value();
    stats->lookups_timed_out += lookups_timed_out.value();
    stats->lookups_refused += lookups_refused.value();
    stats->dropped += dropped.value();
    stats->send_failures += send_failures.value();
    stats->tcp_connections += tcp_connections.value();
    stats->tcp_refused += tcp_refused.value();
    stats->tcp_closed_idle += tcp_closed_idle.value();
  }
};

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_STATS_H_
