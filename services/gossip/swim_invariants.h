// services/gossip/swim_invariants.h
//
// Watches Swims of one pool from outside and remembers the first step that breaks one of their
// promises. It keeps its own history, of every incarnation that every node id has ever had.
//
// Threads: none of its own; a test owns it.
// Background: services/gossip/swim.md (Tests).
#ifndef CONSUL_SERVICES_GOSSIP_SWIM_INVARIANTS_H_
#define CONSUL_SERVICES_GOSSIP_SWIM_INVARIANTS_H_

#include <cstdint>
#include <map>
#include <string>

#include "services/gossip/swim.h"

namespace consul::gossip {

class SwimInvariants {
 public:
  void OnStart(uint32_t host, const Swim& swim);
  void OnStop(uint32_t host) { lives_.erase(host); }
  // After Swim::PreloadForTest, which tells of nobody.
  void OnPreload(uint32_t host, const Swim& swim);
  // From now on it may be believed that `id` has had this incarnation.
  void OnForged(const std::string& id, Incarnation incarnation);
  // What a Swim wants done, before it is. `ticked`: it is the answer to Tick alone.
  void OnOutput(uint32_t host, const Swim& swim, const Output& output, bool ticked);
  // After each step of anything.
  void Check(uint32_t host, const Swim& swim);

  // What was broken first; empty: nothing. The tests assert on it after every step.
  const std::string& broken() const { return broken_; }
  uint64_t checks() const { return checks_; }

 private:
  void Break(const Swim& swim, std::string what);
  void CheckPacket(const Swim& swim, const Packet& packet, bool ticked);
  void CheckTable(const Swim& swim);
  void CheckSuspicions(const Swim& swim);

  // What a life has said of a member by Output::changes, and what it believed at its last step.
  struct Known {
    MemberPtr told;
    LifeState told_state = LifeState::kAlive;
    std::string id;  // empty: nothing was believed yet
    Incarnation incarnation;
    LifeState state = LifeState::kAlive;
  };
  struct Life {
    Incarnation incarnation;
    bool gone = false;
    std::map<std::string, Known> known;  // by name
  };

  void CheckChange(const Swim& swim, const Change& change, Life* life);
  void CheckBeliefs(const Swim& swim, Life* life);

  std::string broken_;
  uint64_t checks_ = 0;
  std::map<uint32_t, Life> lives_;              // by host
  std::map<std::string, Incarnation> highest_;  // by node id: what it said of itself
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_SWIM_INVARIANTS_H_
