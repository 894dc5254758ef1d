// services/raft/core/message.h
//
// What servers say to each other. Plain structs, one for each kind, so that a transport maps them
// to its wire form field by field; raft itself neither serialises nor sends.
//
// Threads: pure values.
// Background: services/raft/README.md (Messages).
#ifndef CONSUL_SERVICES_RAFT_CORE_MESSAGE_H_
#define CONSUL_SERVICES_RAFT_CORE_MESSAGE_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "services/raft/core/configuration.h"
#include "services/raft/core/types.h"

namespace consul::raft {

// Asks for a vote, or with `pre_vote` whether one would be given: then Message::term is the term
// that the candidate would start, and neither side has adopted it.
struct VoteRequest {
  Index last_index;
  Term last_term;
  bool pre_vote = false;
  bool transfer = false;  // asked for by TimeoutNow: exempt from the wait for a silent leader
};

// Message::term is the term asked for when granted, else the voter's own.
struct VoteReply {
  bool pre_vote = false;
  bool granted = false;
  // Of a granted pre-vote: how long the voter will still withhold a real vote, because it heard a
  // leader not long ago. A duration, since servers share no clock.
  Duration vote_wait{0};
};

// Entries that follow (prev_index, prev_term); none is a probe or news of the commit index.
struct AppendRequest {
  Index prev_index;
  Term prev_term;
  Index commit;
  Round round;
  std::vector<Entry> entries;
};

// Accepted: the follower's log is durable and equal to the leader's up to `match`.
// Refused: nothing at `prev_index` of that term; `hint_index` and `hint_term` are the follower's
// last position that may be equal (its term is at most prev_term), where the leader looks next.
struct AppendReply {
  bool accepted = false;
  Index match{};       // when accepted
  Index refused{};     // prev_index of the refused request
  Index hint_index{};  // when refused
  Term hint_term{};    // when refused
  Round round{};       // of the request
};

// The leader's word, apart from the log so that no large append delays it. `commit` never exceeds
// what the receiver has acknowledged; `commit_term` is that entry's, 0 where a program does not say
// it yet: the receiver may have begun anew meanwhile, with less on its disk, or with other entries.
struct Heartbeat {
  Index commit;
  Round round;
  Term commit_term{};
};

// `unmatched`: since its start the follower has acknowledged nothing in this term. What the leader
// has from it is an earlier life's word.
struct HeartbeatReply {
  Round round;
  bool unmatched = false;
};

// A piece of a snapshot, sent when the follower needs entries that the leader's log no longer has.
// An empty one at the snapshot's end asks whether it is still being installed.
struct SnapshotChunk {
  SnapshotMeta meta;
  uint64_t offset = 0;
  Buffer bytes;
  bool last = false;
};

// The follower holds `next_offset` bytes of snapshot `id`, and wants those that follow; where that
// is all of it, it is being installed.
// `installed`: it has the whole, durable, or needs none of it: its log is equal to the leader's up
// to `match`.
// To a leader that sends another one than is being installed: `id`, `next_offset` and `match` are
// the id, size and index of the latter.
struct SnapshotReply {
  std::string id;
  uint64_t next_offset = 0;
  bool installed = false;
  Index match{};  // when installed, or of another one than was sent
};

// Start an election at once: the leader hands over.
struct TimeoutNow {};

// ---- Between drivers. A server that does not lead serves its callers all the same: it passes
// their commands on, and asks the leader up to where it has to apply before it may answer a read.
// Core never sees these four; raft::Node takes them out.

// Commands for the leader's log, numbered by the sender from `first_id` on without a gap.
struct ForwardedProposals {
  uint64_t first_id = 0;
  std::vector<Buffer> commands;
};

// Numbers are on the wire: frozen.
enum class ForwardStatus : uint8_t {
  kPlaced = 1,  // all of them, at first, first + 1, ... with Message::term
  kNotLeader = 2,
  kTransferring = 3,
  kBusy = 4,      // a limit of what may wait
  kTooLarge = 5,  // one of them; none was taken
  kDiskFull = 6,
  kNoMajority = 7,  // has written what the leader has
};

// The answer to ForwardedProposals `first_id`: all of them are placed, or none is.
struct ProposalsPlaced {
  uint64_t first_id = 0;
  uint64_t count = 0;
  ForwardStatus status = ForwardStatus::kNotLeader;
  Index first{};  // when placed
};

// For all reads that wait at a follower: it asks again only when it has the answer.
struct ReadIndexRequest {
  ReadId id;
  ReadMode mode = ReadMode::kReadIndex;
};

// Granted: the state at or after `index` is linearizable for every read that came before the
// request was sent. Refused: ask the leader again, which this server is not (any more).
struct ReadIndexReply {
  ReadId id;
  bool granted = false;
  Index index{};  // when granted
};

using Body = std::variant<VoteRequest, VoteReply, AppendRequest, AppendReply, Heartbeat,
                          HeartbeatReply, SnapshotChunk, SnapshotReply, TimeoutNow,
                          ForwardedProposals, ProposalsPlaced, ReadIndexRequest, ReadIndexReply>;

struct Message {
  ServerId from;
  ServerId to;
  Term term;  // the sender's, but for pre-votes (see VoteRequest)
  Body body;
};

// Each peer has two connections, so that a megabyte of entries never stands before a heartbeat.
enum class Lane : uint8_t { kControl, kData };

// Messages of one lane to one peer should arrive in the order sent; nothing breaks when they do
// not.
inline Lane LaneOf(const Message& message) {
  const bool data = std::holds_alternative<AppendRequest>(message.body) ||
                    std::holds_alternative<AppendReply>(message.body) ||
                    std::holds_alternative<SnapshotChunk>(message.body) ||
                    std::holds_alternative<SnapshotReply>(message.body) ||
                    std::holds_alternative<ForwardedProposals>(message.body) ||
                    std::holds_alternative<ProposalsPlaced>(message.body);
  return data ? Lane::kData : Lane::kControl;
}

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_CORE_MESSAGE_H_
