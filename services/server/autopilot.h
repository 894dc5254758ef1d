// services/server/autopilot.h
//
// How the leader looks after the servers that take part in consensus: which it adds, promotes and
// removes, and which it calls healthy. A server of the pool that is new receives the log as a
// learner, and votes once it has been healthy for long enough. One that has left is removed, and so
// is one whose place another server has taken; one that has failed only while those that failed are
// the minority. One change at a time: the next one is decided when this one is in effect.
//
// A pure core: time, the pool and what consensus knows are arguments. AutopilotDriver
// (autopilot_driver.h) asks it and carries out what it says.
//
// Threads: a value of one thread.
// Background: docs/DIVERGENCE.md (D302 to D304).
#ifndef CONSUL_SERVICES_SERVER_AUTOPILOT_H_
#define CONSUL_SERVICES_SERVER_AUTOPILOT_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "consul/agent/v1/agent.pb.h"
#include "consul/operators/v1/autopilot.pb.h"
#include "services/raft/core/configuration.h"
#include "services/raft/core/types.h"
#include "services/server/server_members.h"

namespace consul::server {

// A server that has failed is dead after so long: the reference looks every ten seconds.
inline constexpr raft::Duration kFailedGrace = std::chrono::seconds(10);
// One that the pool does not know at all: a leader that has just started does not know all members
// yet (LeaderDuties::Options::absence_grace).
inline constexpr raft::Duration kUnknownGrace = std::chrono::minutes(5);
// One that was removed is not added again before: it is about to leave, or an operator removed it
// and is about to end it.
inline constexpr raft::Duration kRemovedGrace = std::chrono::seconds(30);

// What autopilot goes by until somebody says otherwise; the reference's defaults.
operators::v1::AutopilotConfiguration DefaultAutopilotConfiguration();

// What is known at one moment, on the leader.
struct AutopilotView {
  raft::Time now;
  std::chrono::system_clock::time_point wall_now;  // the same, for people
  operators::v1::AutopilotConfiguration settings;
  // A member at rest is heard so often: what is heard that late is not late.
  raft::Duration heartbeat_interval{0};
  raft::ServerId self;
  raft::Term term;
  raft::Index last_index;
  raft::Configuration configuration;
  std::vector<raft::MemberProgress> progress;
  std::vector<ServerMember> pool;
  // The cluster's version, and what the programs of those that take part know of the state machine,
  // as far as they were heard: who knows less than the cluster's does not vote.
  uint32_t cluster_version = 0;
  std::map<raft::ServerId, uint32_t> state_versions;
};

struct ServerHealth {
  raft::ServerId id;
  // Of the pool; nothing, and MEMBER_STATUS_NONE, where it has no such member.
  std::optional<ServerMember> member;
  bool leader = false;
  bool voter = false;
  bool healthy = false;
  std::optional<raft::Duration> last_contact;  // nothing: never
  raft::Term last_term;                        // the leader's once it has taken entries in it
  raft::Index last_index;
  // Healthy, or not, since then.
  raft::Time stable_since;
  std::chrono::system_clock::time_point stable_since_wall;

  agent::v1::MemberStatus status() const {
    return member.has_value() ? member->status : agent::v1::MEMBER_STATUS_NONE;
  }
};

struct ClusterHealth {
  bool healthy = false;
  // So many of the healthy voters may fail, and the rest is a majority still.
  size_t failure_tolerance = 0;
  std::vector<ServerHealth> servers;  // by id
};

// A change that the cluster needs.
struct AutopilotAction {
  raft::MembershipChange change;
  // Why, as the log says it: "adding server b (ID) as a learner".
  std::string news;
  // A failed member that the pool is to give up, too; empty: none.
  std::string force_leave;
};

struct AutopilotDecision {
  // In the order in which they are to be done. All but the first have to be decided anew.
  std::vector<AutopilotAction> actions;
  // What keeps it from doing what it should; for the log.
  std::vector<std::string> obstacles;
};

class Autopilot {
 public:
  // Another lead begins: how servers were before counts no more.
  void Clear();
  // How the pool has the servers while this one does not lead. It may lead when another id has the
  // name and the address of one that takes part, and is to know whose place that is; and when the
  // former leader was removed.
  void Meet(raft::Time now, const raft::Configuration& configuration,
            const std::vector<ServerMember>& pool);
  // How the servers are. To be asked every two seconds or so.
  const ClusterHealth& Observe(const AutopilotView& view);
  // What to do. REQUIRES: Observe was asked with this view.
  AutopilotDecision Decide(const AutopilotView& view) const;

 private:
  struct Stability {
    bool healthy = false;
    raft::Time since;
    std::chrono::system_clock::time_point since_wall;
  };
  struct Seen {
    std::string name;
    std::string address;
  };
  struct Gone {
    bool known = false;  // as one that has failed
    raft::Time since;
  };

  ServerHealth HealthOf(const AutopilotView& view, const raft::Member& member);
  void Remember(const AutopilotView& view);
  const ServerMember* ReplacementOf(const AutopilotView& view, const raft::ServerId& id) const;

  void RemoveLeft(const AutopilotView& view, AutopilotDecision* decision) const;
  void Add(const AutopilotView& view, AutopilotDecision* decision) const;
  void Promote(const AutopilotView& view, AutopilotDecision* decision) const;
  void RemoveDead(const AutopilotView& view, AutopilotDecision* decision) const;

  ClusterHealth health_;
  std::map<raft::ServerId, Stability> stability_;
  // Of servers in the pool and in the configuration: how the pool had them last.
  std::map<raft::ServerId, Seen> seen_;
  // Of servers in the configuration: since when the pool has them as failed, or not at all.
  std::map<raft::ServerId, Gone> gone_;
  std::map<raft::ServerId, raft::Time> removed_at_;
  std::optional<raft::Configuration> last_configuration_;
};

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_AUTOPILOT_H_
