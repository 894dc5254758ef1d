// services/raft/metrics.h
//
// What one server's consensus counts and measures of itself, by the names that the reference's
// dashboards look for. docs/METRICS.md says what each means.
//
// Threads: all methods in a turn at Core (node_turn.cc); the series that are handed out add
// themselves up on any thread.
#ifndef CONSUL_SERVICES_RAFT_METRICS_H_
#define CONSUL_SERVICES_RAFT_METRICS_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>

#include "services/base/metrics.h"
#include "services/raft/core/message.h"
#include "services/raft/core/output.h"
#include "services/raft/core/types.h"

namespace consul::raft {

class RaftMetrics {
 public:
  // `metrics` outlives it.
  explicit RaftMetrics(base::Metrics* metrics);

  // Of a leader: `count` commands are in its log, the last at `last`; as many entries or more are
  // committed, up to `last`.
  void Proposed(Time now, Index last, uint64_t count);
  void Committed(Time now, Index last, uint64_t count);
  void ConsistentRead() { verify_leader_->Add(1); }
  // What a leader was told last by one of its peers is so old.
  void LastContact(Duration age);

  // A write of the log took so long.
  void Wrote(bool leads, double ms);

  // What a leader sends. Answers are looked at if they come from whom it was sent to.
  void Sent(Time now, const Message& message);
  void Received(Time now, const Message& message);
  // The series for how long it takes to work on a message; null: not looked at.
  base::MetricSeries* HandlingOf(const Body& body) const;

  void Became(Time now, Role role);
  void Happened(FactKind kind);

  base::MetricSeries* apply() const { return fsm_apply_; }
  base::MetricSeries* restore() const { return fsm_restore_; }
  base::MetricSeries* freeze() const { return fsm_snapshot_; }
  base::MetricSeries* take_snapshot() const { return take_snapshot_; }
  base::MetricSeries* write_snapshot() const { return write_snapshot_; }
  base::MetricSeries* compact_logs() const { return compact_logs_; }

 private:
  // A question that is under way, and when it left.
  template <typename Number>
  struct Asked {
    Number number;
    Time at;
  };
  struct Peer {
    base::MetricSeries* heartbeat;
    base::MetricSeries* append;
    base::MetricSeries* entries;
    std::optional<Asked<Round>> round;
    std::optional<Asked<Index>> index;
  };
  Peer& Of(const ServerId& id);

  base::Metrics* const metrics_;
  base::MetricSeries* const commands_;
  base::MetricSeries* const commit_time_;
  base::MetricSeries* const dispatch_;
  base::MetricSeries* const store_;
  base::MetricSeries* const last_contact_;
  base::MetricSeries* const verify_leader_;
  base::MetricSeries* const elect_self_;
  base::MetricSeries* const append_entries_;
  base::MetricSeries* const process_heartbeat_;
  base::MetricSeries* const request_vote_;
  base::MetricSeries* const install_snapshot_;
  base::MetricSeries* const fsm_apply_;
  base::MetricSeries* const fsm_restore_;
  base::MetricSeries* const fsm_snapshot_;
  base::MetricSeries* const take_snapshot_;
  base::MetricSeries* const write_snapshot_;
  base::MetricSeries* const compact_logs_;
  base::MetricGauge* const dispatched_;
  base::MetricGauge* const committed_;

  std::optional<Role> role_;
  // Not yet committed, ascending; of this lead.
  std::deque<Asked<Index>> proposed_;
  std::optional<Time> candidate_since_;
  std::map<ServerId, Peer> peers_;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_METRICS_H_
