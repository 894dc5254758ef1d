// services/raft/core/progress.h
//
// What a leader knows of one other server: how far its log is known to be equal, what to send next,
// what is under way. Probing finds where the logs agree with one request at a time; replicating
// streams ahead of the acks within a limit of bytes; a snapshot goes when the log no longer reaches
// back far enough.
//
// Threads: pure value type; raft::Core owns it.
// Background: services/raft/README.md (Replication).
#ifndef CONSUL_SERVICES_RAFT_CORE_PROGRESS_H_
#define CONSUL_SERVICES_RAFT_CORE_PROGRESS_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>

#include "services/raft/core/configuration.h"
#include "services/raft/core/smoothed_time.h"
#include "services/raft/core/types.h"

namespace consul::raft {

class Progress {
 public:
  enum class Mode : uint8_t { kProbe, kReplicate, kSnapshot };

  // A snapshot on its way: one chunk at a time, loaded, sent, acknowledged.
  struct SnapshotTransfer {
    SnapshotMeta meta;
    uint64_t offset = 0;
    bool loading = false;
    bool sent = false;
  };

  Progress(Index next, Time now)
      : next_(next), heard_at_(now), moved_at_(now), awaited_since_(now) {}

  Mode mode() const { return mode_; }
  // Durable there and equal to ours up to here, as far as it has said. Begins anew where it refuses
  // what it had acknowledged: it has lost its disk, or the refusal is an old one and the next probe
  // makes it good. And where its process has begun anew: it may have lost its disk.
  Index match() const { return match_; }
  // How much of that may count for what is committed: since Doubt, what it has said anew.
  Index counted() const { return doubt_.has_value() ? doubt_->vouched : match_; }
  // The newest round when it first acknowledged something, or did so anew: who was asked in a later
  // one knows that it did.
  Round matched_round() const { return matched_round_; }
  void set_matched_round(Round round) { matched_round_ = round; }
  Index match_max() const { return match_max_; }  // the highest it ever was
  Index next() const { return next_; }    // the next entry to send
  uint64_t in_flight_bytes() const { return in_flight_bytes_; }
  size_t in_flight_requests() const { return in_flight_.size(); }
  bool probe_sent() const { return probe_sent_; }
  Time moved_at() const { return moved_at_; }  // when something was last sent anew or acknowledged

  // Was sent entries that it has not acknowledged.
  bool owes() const { return match_ < sent_; }
  // Of those: since when it has acknowledged nothing more. An accepted probe is no such word: who
  // writes nothing accepts empty ones for ever.
  Time awaited_since() const { return awaited_since_; }

  Round acked_round() const { return acked_round_; }
  Time heard_at() const { return heard_at_; }
  void Heard(Round round, Time now);

  bool loading() const { return loading_; }
  void set_loading(bool loading) { loading_ = loading; }

  // The commit index that the peer was told last.
  Index commit_told() const { return commit_told_; }
  void set_commit_told(Index commit) { commit_told_ = commit; }
  // Up to where it waits to be told at once.
  Index commit_wanted() const { return commit_wanted_; }
  void WantCommit(Index index) { commit_wanted_ = std::max(commit_wanted_, index); }

  // Until when what it is not needed for is kept from it, entries and what is committed; max:
  // nothing is.
  Time spared_until() const { return spared_until_; }
  void SpareUntil(Time at) { spared_until_ = std::min(spared_until_, at); }
  void SpareNothing() { spared_until_ = Time::max(); }

  // How long its acks of entries take; or how long it has owed one, if that is more.
  Duration ack_time(Time now) const {
    return owes() ? std::max(ack_time_.value(), now - awaited_since_) : ack_time_.value();
  }

  // Removed from the configuration by the entry at this index; dropped once it has heard of it.
  std::optional<Index> leaving() const { return leaving_; }
  void set_leaving(std::optional<Index> index) { leaving_ = index; }

  // May another request of entries leave?
  bool HasRoom(uint64_t bytes_max, uint64_t requests_max) const;
  // A request with entries next() to `last` of `bytes` left. An empty one while probing: last =
  // next - 1.
  void Sent(Index last, uint64_t bytes, Time now);
  // Returns whether match moved or the mode changed.
  bool Accepted(Index match, Time now);
  // Its process may have ended, and begin anew with less on its disk: what it acknowledged counts
  // again when it has answered something that it was sent in `round` or later.
  void Doubt(Round round) { doubt_ = Doubted{round, Index{0}}; }
  // It has what it acknowledged up to `index`, as it answered to something of `round`. Returns
  // whether more counts than before.
  bool Vouched(Round round, Index index);
  // It is known to have lost what it acknowledged. An ack of what it was sent before `round` may be
  // of its former life.
  void set_acks_from(Round round) { acks_from_ = round; }
  Round acks_from() const { return acks_from_; }
  // Forgets what it acknowledged; probes for `next`, unless it gets a snapshot.
  void BeganAnew(Index next, Time now);
  // `refused` is the request's prev_index, `retry` where to look next. Returns false when it is old
  // news.
  bool Refused(Index refused, Index retry, Time now);
  // When entries were last sent; nothing: not since it was last silent.
  std::optional<Time> tried_at() const { return tried_at_; }
  void Tried(Time now) { tried_at_ = now; }
  // It may have been away, and take now what it did not before.
  void TryAgain() { tried_at_.reset(); }

  // The answer to a probe is overdue: send it again.
  void ProbeAgain() { probe_sent_ = false; }
  void touch(Time now) { moved_at_ = now; }

  void StartSnapshot(SnapshotMeta meta, Time now);
  // REQUIRES: mode is kSnapshot.
  SnapshotTransfer& snapshot() { return *snapshot_; }
  const SnapshotTransfer& snapshot() const { return *snapshot_; }
  // Leaves kSnapshot for a probe after `index`.
  void EndSnapshot(Index index, Time now);

 private:
  struct Request {
    Index last;
    uint64_t bytes;
    Time at;
  };
  struct Doubted {
    Round since;
    Index vouched;
  };
  void StartProbe(Index next, Time now);
  void ForgetMatch(Time now);

  Mode mode_ = Mode::kProbe;
  Index match_;
  Index match_max_;
  Round matched_round_;
  Round acks_from_;
  std::optional<Doubted> doubt_;
  Index next_;
  Index sent_;  // the last entry that it was ever sent
  bool probe_sent_ = false;
  bool loading_ = false;
  std::deque<Request> in_flight_;  // ascending
  uint64_t in_flight_bytes_ = 0;
  Round acked_round_;
  Time heard_at_;
  Time moved_at_;
  Time awaited_since_;
  std::optional<Time> tried_at_;
  Index commit_told_;
  Index commit_wanted_;
  Time spared_until_ = Time::max();
  SmoothedTime ack_time_;
  std::optional<Index> leaving_;
  std::optional<SnapshotTransfer> snapshot_;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_CORE_PROGRESS_H_
