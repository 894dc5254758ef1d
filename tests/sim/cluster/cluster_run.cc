#include "tests/sim/cluster/cluster_run.h"

#include <algorithm>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "services/base/strings.h"
#include "tests/sim/cluster/history.h"
#include "tests/sim/cluster/sim_client.h"
#include "tests/sim/cluster/sim_cluster.h"
#include "tests/sim/cluster/sim_faults.h"

namespace consul::sim {
namespace {

using base::StrCat;

// Within which a cluster without faults has a leader, takes a write through each of its members,
// and all of them have applied the same.
constexpr Duration kRecoveryMax = std::chrono::seconds(20);

std::vector<std::string> Keys(size_t count) {
  std::vector<std::string> keys;
  for (size_t i = 0; i < count; ++i) keys.push_back(StrCat(kPrefix, "key", i));
  return keys;
}

class Run {
 public:
  explicit Run(const SimOptions& options)
      : history_(Keys(options.keys)), cluster_(options), faults_(&cluster_) {
    for (size_t i = 0; i < options.clients; ++i) {
      clients_.emplace_back(&cluster_, &history_, i + 1);
    }
    for (size_t i = 0; i < options.watchers; ++i) {
      const bool recurse = world().Chance(0.5);
      watchers_.emplace_back(&cluster_, &history_,
                             recurse ? std::string(kPrefix) : world().Choose(history_.keys()),
                             recurse,
                             world().Chance(0.7) ? Consistency::kDefault : Consistency::kStale);
    }
  }

  // The end of a server answers those who wait for it, while they are there.
  ~Run() {
    for (const auto& server : cluster_.servers()) server->Stop(base::Unsynced::kKept);
  }

  RunResult Go() {
    cluster_.RunFor(Milliseconds(500));
    for (SimClient& client : clients_) client.Begin();
    for (SimWatcher& watcher : watchers_) watcher.Begin();
    faults_.Begin();
    cluster_.RunFor(cluster_.options().faults_for);
    faults_.End();
    if (cluster_.sound()) Recover();
    if (cluster_.sound()) CheckEnd();
    return Result();
  }

 private:
  SimWorld& world() { return cluster_.world(); }

  void Recover() {
    const TrueTime begin = world().now();
    for (SimClient& client : clients_) client.Stop();
    for (SimWatcher& watcher : watchers_) watcher.WaitForEver();
    while (cluster_.sound() && !Recovered()) {
      if (world().now() - begin > kRecoveryMax) {
        return cluster_.checks().Break(StrCat("no recovery: ", why_));
      }
      Probe();
      cluster_.RunFor(Milliseconds(50));
    }
    recovery_ = world().now() - begin;
    // Calls that were under way end, watchers see the last of it.
    cluster_.RunFor(std::chrono::seconds(9));
  }

  // Writes through each member, until one write through each is done.
  void Probe() {
    if (probing_) return;
    for (SimServer* server : cluster_.Members()) {
      if (std::find(probed_.begin(), probed_.end(), server) != probed_.end()) continue;
      internal::raft::v1::Command command;
      command.set_min_version(1);
      command.mutable_kv_put()->set_key("probe");
      command.mutable_kv_put()->set_value(StrCat(world().steps()));
      Request request;
      request.command = command.SerializeAsString();
      probing_ = true;
      probe_.Call(server, std::move(request), std::chrono::seconds(1),
                  [this, server](const Answer& answer) {
                    probing_ = false;
                    if (answer.outcome == Answer::Outcome::kDone) probed_.push_back(server);
                  });
      return;
    }
  }

  bool Recovered() {
    const std::vector<SimServer*> members = cluster_.Members();
    why_ = "no leader";
    if (members.empty()) return false;
    for (const SimServer* member : members) {
      why_ = StrCat(member->id().value, " has taken no write");
      if (std::find(probed_.begin(), probed_.end(), member) == probed_.end()) return false;
      why_ = StrCat(member->id().value, " is not up to date");
      const raft::Index last = cluster_.leader()->core().last_index();
      if (!member->up() || member->core().applied_index() != last) return false;
    }
    return true;
  }

  void CheckEnd() {
    ClusterChecks& checks = cluster_.checks();
    if (!Recovered()) return checks.Break(StrCat("not at rest in the end: ", why_));
    for (const SimWatcher& watcher : watchers_) {
      const std::string missed = watcher.CheckEnd(cluster_.Members());
      if (!missed.empty()) return checks.Break(missed);
    }
    const std::string violated = history_.Check();
    if (!violated.empty()) checks.Break(violated);
  }

  RunResult Result() {
    // A run that was broken early may have a history that is none, which says more to a reader.
    RunResult result;
    result.broken = cluster_.checks().broken();
    result.trace = world().TraceText();
    result.steps = world().steps();
    result.operations = history_.operations();
    result.unknown = history_.unknown();
    for (const SimWatcher& watcher : watchers_) result.changes += watcher.changes();
    result.entries = cluster_.checks().reference().applied_index();
    if (SimServer* leader = cluster_.leader()) result.terms = leader->core().term().value;
    result.stops = faults_.stops();
    result.recovery = recovery_;
    return result;
  }

  History history_;
  SimCluster cluster_;
  SimFaults faults_;
  std::deque<SimClient> clients_;
  std::deque<SimWatcher> watchers_;
  SimConnection probe_{&cluster_};
  bool probing_ = false;
  std::vector<const SimServer*> probed_;
  std::string why_;
  Duration recovery_{0};
};

}  // namespace

RunResult RunCluster(const SimOptions& options) { return Run(options).Go(); }

}  // namespace consul::sim
