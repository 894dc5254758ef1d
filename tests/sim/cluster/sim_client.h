// tests/sim/cluster/sim_client.h
//
// Those who use a simulated cluster: clients that write and read keys through any server, one call
// after the other, and watchers that wait for changes by index. They keep the rules of a client:
// what was refused may be tried elsewhere, what has an unknown outcome keeps it.
//
// Threads: none; a run owns them.
#ifndef CONSUL_TESTS_SIM_CLUSTER_SIM_CLIENT_H_
#define CONSUL_TESTS_SIM_CLUSTER_SIM_CLIENT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/cluster/history.h"
#include "tests/sim/cluster/sim_cluster.h"

namespace consul::sim {

// All keys of the workload are under it.
inline constexpr std::string_view kPrefix = "k/";

// One call at a time through any server, with the way there and back and a limit of patience.
class SimConnection {
 public:
  explicit SimConnection(SimCluster* cluster) : cluster_(cluster) {}

  // `done` is called once; with kUnknown when `patience` is over before an answer.
  void Call(SimServer* server, Request request, Duration patience,
            std::function<void(const Answer&)> done);

 private:
  void Finish(uint64_t number, const Answer& answer);
  Duration Way();

  SimCluster* const cluster_;
  uint64_t number_ = 0;
  std::function<void(const Answer&)> done_;  // of number_; null: it is over
};

class SimClient {
 public:
  SimClient(SimCluster* cluster, History* history, uint64_t number);

  void Begin() { Next(); }
  // Calls nothing new.
  void Stop() { stopped_ = true; }

 private:
  void Next();
  void Act();
  void Put(const std::string& key);
  void CompareAndSet(const std::string& key);
  void Delete(const std::string& key);
  void DeleteTree();
  void Collect();
  void Get(const std::string& key, Consistency consistency);
  void List(Consistency consistency);
  void Write(internal::raft::v1::Command* command, std::vector<History::Open> opens);
  void Written(const History::Open& open, const Answer& answer);
  void Read(Request request);
  void HasRead(const SimServer& server, uint64_t life, const Request& request, Moment called,
               const KvAnswer& answer);
  void CheckStale(const SimServer& server, uint64_t life, const KvAnswer& answer);
  std::string NewValue(uint64_t* number);

  SimCluster* const cluster_;
  SimWorld& world_;
  History* const history_;
  const uint64_t client_;
  SimConnection connection_;
  bool stopped_ = false;
  uint64_t values_ = 0;
  KvRows known_;  // what it has read last; absent keys have index 0
  // By server: the life in which it was asked last, and how far it was.
  std::map<raft::ServerId, std::pair<uint64_t, uint64_t>> stale_;
};

// Waits for changes of one key, or of all, again and again. It must see every state that stays: its
// server may skip some that come fast, but never waits on while there is one that it has not shown
// (ClusterChecks::OnStillWaiting). It sees none twice, and its index never goes back.
class SimWatcher {
 public:
  SimWatcher(SimCluster* cluster, History* history, std::string key, bool recurse,
             Consistency consistency);

  void Begin() { Next(); }
  // From now on patient enough that only a change ends a wait.
  void WaitForEver() { for_ever_ = true; }
  uint64_t changes() const { return changes_; }
  // Whether the last state that it saw is the one at the end of the log.
  std::string CheckEnd(const std::vector<SimServer*>& members) const;

 private:
  void Next();
  void Saw(const SimServer& server, uint64_t life, Moment called, const Answer& answer);

  SimCluster* const cluster_;
  SimWorld& world_;
  History* const history_;
  const std::string key_;
  const bool recurse_;
  const Consistency consistency_;
  SimConnection connection_;
  bool for_ever_ = false;
  SimServer* server_ = nullptr;  // stays with it while it answers
  uint64_t life_ = 0;
  KvAnswer last_;
  uint64_t changes_ = 0;
};

}  // namespace consul::sim

#endif  // CONSUL_TESTS_SIM_CLUSTER_SIM_CLIENT_H_
