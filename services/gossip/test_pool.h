// services/gossip/test_pool.h
//
// A whole pool in memory and in virtual time: real Clusters, a network that delays, loses, repeats
// and cuts, and a driver for each member that remembers what it was told. After every step each
// member's view is checked against itself and against what happened (PoolInvariants).
//
// Threads: none; a test owns it.
// Background: services/gossip/README.md (Cluster, Tests).
#ifndef CONSUL_SERVICES_GOSSIP_TEST_POOL_H_
#define CONSUL_SERVICES_GOSSIP_TEST_POOL_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "services/gossip/cluster.h"
#include "services/gossip/pool_invariants.h"
#include "services/gossip/random.h"

namespace consul::gossip {

class TestPool {
 public:
  struct Network {
    Duration latency_min = std::chrono::microseconds(200);
    Duration latency_max = std::chrono::milliseconds(2);
    int loss_percent = 0;       // of packets
    int duplicate_percent = 0;  // of packets
  };

  struct Node {
    std::string name;    // of the machine, in this test
    std::string member;  // of its member: two machines may claim one
    std::string id;
    Endpoint address;
    std::unique_ptr<Cluster> cluster;  // null while down
    int lives = 0;
    ClusterRestart restart;  // what the snapshot remembers
    Tags tags;
    std::optional<Keyring> keyring;  // as the driver has stored it
    absl::Status store_status;       // what storing a keyring ends with
    bool hold_stores = false;
    std::optional<KeyringStore> held;
    std::map<std::string, std::string> answers;  // to queries, by name
    std::map<std::string, Endpoint> rejoin;      // what the snapshot would join
    std::vector<std::string> trace;
    std::vector<JoinResult> join_results;
    std::vector<KeyResult> key_results;
    std::vector<UserEvent> user_events;  // of this life
    std::vector<QueryReceived> queries;  // of this life
    bool leave_done = false;

    bool up() const { return cluster != nullptr; }
  };

  explicit TestPool(uint64_t seed, ClusterOptions options = {});

  // A member with an address of its own, up and alone.
  Node& Add(const std::string& name, Tags tags = {}, std::optional<Keyring> keyring = {},
            const std::string& member = "");
  Node& at(std::string_view name);
  Cluster& cluster(std::string_view name) { return *at(name).cluster; }
  std::map<std::string, Node, std::less<>>& nodes() { return nodes_; }
  Time now() const { return now_; }
  Network& network() { return network_; }
  // The process dies without a word.
  void Crash(std::string_view name);
  // It starts again; `fresh`: with an empty data directory. `new_id`: as another machine.
  void Restart(std::string_view name, bool fresh = false, bool new_id = false);
  void Join(std::string_view name, std::string_view to, bool ignore_old_events = false);

  // No packet and no stream passes between the two, until Heal.
  void Cut(std::string_view a, std::string_view b);
  void CutOff(std::string_view name);
  void Heal() { cuts_.clear(); }

  // Everything that is due happens.
  void Run(Duration duration);
  // Until `done` after a step, at most `limit`. False: it did not come true.
  bool RunUntil(const std::function<bool()>& done, Duration limit);
  // After any change of a Cluster from outside.
  void Pump(Node& node);
  void StoreKeys(Node& node);

  // "a alive, b left": as `name` lists them.
  std::string View(std::string_view name);
  // What happened at each member since the last call, by member.
  std::string TakeTrace();
  const std::string& broken() const { return invariants_.broken(); }
  // Sees each packet that is sent.
  void set_on_packet(std::function<void(const Packet&)> hook) { on_packet_ = std::move(hook); }

 private:
  struct Happening {
    Time at;
    uint64_t order;
    std::function<void()> action;
    bool operator>(const Happening& other) const {
      return std::tie(at, order) > std::tie(other.at, other.order);
    }
  };
  // Both ends of a stream. An end is gone when its node closed it or died.
  struct Stream {
    std::string names[2];  // opener, acceptor
    StreamId ids[2];
    int lives[2] = {0, 0};
    bool open[2] = {true, false};
    Time arrives[2];  // of the last message to that end
  };
  using StreamPtr = std::shared_ptr<Stream>;

  void Start(Node& node, bool fresh);
  void At(Time when, std::function<void()> action);
  Duration Latency();
  Node* NodeAt(const Endpoint& address);
  bool IsCut(std::string_view a, std::string_view b) const;
  void Act(Node& node, ClusterOutput output);
  void Record(Node& node, const ClusterOutput& output);
  void SendPacket(Node& from, const Packet& packet);
  void OpenStream(Node& from, const StreamOpen& open);
  void SendOnStream(Node& from, const StreamSend& send);
  void CloseStream(Node& from, StreamId id);
  // Something arrives at `end` of the stream, in order; not when that end is gone.
  void ArriveOnStream(const StreamPtr& stream, int end, std::function<void(Cluster&)> what);
  std::pair<StreamPtr, int> FindStream(Node& node, StreamId id);
  void Trace(Node& node, std::string line) { node.trace.push_back(std::move(line)); }

  ClusterOptions options_;
  Random random_;
  Network network_;
  Time now_{std::chrono::hours(1)};
  std::map<std::string, Node, std::less<>> nodes_;
  std::map<Endpoint, std::string> addresses_;
  std::set<std::pair<std::string, std::string>> cuts_;
  std::priority_queue<Happening, std::vector<Happening>, std::greater<>> happenings_;
  std::map<std::pair<std::string, StreamId>, std::pair<StreamPtr, int>> streams_;
  uint64_t order_ = 0;
  uint64_t last_stream_ = 0;
  std::function<void(const Packet&)> on_packet_;
  PoolInvariants invariants_;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_TEST_POOL_H_
