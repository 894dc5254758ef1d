// Snapshots: the log's base when one was taken, and their way to a follower that is too far behind.
#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/raft/core/core.h"

namespace consul::raft {

void Core::SnapshotTaken(Time now, const SnapshotMeta& meta, Index log_first) {
  Advance(now);
  CONSUL_CHECK(meta.index <= emitted_ && log_first <= meta.index.Next());
  if (meta.index < snapshot_.index) return;
  snapshot_ = meta;
  if (log_first > Index{0}) log_.Compact(log_first.Previous());
  std::erase_if(configurations_, [&meta](const PlacedConfiguration& placed) {
    return placed.index < meta.configuration.index;
  });
  CONSUL_CHECK(!configurations_.empty());
}

// ---- Leader.

void Core::StartSnapshotTransfer(const ServerId& id, Progress& peer) {
  Say(FactKind::kPeerNeedsSnapshot, id, snapshot_.index.value);
  peer.StartSnapshot(snapshot_, now_);
}

void Core::PumpSnapshot(const ServerId& id, Progress& peer) {
  Progress::SnapshotTransfer& transfer = peer.snapshot();
  if (transfer.loading || transfer.sent) return;
  transfer.loading = true;
  output_.snapshot_loads.push_back(SnapshotLoadRequest{id, transfer.meta, transfer.offset,
                                                       options_.snapshot_chunk_bytes_max});
}

void Core::SnapshotChunkLoaded(Time now, const SnapshotLoadRequest& request,
                               std::optional<Buffer> bytes) {
  Advance(now);
  Progress* peer = FindPeer(request.peer);
  if (peer == nullptr || peer->mode() != Progress::Mode::kSnapshot) return;
  Progress::SnapshotTransfer& transfer = peer->snapshot();
  if (!transfer.loading || transfer.meta.id != request.meta.id) return;
  transfer.loading = false;
  if (transfer.offset != request.offset) return;
  peer->touch(now_);
  if (!bytes.has_value()) {
    if (snapshot_.id != request.meta.id) {
      StartSnapshotTransfer(request.peer, *peer);
    } else {
      transfer.sent = true;  // the newest cannot be read: not again before an ack would be overdue
    }
    return;
  }
  const uint64_t size = *bytes == nullptr ? 0 : (*bytes)->size();
  const bool last = request.offset + size >= transfer.meta.size_bytes;
  transfer.sent = true;
  Send(request.peer, hard_state_.term,
       SnapshotChunk{transfer.meta, request.offset, *std::move(bytes), last},
       /*after_persist=*/false);
}

void Core::HandleSnapshotReply(const Message& message, const SnapshotReply& reply) {
  Progress* peer = FindPeer(message.from);
  if (peer == nullptr) return;
  if (reply.installed) return TakeAck(message.from, peer, reply.match, Round{0});
  if (peer->mode() != Progress::Mode::kSnapshot) return;
  Progress::SnapshotTransfer& transfer = peer->snapshot();
  if (transfer.meta.id != reply.id) return WaitForOther(reply, peer);
  if (reply.next_offset > transfer.meta.size_bytes) return;
  peer->touch(now_);
  // One that has nothing of it yet, or no longer, is better served with what is newest; the log
  // behind the older one need not be kept for it.
  if (reply.next_offset == 0 && snapshot_.id != transfer.meta.id) {
    return StartSnapshotTransfer(message.from, *peer);
  }
  transfer.offset = reply.next_offset;
  // All of it: it is being installed. Now and then it is asked whether it still is, by an empty
  // chunk; one that has begun anew says so.
  transfer.sent = reply.next_offset == transfer.meta.size_bytes && reply.next_offset > 0;
}

// It installs one of an earlier leader. It is asked about that from now on, as if this one had sent
// it: what it wants next is the log behind it.
void Core::WaitForOther(const SnapshotReply& reply, Progress* peer) {
  if (reply.next_offset == 0 || reply.match == Index{0} || reply.match > log_.last_index()) return;
  const Term term = log_.TermAt(reply.match).value_or(log_.base().term);
  peer->StartSnapshot({.index = reply.match,
                       .term = term,
                       .configuration = {},
                       .id = reply.id,
                       .size_bytes = reply.next_offset},
                      now_);
  peer->snapshot().offset = reply.next_offset;
  peer->snapshot().sent = true;
}

// ---- Follower.

void Core::HandleSnapshotChunk(const Message& message, SnapshotChunk& chunk) {
  if (role() == Role::kLeader || chunk.meta.index == Index{0} || chunk.meta.id.empty()) return;
  LeaderSpoke(message.from);
  if (chunk.meta.index <= commit_) {
    SnapshotReply reply{.id = chunk.meta.id, .installed = true, .match = commit_};
    matched_term_ = hard_state_.term;
    Send(message.from, hard_state_.term, std::move(reply), /*after_persist=*/true);
    return;
  }
  const bool other = !incoming_.has_value() || incoming_->meta.id != chunk.meta.id;
  if (incoming_.has_value() && incoming_->storing) return;
  if (other && incoming_.has_value() && incoming_->installing) {
    SnapshotReply reply{.id = incoming_->meta.id,
                        .next_offset = incoming_->next_offset,
                        .match = incoming_->meta.index};
    Send(message.from, hard_state_.term, std::move(reply), /*after_persist=*/false);
    return;
  }
  if (other) incoming_ = IncomingSnapshot{.meta = chunk.meta};
  // Of one that is being installed as well: a leader that knows it keeps the log behind it.
  if (incoming_->installing || chunk.offset != incoming_->next_offset) {
    SnapshotReply reply{.id = chunk.meta.id, .next_offset = incoming_->next_offset};
    Send(message.from, hard_state_.term, std::move(reply), /*after_persist=*/false);
    return;
  }
  incoming_->storing = true;
  incoming_->installing = chunk.last;
  output_.snapshot_stores.push_back(
      SnapshotStore{std::move(chunk.meta), chunk.offset, std::move(chunk.bytes), chunk.last});
}

void Core::SnapshotChunkStored(Time now, std::string_view id, uint64_t next_offset) {
  Advance(now);
  if (!incoming_.has_value() || incoming_->meta.id != id) return;
  incoming_->storing = false;
  incoming_->next_offset = next_offset;
  if (leader().empty() || role() == Role::kLeader) return;
  SnapshotReply reply{.id = incoming_->meta.id, .next_offset = next_offset};
  Send(leader(), hard_state_.term, std::move(reply), /*after_persist=*/false);
}

void Core::SnapshotRefused(Time now, std::string_view id) {
  Advance(now);
  if (!incoming_.has_value() || incoming_->meta.id != id) return;
  SnapshotReply reply{.id = incoming_->meta.id};
  incoming_.reset();
  if (leader().empty() || role() == Role::kLeader) return;
  Send(leader(), hard_state_.term, std::move(reply), /*after_persist=*/false);
}

void Core::SnapshotInstalled(Time now, const SnapshotMeta& meta) {
  Advance(now);
  CONSUL_CHECK(incoming_.has_value() && incoming_->meta.id == meta.id);
  incoming_.reset();
  CONSUL_CHECK(meta.index > emitted_);
  if (role() == Role::kPreCandidate || role() == Role::kCandidate) {
    // The votes that it counts are of an older configuration.
    BecomeFollower(hard_state_.term, ServerId{});
  }
  const LogPosition at{meta.index, meta.term};
  if (!log_.Matches(at)) {
    log_.Reset(at);
    output_.persist.entries.clear();
    output_.persist.reset_to = meta.index;
    for (PendingPersist& persist : persisting_) {
      persist.last = std::min(persist.last, meta.index);
    }
    durable_ = meta.index;
    configurations_.clear();
    configurations_.push_back(meta.configuration);
  } else {
    std::erase_if(configurations_, [&meta](const PlacedConfiguration& placed) {
      return placed.index <= meta.configuration.index;
    });
    configurations_.insert(configurations_.begin(), meta.configuration);
  }
  snapshot_ = meta;
  commit_ = std::max(commit_, meta.index);
  emitted_ = meta.index;
  applied_ = meta.index;
  Say(FactKind::kSnapshotInstalled, ServerId{}, meta.index.value);
  if (leader().empty() || role() == Role::kLeader) return;
  SnapshotReply reply{.id = meta.id, .installed = true, .match = meta.index};
  matched_term_ = hard_state_.term;
  Send(leader(), hard_state_.term, std::move(reply), /*after_persist=*/true);
}

}  // namespace consul::raft
