// tests/sim/cluster/sim_network.h
//
// The network between the servers: delays every message by chance, so that later ones overtake
// earlier ones, loses some, repeats some, and can be cut between any two servers in either
// direction.
//
// What drivers say to each other (forwarded proposals and reads) travels on streams: it is never
// repeated, and lost with the stream when either end stops. Core's own messages have no such
// promise and get none.
//
// Threads: none; a run owns it.
#ifndef CONSUL_TESTS_SIM_CLUSTER_SIM_NETWORK_H_
#define CONSUL_TESTS_SIM_CLUSTER_SIM_NETWORK_H_

#include <functional>
#include <map>
#include <set>
#include <utility>

#include "services/raft/core/message.h"
#include "tests/sim/cluster/sim_world.h"

namespace consul::sim {

struct NetworkWeather {
  Duration delay_min = std::chrono::microseconds(100);
  Duration delay_max = Milliseconds(2);
  double loss = 0;
  double repetition = 0;
  // So many messages take up to this much longer.
  double straggling = 0;
  Duration straggle_max{0};
};

class SimNetwork {
 public:
  SimNetwork(SimWorld* world, std::function<void(raft::Message)> deliver)
      : world_(world), deliver_(std::move(deliver)) {}

  void Send(raft::Message message);
  // All streams of `server` end: it stopped.
  void EndStreams(const raft::ServerId& server) { ++streams_[server]; }

  NetworkWeather& weather() { return weather_; }
  void Cut(const raft::ServerId& from, const raft::ServerId& to) { cut_.insert({from, to}); }
  bool IsCut(const raft::ServerId& from, const raft::ServerId& to) const {
    return cut_.contains({from, to});
  }
  void Heal() { cut_.clear(); }
  void CalmDown() { weather_ = NetworkWeather{}; }

 private:
  Duration Delay();
  void Post(raft::Message message);
  uint64_t StreamsOf(const raft::Message& message) {
    return streams_[message.from] + streams_[message.to];
  }

  SimWorld* const world_;
  const std::function<void(raft::Message)> deliver_;
  NetworkWeather weather_;
  std::set<std::pair<raft::ServerId, raft::ServerId>> cut_;
  std::map<raft::ServerId, uint64_t> streams_;  // how often they ended
};

}  // namespace consul::sim

#endif  // CONSUL_TESTS_SIM_CLUSTER_SIM_NETWORK_H_
