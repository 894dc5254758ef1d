// services/gossip/sim_pool.h
//
// A pool of Swims on a simulated network. Hosts have numbers and names; what runs on one can be
// killed, started again as the same or as another member, and looked at.
//
// Threads: none of its own; a test owns it.
// Background: services/gossip/swim.md (Tests).
#ifndef CONSUL_SERVICES_GOSSIP_SIM_POOL_H_
#define CONSUL_SERVICES_GOSSIP_SIM_POOL_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "services/gossip/sim_network.h"
#include "services/gossip/swim.h"
#include "services/gossip/swim_invariants.h"

namespace consul::gossip {

class SimPool {
 public:
  // What a host says: its output after a step, before the network acts on it.
  using Listener = std::function<void(HostId, const Output&)>;

  SimPool(SwimOptions options, uint64_t seed);
  SimPool(const SimPool&) = delete;
  SimPool& operator=(const SimPool&) = delete;
  ~SimPool();

  SimNetwork& network() { return network_; }
  SwimOptions& options() { return options_; }  // of members that start from now on
  PoolIdentity& identity() { return identity_; }
  void SetListener(Listener listener) { listener_ = std::move(listener); }
  // Checks every promise after every step; small pools can afford it.
  void WatchInvariants() { watched_ = true; }
  const SwimInvariants& invariants() const { return invariants_; }
  // A test speaks in the name of this node id.
  void Forge(const std::string& id, Incarnation incarnation) {
    invariants_.OnForged(id, incarnation);
  }

  // ---- Hosts. The first address of host n is 10.x.y.z of n, port 7946.
  HostId AddHost(std::string name);
  const std::string& name(HostId host) const { return hosts_[host.value].name; }
  // REQUIRES: there is one of that name.
  HostId host(std::string_view name) const;
  size_t size() const { return hosts_.size(); }

  // Starts a member. Its node id is the host's, which stays until RenewId.
  void Start(HostId host);
  // Its process ends without a word.
  void Kill(HostId host);
  void RenewId(HostId host) { ++hosts_[host.value].id_number; }
  void SetId(HostId host, std::string id) { hosts_[host.value].id = std::move(id); }
  void SetMemberName(HostId host, std::string name) {
    hosts_[host.value].member_name = std::move(name);
  }
  void SetMeta(HostId host, std::string meta) { hosts_[host.value].meta = std::move(meta); }
  void MoveTo(HostId host, const Endpoint& address) { network_.SetAddress(host, address); }
  bool up(HostId host) const { return hosts_[host.value].process != nullptr; }
  // REQUIRES: up(host).
  Swim& swim(HostId host);

  // Makes all hosts that are up know each other, without a packet.
  void Preload();
  // Starts a join of one to the other's address.
  void Join(HostId host, HostId to);
  // For calls from outside: what they want done is handed on at once.
  template <typename Call>
  void With(HostId host, const Call& call) {
    call(&swim(host), network_.LocalNow(host));
    network_.Pump(host);
    Observe(host);
  }

  // Whether all members that are up, and do not leave, know each other as alive, and nobody else as
  // living. Otherwise who believes what of whom.
  std::string WhyNotConverged();

 private:
  class Process;
  struct Host {
    std::string name;
    std::string member_name;  // empty: `name`
    std::string id;
    int id_number = 0;
    std::string meta;
    uint64_t life = 0;
    std::unique_ptr<Process> process;
  };

  void Observe(HostId host);

  SwimOptions options_;
  PoolIdentity identity_;
  uint64_t seed_;
  SimNetwork network_;
  std::vector<Host> hosts_;
  Listener listener_;
  bool watched_ = false;
  SwimInvariants invariants_;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_SIM_POOL_H_
