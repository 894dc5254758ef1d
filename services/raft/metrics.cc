#include "services/raft/metrics.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <variant>

#include "services/base/strings.h"

namespace consul::raft {
namespace {

using base::StrCat;

double Ms(Duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

}  // namespace

RaftMetrics::RaftMetrics(base::Metrics* metrics)
    : metrics_(metrics),
      commands_(metrics->Counter("raft.apply")),
      commit_time_(metrics->Sample("raft.commitTime")),
      dispatch_(metrics->Sample("raft.leader.dispatchLog")),
      store_(metrics->Sample("raft.rpc.appendEntries.storeLogs")),
      last_contact_(metrics->Sample("raft.leader.lastContact")),
      verify_leader_(metrics->Counter("raft.verify_leader")),
      elect_self_(metrics->Sample("raft.candidate.electSelf")),
      append_entries_(metrics->Sample("raft.rpc.appendEntries")),
      process_heartbeat_(metrics->Sample("raft.rpc.processHeartbeat")),
      request_vote_(metrics->Sample("raft.rpc.requestVote")),
      install_snapshot_(metrics->Sample("raft.rpc.installSnapshot")),
      fsm_apply_(metrics->Sample("raft.fsm.apply")),
      fsm_restore_(metrics->Sample("raft.fsm.restore")),
      fsm_snapshot_(metrics->Sample("raft.fsm.snapshot")),
      take_snapshot_(metrics->Sample("raft.snapshot.takeSnapshot")),
      write_snapshot_(metrics->Sample("raft.snapshot.persist")),
      compact_logs_(metrics->Sample("raft.compactLogs")),
      dispatched_(metrics->Gauge("raft.leader.dispatchNumLogs")),
      committed_(metrics->Gauge("raft.commitNumLogs")) {}

RaftMetrics::Peer& RaftMetrics::Of(const ServerId& id) {
  const auto found = peers_.find(id);
  if (found != peers_.end()) return found->second;
  const auto series = [&](std::string_view name) {
    return StrCat("raft.replication.", name, ".", id.value);
  };
  return peers_
      .emplace(id, Peer{.heartbeat = metrics_->Sample(series("heartbeat")),
                        .append = metrics_->Sample(series("appendEntries.rpc")),
                        .entries = metrics_->Counter(series("appendEntries.logs")),
                        .round = std::nullopt,
                        .index = std::nullopt})
      .first->second;
}

void RaftMetrics::Proposed(Time now, Index last, uint64_t count) {
  commands_->Add(1, count);
  dispatched_->Set(static_cast<double>(count));
  proposed_.push_back({last, now});
}

void RaftMetrics::Committed(Time now, Index last, uint64_t count) {
  committed_->Set(static_cast<double>(count));
  while (!proposed_.empty() && proposed_.front().number <= last) {
    commit_time_->Add(Ms(now - proposed_.front().at));
    proposed_.pop_front();
  }
}

// It may have been heard in the midst of the turn that looks.
void RaftMetrics::LastContact(Duration age) {
  last_contact_->Add(Ms(std::max(age, Duration{0})));
}

void RaftMetrics::Wrote(bool leads, double ms) { (leads ? dispatch_ : store_)->Add(ms); }

// One question of a kind at a time is followed to its answer.
void RaftMetrics::Sent(Time now, const Message& message) {
  if (const auto* heartbeat = std::get_if<Heartbeat>(&message.body)) {
    Peer& peer = Of(message.to);
    if (!peer.round.has_value()) peer.round = {heartbeat->round, now};
  } else if (const auto* append = std::get_if<AppendRequest>(&message.body)) {
    if (append->entries.empty()) return;
    Peer& peer = Of(message.to);
    peer.entries->Add(static_cast<double>(append->entries.size()));
    if (!peer.index.has_value()) peer.index = {append->entries.back().index, now};
  }
}

void RaftMetrics::Received(Time now, const Message& message) {
  if (const auto* beat = std::get_if<HeartbeatReply>(&message.body)) {
    const auto found = peers_.find(message.from);
    if (found == peers_.end()) return;
    Peer& peer = found->second;
    if (!peer.round.has_value() || beat->round < peer.round->number) return;
    // A later round's answer says nothing of how long this one's took.
    if (beat->round == peer.round->number) peer.heartbeat->Add(Ms(now - peer.round->at));
    peer.round.reset();
  } else if (const auto* append = std::get_if<AppendReply>(&message.body)) {
    const auto found = peers_.find(message.from);
    if (found == peers_.end()) return;
    Peer& peer = found->second;
    if (!peer.index.has_value()) return;
    if (append->accepted && append->match < peer.index->number) return;
    if (append->accepted) peer.append->Add(Ms(now - peer.index->at));
    peer.index.reset();
  }
}

base::MetricSeries* RaftMetrics::HandlingOf(const Body& body) const {
  if (std::holds_alternative<AppendRequest>(body)) return append_entries_;
  if (std::holds_alternative<Heartbeat>(body)) return process_heartbeat_;
  if (std::holds_alternative<VoteRequest>(body)) return request_vote_;
  if (std::holds_alternative<SnapshotChunk>(body)) return install_snapshot_;
  return nullptr;
}

void RaftMetrics::Became(Time now, Role role) {
  // Another leader, or another term, makes no other follower.
  if (role == role_ && role == Role::kFollower) return;
  role_ = role;
  proposed_.clear();
  peers_.clear();
  dispatched_->Unset();
  committed_->Unset();
  switch (role) {
    case Role::kFollower:
      metrics_->Counter("raft.state.follower")->Add(1);
      candidate_since_.reset();
      break;
    case Role::kPreCandidate:
      break;
    case Role::kCandidate:
      metrics_->Counter("raft.state.candidate")->Add(1);
      candidate_since_ = now;
      break;
    case Role::kLeader:
      metrics_->Counter("raft.state.leader")->Add(1);
      // What a leader writes first: duties begin once it is applied.
      metrics_->Counter("raft.barrier")->Add(1);
      if (candidate_since_.has_value()) elect_self_->Add(Ms(now - *candidate_since_));
      candidate_since_.reset();
      break;
  }
}

void RaftMetrics::Happened(FactKind kind) {
  if (kind == FactKind::kHeartbeatTimeout) {
    metrics_->Counter("raft.transition.heartbeat_timeout")->Add(1);
  } else if (kind == FactKind::kSteppedDownNoQuorum) {
    metrics_->Counter("raft.transition.leader_lease_timeout")->Add(1);
  }
}

}  // namespace consul::raft
