// gateway/dns/answerer.h
//
// From a received message to its response on one event loop: kept answer, else plan, lookup and
// response. Queries for what is being looked up already wait for that lookup. Knows no sockets: who
// asked is an opaque Client, and late responses go to a Sink.
//
// Threads: one owner, an event loop; Lookup::Done comes on the same thread.
#ifndef CONSUL_GATEWAY_DNS_ANSWERER_H_
#define CONSUL_GATEWAY_DNS_ANSWERER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "gateway/dns/client.h"
#include "gateway/dns/kept_answers.h"
#include "gateway/dns/message.h"
#include "gateway/dns/resolver.h"
#include "gateway/dns/responder.h"
#include "gateway/dns/stats.h"

namespace consul::gateway::dns {

// Queries of one loop that wait for lookups; more get SERVFAIL at once. 10,000 take about 7 MB.
inline constexpr size_t kWaitingQueriesMax = 10000;
// How long a query waits for its lookup before it gets SERVFAIL: stub resolvers give up after 5 s.
inline constexpr std::chrono::milliseconds kLookupTimeout{4000};

class Answerer {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Takes responses that were not ready when Answer returned.
  class Sink {
   public:
    // `client` is what was given to Answer; it may be gone by now.
    virtual void SendLate(const Client& client, std::span<const uint8_t> response) = 0;

   protected:
    ~Sink() = default;
  };

  // What became of a message.
  struct Outcome {
    size_t bytes = 0;    // of the response; 0: none, or not yet
    bool later = false;  // the response comes through the sink
  };

  // All but the responder outlive the answerer.
  Answerer(std::shared_ptr<const Responder> responder, Resolver* resolver,
           rpc::Executor* executor, Sink* sink, LoopCounters* counters);
  // REQUIRES: idle().
  ~Answerer();

  // Answers `message` into `out`, which has kTcpBytesMax bytes over TCP, kUdpBytesMax over UDP.
  // `unix_s` is the time of day, `now` a steady one.
  Outcome Answer(std::span<const uint8_t> message, const Client& client, uint32_t unix_s, Time now,
                 std::span<uint8_t> out);

  // Answers by `responder` from now on, and keeps nothing of what was answered by the last one.
  // Lookups that are under way end as they began.
  void SetResponder(std::shared_ptr<const Responder> responder);

  // Answers SERVFAIL to what has waited for kLookupTimeout.
  void Tick(Time now);
  // Gives up all lookups without a word to the clients.
  void CancelAll();
  // No lookup is under way.
  bool idle() const { return pending_.empty(); }

 private:
  struct Waiter {
    Query query;
    Client client;
  };
  class Pending;

  Outcome StartLookup(const Query& query, Plan plan, const Client& client, Time now,
                      std::span<uint8_t> out);
  void FinishLate(Pending* pending);
  void AnswerWaiters(Pending* pending);
  // Forgets its queries and cancels it.
  void Abandon(Pending* pending);
  // Queries of its key no longer wait for it.
  void Unlist(const Pending* pending);

  std::shared_ptr<const Responder> responder_;
  Resolver* const resolver_;
  rpc::Executor* const executor_;
  Sink* const sink_;
  LoopCounters* const counters_;
  KeptAnswers kept_;
  Query query_;  // of the call of Answer under way: too large to clear for each
  uint32_t unix_s_ = 0;  // the last that was given
  size_t waiting_ = 0;
  // Under way, oldest first, so that the first is the next to time out.
  std::list<std::unique_ptr<Pending>> pending_;
  // By name and type of the question: those that the responder in force has planned.
  absl::flat_hash_map<std::string, Pending*> by_key_;
  std::vector<uint8_t> late_;  // where late responses are written
};

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_ANSWERER_H_
