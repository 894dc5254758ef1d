#include "services/transport/message_codec.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "consul/internal/raft/v1/transport.pb.h"
#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/base/utf8.h"
#include "services/transport/message_fields.h"
#include "services/transport/wire.h"

namespace consul::transport {

namespace {

using google::protobuf::internal::WireFormatLite;
using raft::Buffer;
using raft::Message;
using raft::ServerId;
namespace v1 = internal::raft::v1;

// Every function returns false at once when something is not as it must be.

class Reader : public google::protobuf::io::CodedInputStream {
 public:
  using CodedInputStream::CodedInputStream;
};

bool Read(Reader* in, uint64_t* value, uint64_t max = kNumberMax) {
  return in->ReadVarint64(value) && *value <= max;
}
// Chosen and understood by its sender alone, as those of proposals are.
bool Read(Reader* in, raft::ReadId* id) { return Read(in, &id->value, UINT64_MAX); }
bool Read(Reader* in, bool* value) {
  uint64_t number = 0;
  if (!Read(in, &number, 1)) return false;
  *value = number != 0;
  return true;
}
bool Read(Reader* in, raft::Term* term) { return Read(in, &term->value); }
bool Read(Reader* in, raft::Index* index) { return Read(in, &index->value); }
bool Read(Reader* in, raft::Round* round) { return Read(in, &round->value); }

// The bytes of a field; the message's own end is before that of the input.
bool Read(Reader* in, std::string* bytes, size_t max = INT_MAX) {
  uint32_t size = 0;
  if (!in->ReadVarint32(&size) || size > max) return false;
  if (static_cast<int>(size) > in->BytesUntilLimit()) return false;
  return in->ReadString(bytes, static_cast<int>(size));
}
bool Read(Reader* in, Buffer* buffer) {
  auto bytes = std::make_shared<std::string>();
  if (!Read(in, bytes.get())) return false;
  *buffer = std::move(bytes);
  return true;
}
bool ReadText(Reader* in, std::string* text) {
  return Read(in, text, kTextBytesMax) && base::IsUtf8(*text);
}

// What a message must say, or it is refused: values that stand for themselves when they are absent
// are set to what none may have (Prepare), and looked at when all fields are read (IsSound).
template <class T>
void Prepare(T*) {}
void Prepare(raft::Entry* entry) { entry->kind = raft::EntryKind{0}; }
void Prepare(raft::ProposalsPlaced* placed) { placed->status = raft::ForwardStatus{0}; }
constexpr raft::ReadMode kNoReadMode{0xff};
void Prepare(raft::ReadIndexRequest* read) { read->mode = kNoReadMode; }
constexpr raft::Lane kNoLane{0xff};
void Prepare(Hello* hello) { hello->lane = kNoLane; }

template <class T>
bool IsSound(const T&) {
  return true;
}
bool IsSound(const raft::Entry& entry) {
  if (entry.term.value == 0 || entry.index.value == 0) return false;
  if (entry.kind != raft::EntryKind::kConfiguration) return entry.kind != raft::EntryKind{0};
  return entry.payload != nullptr && raft::Configuration::Decode(*entry.payload).has_value();
}
bool IsSound(const raft::AppendRequest& append) {
  raft::Index before = append.prev_index;
  for (const raft::Entry& entry : append.entries) {
    if (entry.index != before.Next()) return false;
    before = entry.index;
  }
  return true;
}
bool IsSound(const raft::SnapshotMeta& meta) {
  return meta.index.value > 0 && meta.term.value > 0 && !meta.id.empty() &&
         meta.configuration.index <= meta.index;
}
bool IsSound(const raft::SnapshotChunk& chunk) {
  const uint64_t size = chunk.bytes == nullptr ? 0 : chunk.bytes->size();
  return !chunk.meta.id.empty() && chunk.offset <= chunk.meta.size_bytes &&
         size <= chunk.meta.size_bytes - chunk.offset;
}
bool IsSound(const raft::SnapshotReply& reply) { return !reply.id.empty(); }
bool IsSound(const raft::ProposalsPlaced& placed) {
  return placed.status != raft::ForwardStatus{0};
}
bool IsSound(const raft::ReadIndexRequest& read) { return read.mode != kNoReadMode; }
bool IsSound(const Hello& hello) {
  return !hello.from.empty() && !hello.to.empty() && hello.lane != kNoLane;
}

template <class T>
bool ReadFields(Reader* in, T* message) {
  Prepare(message);
  while (const uint32_t tag = in->ReadTag()) {
    if (!Field(in, tag, message)) return false;
  }
  return in->ConsumedEntireMessage() && IsSound(*message);
}
template <class T>
bool ReadNested(Reader* in, T* message) {
  uint32_t size = 0;
  if (!in->ReadVarint32(&size) || size > INT_MAX) return false;
  if (static_cast<int>(size) > in->BytesUntilLimit()) return false;
  const auto limit = in->PushLimit(static_cast<int>(size));
  if (!ReadFields(in, message)) return false;
  in->PopLimit(limit);
  return true;
}

// A field that a later version has, and that can be missed.
bool Skip(Reader* in, uint32_t tag) { return WireFormatLite::SkipField(in, tag); }

bool Field(Reader* in, uint32_t tag, raft::VoteRequest* vote) {
  switch (tag) {
    case VarintTag(v1::VoteRequest::kLastIndexFieldNumber): return Read(in, &vote->last_index);
    case VarintTag(v1::VoteRequest::kLastTermFieldNumber): return Read(in, &vote->last_term);
    case VarintTag(v1::VoteRequest::kPreVoteFieldNumber): return Read(in, &vote->pre_vote);
    case VarintTag(v1::VoteRequest::kTransferFieldNumber): return Read(in, &vote->transfer);
    default: return Skip(in, tag);
  }
}

bool Field(Reader* in, uint32_t tag, raft::VoteReply* vote) {
  switch (tag) {
    case VarintTag(v1::VoteReply::kPreVoteFieldNumber): return Read(in, &vote->pre_vote);
    case VarintTag(v1::VoteReply::kGrantedFieldNumber): return Read(in, &vote->granted);
    case VarintTag(v1::VoteReply::kVoteWaitNanosFieldNumber): {
      uint64_t nanos = 0;
      if (!Read(in, &nanos, kVoteWaitMax.count())) return false;
      vote->vote_wait = raft::Duration(nanos);
      return true;
    }
    default: return Skip(in, tag);
  }
}

bool Field(Reader* in, uint32_t tag, raft::Entry* entry) {
  switch (tag) {
    case VarintTag(v1::Entry::kTermFieldNumber): return Read(in, &entry->term);
    case VarintTag(v1::Entry::kIndexFieldNumber): return Read(in, &entry->index);
    case VarintTag(v1::Entry::kKindFieldNumber): {
      uint64_t kind = 0;
      if (!Read(in, &kind, v1::ENTRY_KIND_COMMAND) || kind == 0) return false;
      entry->kind = static_cast<raft::EntryKind>(kind);
      return true;
    }
    case BytesTag(v1::Entry::kPayloadFieldNumber): return Read(in, &entry->payload);
    default: return Skip(in, tag);
  }
}

bool Field(Reader* in, uint32_t tag, raft::AppendRequest* append) {
  switch (tag) {
    case VarintTag(v1::AppendRequest::kPrevIndexFieldNumber): return Read(in, &append->prev_index);
    case VarintTag(v1::AppendRequest::kPrevTermFieldNumber): return Read(in, &append->prev_term);
    case VarintTag(v1::AppendRequest::kCommitFieldNumber): return Read(in, &append->commit);
    case VarintTag(v1::AppendRequest::kRoundFieldNumber): return Read(in, &append->round);
    case BytesTag(v1::AppendRequest::kEntriesFieldNumber):
      return ReadNested(in, &append->entries.emplace_back());
    default: return Skip(in, tag);
  }
}

bool Field(Reader* in, uint32_t tag, raft::AppendReply* reply) {
  switch (tag) {
    case VarintTag(v1::AppendReply::kAcceptedFieldNumber): return Read(in, &reply->accepted);
    case VarintTag(v1::AppendReply::kMatchFieldNumber): return Read(in, &reply->match);
    case VarintTag(v1::AppendReply::kRefusedFieldNumber): return Read(in, &reply->refused);
    case VarintTag(v1::AppendReply::kHintIndexFieldNumber): return Read(in, &reply->hint_index);
    case VarintTag(v1::AppendReply::kHintTermFieldNumber): return Read(in, &reply->hint_term);
    case VarintTag(v1::AppendReply::kRoundFieldNumber): return Read(in, &reply->round);
    default: return Skip(in, tag);
  }
}

bool Field(Reader* in, uint32_t tag, raft::Heartbeat* heartbeat) {
  switch (tag) {
    case VarintTag(v1::Heartbeat::kCommitFieldNumber): return Read(in, &heartbeat->commit);
    case VarintTag(v1::Heartbeat::kRoundFieldNumber): return Read(in, &heartbeat->round);
    case VarintTag(v1::Heartbeat::kCommitTermFieldNumber):
      return Read(in, &heartbeat->commit_term);
    default: return Skip(in, tag);
  }
}

bool Field(Reader* in, uint32_t tag, raft::HeartbeatReply* reply) {
  switch (tag) {
    case VarintTag(v1::HeartbeatReply::kRoundFieldNumber): return Read(in, &reply->round);
    case VarintTag(v1::HeartbeatReply::kUnmatchedFieldNumber): return Read(in, &reply->unmatched);
    default: return Skip(in, tag);
  }
}

bool ReadConfiguration(Reader* in, raft::Configuration* configuration) {
  std::string bytes;
  if (!Read(in, &bytes)) return false;
  std::optional<raft::Configuration> decoded = raft::Configuration::Decode(bytes);
  if (!decoded.has_value()) return false;
  *configuration = *std::move(decoded);
  return true;
}

bool Field(Reader* in, uint32_t tag, raft::SnapshotMeta* meta) {
  switch (tag) {
    case VarintTag(v1::SnapshotMeta::kIndexFieldNumber): return Read(in, &meta->index);
    case VarintTag(v1::SnapshotMeta::kTermFieldNumber): return Read(in, &meta->term);
    case VarintTag(v1::SnapshotMeta::kConfigurationIndexFieldNumber):
      return Read(in, &meta->configuration.index);
    case BytesTag(v1::SnapshotMeta::kConfigurationFieldNumber):
      return ReadConfiguration(in, &meta->configuration.configuration);
    case BytesTag(v1::SnapshotMeta::kIdFieldNumber): return ReadText(in, &meta->id);
    case VarintTag(v1::SnapshotMeta::kSizeBytesFieldNumber): return Read(in, &meta->size_bytes);
    default: return Skip(in, tag);
  }
}

bool Field(Reader* in, uint32_t tag, raft::SnapshotChunk* chunk) {
  switch (tag) {
    case BytesTag(v1::SnapshotChunk::kMetaFieldNumber): return ReadNested(in, &chunk->meta);
    case VarintTag(v1::SnapshotChunk::kOffsetFieldNumber): return Read(in, &chunk->offset);
    case BytesTag(v1::SnapshotChunk::kBytesFieldNumber): return Read(in, &chunk->bytes);
    case VarintTag(v1::SnapshotChunk::kLastFieldNumber): return Read(in, &chunk->last);
    default: return Skip(in, tag);
  }
}

bool Field(Reader* in, uint32_t tag, raft::SnapshotReply* reply) {
  switch (tag) {
    case BytesTag(v1::SnapshotReply::kIdFieldNumber): return ReadText(in, &reply->id);
    case VarintTag(v1::SnapshotReply::kNextOffsetFieldNumber):
      return Read(in, &reply->next_offset);
    case VarintTag(v1::SnapshotReply::kInstalledFieldNumber): return Read(in, &reply->installed);
    case VarintTag(v1::SnapshotReply::kMatchFieldNumber): return Read(in, &reply->match);
    default: return Skip(in, tag);
  }
}

bool Field(Reader* in, uint32_t tag, raft::TimeoutNow*) { return Skip(in, tag); }

bool Field(Reader* in, uint32_t tag, raft::ForwardedProposals* forwarded) {
  switch (tag) {
    case VarintTag(v1::ForwardedProposals::kFirstIdFieldNumber):
      return Read(in, &forwarded->first_id, UINT64_MAX);
    case BytesTag(v1::ForwardedProposals::kCommandsFieldNumber):
      return Read(in, &forwarded->commands.emplace_back());
    default: return Skip(in, tag);
  }
}

bool Field(Reader* in, uint32_t tag, raft::ProposalsPlaced* placed) {
  switch (tag) {
    case VarintTag(v1::ProposalsPlaced::kFirstIdFieldNumber):
      return Read(in, &placed->first_id, UINT64_MAX);
    case VarintTag(v1::ProposalsPlaced::kCountFieldNumber): return Read(in, &placed->count);
    case VarintTag(v1::ProposalsPlaced::kStatusFieldNumber): {
      uint64_t status = 0;
      if (!Read(in, &status, v1::FORWARD_STATUS_NO_MAJORITY) || status == 0) return false;
      placed->status = static_cast<raft::ForwardStatus>(status);
      return true;
    }
    case VarintTag(v1::ProposalsPlaced::kFirstFieldNumber): return Read(in, &placed->first);
    default: return Skip(in, tag);
  }
}

bool Field(Reader* in, uint32_t tag, raft::ReadIndexRequest* read) {
  switch (tag) {
    case VarintTag(v1::ReadIndexRequest::kIdFieldNumber): return Read(in, &read->id);
    case VarintTag(v1::ReadIndexRequest::kModeFieldNumber): {
      uint64_t mode = 0;
      if (!Read(in, &mode, v1::READ_MODE_READ_INDEX) || mode == 0) return false;
      read->mode =
          mode == v1::READ_MODE_LEASE ? raft::ReadMode::kLease : raft::ReadMode::kReadIndex;
      return true;
    }
    default: return Skip(in, tag);
  }
}

bool Field(Reader* in, uint32_t tag, raft::ReadIndexReply* reply) {
  switch (tag) {
    case VarintTag(v1::ReadIndexReply::kIdFieldNumber): return Read(in, &reply->id);
    case VarintTag(v1::ReadIndexReply::kGrantedFieldNumber): return Read(in, &reply->granted);
    case VarintTag(v1::ReadIndexReply::kIndexFieldNumber): return Read(in, &reply->index);
    default: return Skip(in, tag);
  }
}

// A message whose body is known by now, or not.
struct ReadMessage {
  Message* message;
  bool has_body = false;
};

template <size_t kAlternative = 0>
bool ReadBody(Reader* in, size_t alternative, raft::Body* body) {
  if constexpr (kAlternative < std::variant_size_v<raft::Body>) {
    if (alternative == kAlternative) return ReadNested(in, &body->emplace<kAlternative>());
    return ReadBody<kAlternative + 1>(in, alternative, body);
  } else {
    return false;
  }
}

bool Field(Reader* in, uint32_t tag, ReadMessage* read) {
  if (tag == VarintTag(v1::Message::kTermFieldNumber)) return Read(in, &read->message->term);
  for (size_t i = 0; i < std::size(kBodyFields); ++i) {
    if (tag != BytesTag(kBodyFields[i])) continue;
    if (read->has_body) return false;
    read->has_body = true;
    return ReadBody(in, i, &read->message->body);
  }
  return Skip(in, tag);
}

// What comes of a batch, and whose it is.
struct ReadBatch {
  const ServerId* from;
  const ServerId* to;
  std::vector<Message> messages;
};

bool Field(Reader* in, uint32_t tag, ReadBatch* batch) {
  if (tag != BytesTag(v1::Batch::kMessagesFieldNumber)) return Skip(in, tag);
  if (batch->messages.size() == kBatchMessagesMax) return false;
  Message& message = batch->messages.emplace_back();
  message.from = *batch->from;
  message.to = *batch->to;
  ReadMessage read{&message};
  return ReadNested(in, &read) && read.has_body;
}

bool Field(Reader* in, uint32_t tag, Hello* hello) {
  switch (tag) {
    case BytesTag(v1::Hello::kClusterIdFieldNumber): return ReadText(in, &hello->cluster_id);
    case BytesTag(v1::Hello::kDatacenterFieldNumber): return ReadText(in, &hello->datacenter);
    case BytesTag(v1::Hello::kFromFieldNumber): return ReadText(in, &hello->from.value);
    case BytesTag(v1::Hello::kToFieldNumber): return ReadText(in, &hello->to.value);
    case VarintTag(v1::Hello::kLaneFieldNumber): {
      uint64_t lane = 0;
      if (!Read(in, &lane, v1::LANE_DATA) || lane == 0) return false;
      hello->lane = lane == v1::LANE_CONTROL ? raft::Lane::kControl : raft::Lane::kData;
      return true;
    }
    case VarintTag(v1::Hello::kStateVersionFieldNumber): {
      uint64_t version = 0;
      if (!Read(in, &version, UINT32_MAX)) return false;
      hello->state_version = static_cast<uint32_t>(version);
      return true;
    }
    default: return Skip(in, tag);
  }
}

// A request of one kind: its one field is read, and anything else is no such request.
template <class T>
struct Request {
  uint32_t field;
  T* message;
  bool found = false;
};

template <class T>
bool Field(Reader* in, uint32_t tag, Request<T>* request) {
  if (tag != BytesTag(request->field) || request->found) return false;
  request->found = true;
  return ReadNested(in, request->message);
}

template <class T>
bool ReadRequest(const grpc::ByteBuffer& bytes, uint32_t field, T* message) {
  Request<T> request{field, message};
  grpc::Slice slice;
  if (bytes.TrySingleSlice(&slice).ok()) {
    if (slice.size() > INT_MAX) return false;
    google::protobuf::io::ArrayInputStream stream(slice.begin(), static_cast<int>(slice.size()));
    Reader in(&stream);
    const auto limit = in.PushLimit(static_cast<int>(slice.size()));
    const bool read = ReadFields(&in, &request) && request.found;
    in.PopLimit(limit);
    return read;
  }
  if (!bytes.Valid() || bytes.Length() > INT_MAX) return false;
  grpc::ByteBuffer copy(bytes);  // of the references, for the reader wants to change them
  grpc::ProtoBufferReader stream(&copy);
  if (!stream.status().ok()) return false;
  Reader in(&stream);
  const auto limit = in.PushLimit(static_cast<int>(bytes.Length()));
  const bool read = ReadFields(&in, &request) && request.found;
  in.PopLimit(limit);
  return read;
}

}  // namespace

grpc::ByteBuffer EncodeHello(const Hello& hello) {
  return ToByteBuffer(HelloRequest{hello}, kSharedPayloadBytesMin);
}

absl::StatusOr<Hello> DecodeHello(const grpc::ByteBuffer& bytes) {
  Hello hello;
  if (!ReadRequest(bytes, v1::SendRequest::kHelloFieldNumber, &hello)) {
    return absl::InvalidArgumentError(base::StrCat(
        "the first request of a stream must be a hello, and is none: ", bytes.Length(), " bytes"));
  }
  return hello;
}

size_t MessageBytes(const Message& message) {
  Sizer sizer;
  sizer.Nested(v1::Batch::kMessagesFieldNumber, message);
  return sizer.total();
}

grpc::ByteBuffer EncodeBatch(std::span<const Message> messages) {
  CONSUL_CHECK(!messages.empty() && messages.size() <= kBatchMessagesMax);
  return ToByteBuffer(BatchRequest{{messages}}, kSharedPayloadBytesMin);
}

absl::StatusOr<std::vector<Message>> DecodeBatch(const grpc::ByteBuffer& bytes,
                                                 const ServerId& from, const ServerId& to) {
  ReadBatch batch{&from, &to, {}};
  if (!ReadRequest(bytes, v1::SendRequest::kBatchFieldNumber, &batch) || batch.messages.empty()) {
    return absl::InvalidArgumentError(
        base::StrCat("a batch of messages is malformed, or has one of an unknown kind: ",
                     bytes.Length(), " bytes"));
  }
  return std::move(batch.messages);
}

}  // namespace consul::transport
