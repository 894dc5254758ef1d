// services/server/leader_duties.h
//
// What the leader does that nobody asks for: it gives the cluster its id, raises its version to
// what the programs of all voters know, turns membership into catalog entries, and lets old
// tombstones be forgotten. Begins when an entry of the leader's own term is applied, ends with its
// lead. This is the thread and the writing; what is to be written is decided by Reconcile
// (reconcile.h), Absences (absences.h), TombstoneAges (tombstone_ages.h), VoterVersions
// (voter_versions.h).
//
// Threads: one of its own, `leader`; all methods from any.
#ifndef CONSUL_SERVICES_SERVER_LEADER_DUTIES_H_
#define CONSUL_SERVICES_SERVER_LEADER_DUTIES_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/base/uuid.h"
#include "services/gossip/member_list.h"
#include "services/rpc/consensus.h"
#include "services/server/absences.h"
#include "services/server/tombstone_ages.h"
#include "services/server/voter_versions.h"
#include "services/state/version_source.h"

namespace consul::internal::raft::v1 {
class Command;
}  // namespace consul::internal::raft::v1

namespace consul::state {
class Version;
}  // namespace consul::state

namespace consul::server {

struct Correction;

class LeaderDuties {
 public:
  struct Options {
    std::string node_name;
    std::string datacenter;
    // Membership is compared in full so often, besides after each event.
    std::chrono::milliseconds reconcile_interval = std::chrono::seconds(60);
    // The same after a write that failed: long beside a write, short beside the interval.
    std::chrono::milliseconds retry_interval = std::chrono::seconds(1);
    // A node that the pool does not know, and was not told to have forgotten, is taken out of the
    // catalog after so long: its agent has had the time to be heard of by then.
    std::chrono::milliseconds absence_grace = std::chrono::minutes(5);
    // How long a tombstone is kept, and how often it is looked for old ones.
    std::chrono::milliseconds tombstone_ttl = std::chrono::minutes(15);
    std::chrono::milliseconds tombstone_grain = std::chrono::seconds(30);
    // Told on the leader thread once a lead, when the members are in the catalog.
    std::function<void()> begun = [] {};
    // The id for a cluster that has none: the one it was founded under, or one made by chance.
    std::function<std::string()> cluster_id = &base::MakeUuid;
  };

  // All outlive it.
  LeaderDuties(Options options, const gossip::MemberList* lan, rpc::Consensus* consensus,
               state::VersionSource* state, VoterVersions* versions, base::Logger* logger);
  ~LeaderDuties();

  // This server has begun to lead, and may read and write; or does not lead any more. Told again of
  // what it knows it does nothing.
  void Lead();
  void Follow();
  // The pool has changed.
  void MembersChanged();
  // What VoterVersions says may be other than it was.
  void VersionsChanged();
  // The pool has forgotten a member, of this name and generation.
  void MemberReaped(std::string name, std::string generation);

  // No write begins from here on; does not wait for the one that is under way.
  void AskToStop();
  // Ends; returns when the last write is done. Idempotent.
  void Stop();

 private:
  using Clock = std::chrono::steady_clock;
  enum class Role { kFollows, kBegins, kLeads };
  // What there is to do, taken at one moment.
  struct Work {
    bool stop = false;
    bool begin = false;
    bool reconcile = false;
    bool raise = false;
    bool collect = false;
  };

  void Run();
  Work WaitForWork();
  // Whether the lead or the agent is over: what is left to write is another's.
  bool Over();
  // Returns whether everything is written that can be.
  bool ReconcileOnce();
  // What takes those out of the catalog that the pool does not know.
  std::vector<Correction> ForgetAbsent(const state::Version& version);
  bool WriteAll(std::vector<Correction> corrections);
  bool NameCluster();
  // Raises it, or sets when to look again.
  void RaiseVersion();
  void CollectTombstones();
  // Proposes and waits; with `term` in that one alone. Logs what went wrong, unless the lead is
  // over: then it is no wonder.
  absl::Status Write(internal::raft::v1::Command* command, std::string_view subject,
                     std::optional<uint64_t> term = std::nullopt);

  const Options options_;
  const gossip::MemberList* const lan_;
  rpc::Consensus* const consensus_;
  state::VersionSource* const state_;
  VoterVersions* const versions_;
  base::Logger* const logger_;

  base::Mutex mutex_;
  base::CondVar changed_;
  Role role_ GUARDED_BY(mutex_) = Role::kFollows;
  bool members_changed_ GUARDED_BY(mutex_) = false;
  bool versions_changed_ GUARDED_BY(mutex_) = false;
  std::map<std::string, std::string> reaped_ GUARDED_BY(mutex_);  // name to generation
  bool stop_ GUARDED_BY(mutex_) = false;

  // The leader thread's own.
  Clock::time_point reconcile_at_;
  Clock::time_point raise_at_ = Clock::time_point::max();
  Clock::time_point collect_at_;
  Absences absences_;
  TombstoneAges tombstones_;
  std::thread thread_;
};

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_LEADER_DUTIES_H_
