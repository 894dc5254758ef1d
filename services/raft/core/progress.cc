#include "services/raft/core/progress.h"

#include <algorithm>
#include <utility>

#include "services/base/check.h"

namespace consul::raft {
void Progress::Heard(Round round, Time now) {
  acked_round_ = std::max(acked_round_, round);
  heard_at_ = now;
}

bool Progress::HasRoom(uint64_t bytes_max, uint64_t requests_max) const {
  switch (mode_) {
    case Mode::kProbe:
      return !probe_sent_;
    case Mode::kReplicate:
      return in_flight_bytes_ < bytes_max && in_flight_.size() < requests_max;
    case Mode::kSnapshot:
      return false;
  }
  return false;
}

void Progress::Sent(Index last, uint64_t bytes, Time now) {
  CONSUL_CHECK(mode_ != Mode::kSnapshot);
  moved_at_ = now;
  if (last >= next_) {
    if (!owes()) awaited_since_ = now;
    sent_ = std::max(sent_, last);
  }
  if (mode_ == Mode::kProbe) {
    probe_sent_ = true;
    return;
  }
  CONSUL_CHECK(last >= next_);
  in_flight_.push_back(Request{last, bytes, now});
  in_flight_bytes_ += bytes;
  next_ = last.Next();
}

bool Progress::Accepted(Index match, Time now) {
  bool changed = match > match_;
  if (changed) awaited_since_ = now;
  match_ = std::max(match_, match);
  match_max_ = std::max(match_max_, match);
  std::optional<Time> newest;  // when it was sent
  while (!in_flight_.empty() && in_flight_.front().last <= match_) {
    in_flight_bytes_ -= in_flight_.front().bytes;
    newest = in_flight_.front().at;
    in_flight_.pop_front();
    changed = true;
  }
  // The others may have waited for an ack that was lost, or for the peer to go on.
  if (newest.has_value()) ack_time_.Add(now - *newest);
  if (mode_ == Mode::kSnapshot) {
    if (match_ >= snapshot_->meta.index) EndSnapshot(match_, now);
  } else if (mode_ == Mode::kProbe && match.Next() >= next_) {
    mode_ = Mode::kReplicate;
    next_ = match.Next();
    probe_sent_ = false;
    changed = true;
  } else if (mode_ == Mode::kReplicate) {
    next_ = std::max(next_, match.Next());
  }
  if (changed) moved_at_ = now;
  return changed;
}

bool Progress::Refused(Index refused, Index retry, Time now) {
  switch (mode_) {
    case Mode::kSnapshot:
      return false;
    case Mode::kReplicate:
      if (refused < match_) return false;
      // At match_ itself the peer has lost what it acknowledged: then look below, as in a probe.
      StartProbe(refused == match_ ? std::max(Index{1}, std::min(refused, retry))
                                   : std::max(match_.Next(), retry),
                 now);
      return true;
    case Mode::kProbe:
      if (refused.Next() != next_) return false;
      StartProbe(std::max(Index{1}, std::min(refused, retry)), now);
      return true;
  }
  return false;
}

bool Progress::Vouched(Round round, Index index) {
  if (!doubt_.has_value() || round < doubt_->since) return false;
  const Index before = counted();
  doubt_->vouched = std::max(doubt_->vouched, index);
  if (doubt_->vouched >= match_) doubt_.reset();
  return counted() > before;
}

void Progress::BeganAnew(Index next, Time now) {
  ForgetMatch(now);
  if (mode_ != Mode::kSnapshot) StartProbe(next, now);
}

void Progress::StartProbe(Index next, Time now) {
  mode_ = Mode::kProbe;
  next_ = next;
  probe_sent_ = false;
  in_flight_.clear();
  in_flight_bytes_ = 0;
  snapshot_.reset();
  moved_at_ = now;
  // It refuses what it acknowledged. Where its log parts from ours now is a guess until it has
  // accepted something: until then it is not counted on for anything.
  if (next <= match_) ForgetMatch(now);
}

void Progress::ForgetMatch(Time now) {
  match_ = Index{0};
  if (doubt_.has_value()) doubt_->vouched = Index{0};
  awaited_since_ = now;
}

void Progress::StartSnapshot(SnapshotMeta meta, Time now) {
  StartProbe(std::max(next_, match_.Next()), now);
  mode_ = Mode::kSnapshot;
  snapshot_ = SnapshotTransfer{.meta = std::move(meta)};
}

void Progress::EndSnapshot(Index index, Time now) {
  CONSUL_CHECK(mode_ == Mode::kSnapshot);
  StartProbe(std::max(index, match_).Next(), now);
}

}  // namespace consul::raft
