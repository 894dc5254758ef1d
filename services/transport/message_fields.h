// services/transport/message_fields.h
//
// Of every message that is sent: its fields, in the order of their numbers. `Out` is a Sizer or a
// Writer, which find these functions by their own namespace.
//
// Threads: pure functions.
// Background: services/transport/README.md (The wire).
#ifndef CONSUL_SERVICES_TRANSPORT_MESSAGE_FIELDS_H_
#define CONSUL_SERVICES_TRANSPORT_MESSAGE_FIELDS_H_

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>
#include <variant>

#include "consul/internal/raft/v1/transport.pb.h"
#include "services/raft/core/message.h"
#include "services/transport/message_codec.h"
#include "services/transport/wire.h"

namespace consul::transport {

// What a request and a batch are here.
struct HelloRequest {
  const Hello& hello;
};
struct Batch {
  std::span<const raft::Message> messages;
};
struct BatchRequest {
  Batch batch;
};

namespace fields = internal::raft::v1;


template <class Out>
void Put(Out* out, const raft::VoteRequest& vote) {
  out->Number(fields::VoteRequest::kLastIndexFieldNumber, vote.last_index.value);
  out->Number(fields::VoteRequest::kLastTermFieldNumber, vote.last_term.value);
  out->Number(fields::VoteRequest::kPreVoteFieldNumber, vote.pre_vote);
  out->Number(fields::VoteRequest::kTransferFieldNumber, vote.transfer);
}

template <class Out>
void Put(Out* out, const raft::VoteReply& vote) {
  const auto wait = std::clamp<raft::Duration>(vote.vote_wait, raft::Duration{0}, kVoteWaitMax);
  out->Number(fields::VoteReply::kPreVoteFieldNumber, vote.pre_vote);
  out->Number(fields::VoteReply::kGrantedFieldNumber, vote.granted);
  out->Number(fields::VoteReply::kVoteWaitNanosFieldNumber, static_cast<uint64_t>(wait.count()));
}

template <class Out>
void Put(Out* out, const raft::Entry& entry) {
  out->Number(fields::Entry::kTermFieldNumber, entry.term.value);
  out->Number(fields::Entry::kIndexFieldNumber, entry.index.value);
  out->Number(fields::Entry::kKindFieldNumber, static_cast<uint64_t>(entry.kind));
  if (entry.payload_bytes() > 0) out->Payload(fields::Entry::kPayloadFieldNumber, entry.payload);
}

template <class Out>
void Put(Out* out, const raft::AppendRequest& append) {
  out->Number(fields::AppendRequest::kPrevIndexFieldNumber, append.prev_index.value);
  out->Number(fields::AppendRequest::kPrevTermFieldNumber, append.prev_term.value);
  out->Number(fields::AppendRequest::kCommitFieldNumber, append.commit.value);
  out->Number(fields::AppendRequest::kRoundFieldNumber, append.round.value);
  for (const raft::Entry& entry : append.entries) {
    out->Nested(fields::AppendRequest::kEntriesFieldNumber, entry);
  }
}

template <class Out>
void Put(Out* out, const raft::AppendReply& reply) {
  out->Number(fields::AppendReply::kAcceptedFieldNumber, reply.accepted);
  out->Number(fields::AppendReply::kMatchFieldNumber, reply.match.value);
  out->Number(fields::AppendReply::kRefusedFieldNumber, reply.refused.value);
  out->Number(fields::AppendReply::kHintIndexFieldNumber, reply.hint_index.value);
  out->Number(fields::AppendReply::kHintTermFieldNumber, reply.hint_term.value);
  out->Number(fields::AppendReply::kRoundFieldNumber, reply.round.value);
}

template <class Out>
void Put(Out* out, const raft::Heartbeat& heartbeat) {
  out->Number(fields::Heartbeat::kCommitFieldNumber, heartbeat.commit.value);
  out->Number(fields::Heartbeat::kRoundFieldNumber, heartbeat.round.value);
  out->Number(fields::Heartbeat::kCommitTermFieldNumber, heartbeat.commit_term.value);
}

template <class Out>
void Put(Out* out, const raft::HeartbeatReply& reply) {
  out->Number(fields::HeartbeatReply::kRoundFieldNumber, reply.round.value);
  out->Number(fields::HeartbeatReply::kUnmatchedFieldNumber, reply.unmatched);
}

template <class Out>
void Put(Out* out, const raft::SnapshotMeta& meta) {
  out->Number(fields::SnapshotMeta::kIndexFieldNumber, meta.index.value);
  out->Number(fields::SnapshotMeta::kTermFieldNumber, meta.term.value);
  out->Number(fields::SnapshotMeta::kConfigurationIndexFieldNumber, meta.configuration.index.value);
  out->Text(fields::SnapshotMeta::kConfigurationFieldNumber,
            meta.configuration.configuration.Encode());
  out->Text(fields::SnapshotMeta::kIdFieldNumber, meta.id);
  out->Number(fields::SnapshotMeta::kSizeBytesFieldNumber, meta.size_bytes);
}

template <class Out>
void Put(Out* out, const raft::SnapshotChunk& chunk) {
  out->Nested(fields::SnapshotChunk::kMetaFieldNumber, chunk.meta);
  out->Number(fields::SnapshotChunk::kOffsetFieldNumber, chunk.offset);
  out->Payload(fields::SnapshotChunk::kBytesFieldNumber, chunk.bytes);
  out->Number(fields::SnapshotChunk::kLastFieldNumber, chunk.last);
}

template <class Out>
void Put(Out* out, const raft::SnapshotReply& reply) {
  out->Text(fields::SnapshotReply::kIdFieldNumber, reply.id);
  out->Number(fields::SnapshotReply::kNextOffsetFieldNumber, reply.next_offset);
  out->Number(fields::SnapshotReply::kInstalledFieldNumber, reply.installed);
  out->Number(fields::SnapshotReply::kMatchFieldNumber, reply.match.value);
}

template <class Out>
void Put(Out*, const raft::TimeoutNow&) {}

template <class Out>
void Put(Out* out, const raft::ForwardedProposals& forwarded) {
  out->Number(fields::ForwardedProposals::kFirstIdFieldNumber, forwarded.first_id);
  for (const raft::Buffer& command : forwarded.commands) {
    out->Payload(fields::ForwardedProposals::kCommandsFieldNumber, command);
  }
}

template <class Out>
void Put(Out* out, const raft::ProposalsPlaced& placed) {
  out->Number(fields::ProposalsPlaced::kFirstIdFieldNumber, placed.first_id);
  out->Number(fields::ProposalsPlaced::kCountFieldNumber, placed.count);
  out->Number(fields::ProposalsPlaced::kStatusFieldNumber, static_cast<uint64_t>(placed.status));
  out->Number(fields::ProposalsPlaced::kFirstFieldNumber, placed.first.value);
}

template <class Out>
void Put(Out* out, const raft::ReadIndexRequest& read) {
  out->Number(fields::ReadIndexRequest::kIdFieldNumber, read.id.value);
  out->Number(fields::ReadIndexRequest::kModeFieldNumber, read.mode == raft::ReadMode::kLease
                                                          ? fields::READ_MODE_LEASE
                                                          : fields::READ_MODE_READ_INDEX);
}

template <class Out>
void Put(Out* out, const raft::ReadIndexReply& reply) {
  out->Number(fields::ReadIndexReply::kIdFieldNumber, reply.id.value);
  out->Number(fields::ReadIndexReply::kGrantedFieldNumber, reply.granted);
  out->Number(fields::ReadIndexReply::kIndexFieldNumber, reply.index.value);
}

// The field of each alternative, in the order of raft::Body.
inline constexpr uint32_t kBodyFields[] = {
    fields::Message::kVoteRequestFieldNumber,     fields::Message::kVoteReplyFieldNumber,
    fields::Message::kAppendRequestFieldNumber,   fields::Message::kAppendReplyFieldNumber,
    fields::Message::kHeartbeatFieldNumber,       fields::Message::kHeartbeatReplyFieldNumber,
    fields::Message::kSnapshotChunkFieldNumber,   fields::Message::kSnapshotReplyFieldNumber,
    fields::Message::kTimeoutNowFieldNumber,      fields::Message::kForwardedProposalsFieldNumber,
    fields::Message::kProposalsPlacedFieldNumber, fields::Message::kReadIndexRequestFieldNumber,
    fields::Message::kReadIndexReplyFieldNumber,
};
static_assert(std::size(kBodyFields) == std::variant_size_v<raft::Body>);

template <class Out>
void Put(Out* out, const raft::Message& message) {
  out->Number(fields::Message::kTermFieldNumber, message.term.value);
  std::visit([&](const auto& body) { out->Nested(kBodyFields[message.body.index()], body); },
             message.body);
}

template <class Out>
void Put(Out* out, const Batch& batch) {
  for (const raft::Message& message : batch.messages) {
    out->Nested(fields::Batch::kMessagesFieldNumber, message);
  }
}

template <class Out>
void Put(Out* out, const BatchRequest& request) {
  out->Nested(fields::SendRequest::kBatchFieldNumber, request.batch);
}

template <class Out>
void Put(Out* out, const Hello& hello) {
  out->Text(fields::Hello::kClusterIdFieldNumber, hello.cluster_id);
  out->Text(fields::Hello::kDatacenterFieldNumber, hello.datacenter);
  out->Text(fields::Hello::kFromFieldNumber, hello.from.value);
  out->Text(fields::Hello::kToFieldNumber, hello.to.value);
  out->Number(fields::Hello::kLaneFieldNumber,
              hello.lane == raft::Lane::kControl ? fields::LANE_CONTROL : fields::LANE_DATA);
  out->Number(fields::Hello::kStateVersionFieldNumber, hello.state_version);
}

template <class Out>
void Put(Out* out, const HelloRequest& request) {
  out->Nested(fields::SendRequest::kHelloFieldNumber, request.hello);
}

}  // namespace consul::transport

#endif  // CONSUL_SERVICES_TRANSPORT_MESSAGE_FIELDS_H_
