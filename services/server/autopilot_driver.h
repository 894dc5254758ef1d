// services/server/autopilot_driver.h
//
// Autopilot at work on the leader: asks Autopilot (autopilot.h) every two seconds, and whenever the
// pool changes, and carries out what it says, one change at a time. It also writes what autopilot
// goes by, where nobody has yet, and answers operators how the servers are.
//
// Threads: one of its own, `autopilot`; all methods from any.
#ifndef CONSUL_SERVICES_SERVER_AUTOPILOT_DRIVER_H_
#define CONSUL_SERVICES_SERVER_AUTOPILOT_DRIVER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "consul/operators/v1/autopilot.pb.h"
#include "services/base/log.h"
#include "services/base/metrics.h"
#include "services/base/mutex.h"
#include "services/gossip/member_list.h"
#include "services/rpc/consensus.h"
#include "services/server/autopilot.h"
#include "services/server/raft_members.h"
#include "services/state/version_source.h"

namespace consul::server {

class AutopilotDriver {
 public:
  struct Options {
    std::string datacenter;
    // What it goes by until somebody says otherwise.
    operators::v1::AutopilotConfiguration initial = DefaultAutopilotConfiguration();
    raft::Duration heartbeat_interval = std::chrono::milliseconds(150);
    std::chrono::milliseconds interval = std::chrono::seconds(2);
    // While it does not lead: a pool of many members changes often, and is much to read.
    std::chrono::milliseconds meet_interval = std::chrono::milliseconds(200);
    // After a change that failed.
    std::chrono::milliseconds retry_interval = std::chrono::seconds(1);
    // The pools give up a failed member of this node name. On the autopilot thread.
    std::function<void(const std::string& name)> force_leave = [](const std::string&) {};
    // What a server's program knows of the state machine; nothing while it was not heard
    // (VoterVersions::Of).
    std::function<std::optional<uint32_t>(const raft::ServerId&)> state_version_of =
        [](const raft::ServerId&) { return std::nullopt; };
    // Whether the server may become a voter now; then the end of the change is told too
    // (VoterVersions::BeginPromotion). Refused, it is decided anew.
    std::function<bool(const raft::ServerId&)> begin_promotion = [](const raft::ServerId&) {
      return true;
    };
    std::function<void()> end_promotion = [] {};
    // Where gauges of the cluster's health are, while this server leads; outlives the driver.
    base::Metrics* metrics = nullptr;
    // CLOCK_BOOTTIME; tests have their own.
    std::function<raft::Time()> now;
  };

  // All but the options outlive it.
  AutopilotDriver(Options options, const gossip::MemberList* lan, RaftMembers* members,
                  rpc::Consensus* consensus, state::VersionSource* state, base::Logger* logger);
  ~AutopilotDriver();

  // As LeaderDuties.
  void Lead();
  void Follow();
  void MembersChanged();

  // What autopilot goes by now: of the state, or the initial one with indexes 0.
  operators::v1::AutopilotConfiguration configuration() const;
  // How the servers are at this moment; nothing where this server does not lead.
  std::optional<ClusterHealth> health();

  // No change begins from here on; does not wait for the one that is under way.
  void AskToStop();
  // Returns when the last change is over. Idempotent.
  void Stop();

 private:
  using Clock = std::chrono::steady_clock;
  enum class Role { kFollows, kBegins, kLeads };
  enum class Task { kStop, kMeet, kBegin, kWork };

  void Run();
  Task WaitForWork();
  void Meet();
  bool Over();
  AutopilotView MakeView(const RaftMembers::View& members) const;
  // Whether it is there, or was written.
  bool WriteInitial();
  // Does all that is to be done, one by one. Returns false where a change failed.
  bool Work();
  void Measure();
  bool CarryOut(const AutopilotAction& action);
  void Tell(const std::vector<std::string>& obstacles);

  const Options options_;
  const gossip::MemberList* const lan_;
  RaftMembers* const members_;
  rpc::Consensus* const consensus_;
  state::VersionSource* const state_;
  base::Logger* const logger_;

  base::Mutex mutex_;
  base::CondVar changed_;
  Role role_ GUARDED_BY(mutex_) = Role::kFollows;
  bool members_changed_ GUARDED_BY(mutex_) = false;
  bool stop_ GUARDED_BY(mutex_) = false;

  base::Mutex core_mutex_;
  Autopilot core_ GUARDED_BY(core_mutex_);

  // The autopilot thread's own.
  Clock::time_point work_at_;
  std::set<std::string> told_;  // obstacles that the log names already
  std::thread thread_;
};

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_AUTOPILOT_DRIVER_H_
