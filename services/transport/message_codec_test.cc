// Goal: what one server encodes another one decodes to the same, in exactly the form that the
// .proto file describes; and nothing that no server sends is taken.
#include "services/transport/message_codec.h"

#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "consul/internal/raft/v1/transport.pb.h"
#include "services/transport/test_messages.h"

namespace consul::transport {
namespace {

using raft::Body;
using raft::Message;
using raft::ServerId;
namespace v1 = internal::raft::v1;

const ServerId kFrom{"a"};
const ServerId kTo{"b"};

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  grpc::ByteBuffer copy(buffer);
  EXPECT_TRUE(copy.DumpToSingleSlice(&slice).ok());
  return std::string(reinterpret_cast<const char*>(slice.begin()), slice.size());
}

// In pieces of `piece` bytes, as they may come from the network.
grpc::ByteBuffer InPieces(const std::string& bytes, size_t piece) {
  std::vector<grpc::Slice> slices;
  for (size_t at = 0; at < bytes.size(); at += piece) slices.emplace_back(bytes.substr(at, piece));
  return grpc::ByteBuffer(slices.data(), slices.size());
}

grpc::ByteBuffer Whole(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string Encoded(const std::vector<Message>& messages) {
  return BytesOf(EncodeBatch(messages));
}

absl::StatusOr<std::vector<Message>> Decoded(const v1::SendRequest& request) {
  return DecodeBatch(Whole(request.SerializeAsString()), kFrom, kTo);
}

// A request with one message, to be filled in.
struct OneMessage {
  v1::SendRequest request;
  v1::Message* message = request.mutable_batch()->add_messages();
};

void ExpectRefused(const OneMessage& one) {
  EXPECT_EQ(Decoded(one.request).status().code(), absl::StatusCode::kInvalidArgument)
      << one.request.ShortDebugString();
}

std::vector<Message> EveryMessage() {
  std::vector<Message> messages;
  uint64_t term = 1;
  for (Body& body : EveryBody()) messages.push_back({kFrom, kTo, raft::Term{term++}, body});
  return messages;
}

TEST(MessageCodecTest, EveryKindComesBackAsItWas) {
  const std::vector<Message> messages = EveryMessage();
  ASSERT_EQ(messages.size(), std::variant_size_v<Body>);
  const std::string bytes = Encoded(messages);
  for (const size_t piece : {size_t{1}, size_t{1000}, bytes.size()}) {
    const auto decoded = DecodeBatch(InPieces(bytes, piece), kFrom, kTo);
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    ASSERT_EQ(decoded->size(), messages.size());
    for (size_t i = 0; i < messages.size(); ++i) {
      EXPECT_EQ((*decoded)[i].from, kFrom);
      EXPECT_EQ((*decoded)[i].to, kTo);
      EXPECT_EQ((*decoded)[i].term, messages[i].term);
      EXPECT_EQ((*decoded)[i].body.index(), messages[i].body.index());
    }
    EXPECT_EQ(Encoded(*decoded), bytes);
  }
}

TEST(MessageCodecTest, TheBytesAreThoseOfTheProtoFile) {
  v1::SendRequest request;
  ASSERT_TRUE(request.ParseFromString(Encoded(EveryMessage())));
  const auto& messages = request.batch().messages();
  ASSERT_EQ(messages.size(), 13);
  EXPECT_EQ(request.SerializeAsString(), Encoded(EveryMessage()));
  EXPECT_EQ(messages[0].ShortDebugString(),
            "term: 1 vote_request { last_index: 3 last_term: 2 pre_vote: true transfer: true }");
  EXPECT_EQ(messages[1].ShortDebugString(),
            "term: 2 vote_reply { pre_vote: true granted: true vote_wait_nanos: 123000000 }");
  const v1::AppendRequest& append = messages[2].append_request();
  EXPECT_EQ(append.prev_index(), 8u);
  EXPECT_EQ(append.prev_term(), 6u);
  EXPECT_EQ(append.commit(), 5u);
  EXPECT_EQ(append.round(), 4u);
  ASSERT_EQ(append.entries_size(), 5);
  EXPECT_EQ(append.entries(0).ShortDebugString(),
            "term: 7 index: 9 kind: ENTRY_KIND_COMMAND payload: \"small\"");
  EXPECT_EQ(append.entries(1).payload(), std::string(100'000, 'x'));
  EXPECT_EQ(append.entries(2).kind(), v1::ENTRY_KIND_CONFIGURATION);
  EXPECT_EQ(append.entries(3).ShortDebugString(), "term: 7 index: 12 kind: ENTRY_KIND_NO_OP");
  EXPECT_EQ(messages[3].ShortDebugString(),
            "term: 4 append_reply { accepted: true match: 1 refused: 2 hint_index: 3 hint_term: 4 "
            "round: 5 }");
  EXPECT_EQ(messages[6].snapshot_chunk().meta().id(), "90-3-abc");
  EXPECT_EQ(messages[6].snapshot_chunk().bytes(), std::string(5000, 'y'));
  EXPECT_TRUE(messages[8].has_timeout_now());
  EXPECT_EQ(messages[9].forwarded_proposals().commands_size(), 3);
  EXPECT_EQ(messages[10].proposals_placed().status(), v1::FORWARD_STATUS_DISK_FULL);
  EXPECT_EQ(messages[11].read_index_request().mode(), v1::READ_MODE_LEASE);
  EXPECT_EQ(messages[12].ShortDebugString(),
            "term: 13 read_index_reply { id: 6 granted: true index: 55 }");
}

TEST(MessageCodecTest, ALargePayloadIsSentFromWhereItLies) {
  const raft::Buffer payload = raft::MakeBuffer(std::string(kSharedPayloadBytesMin, 'p'));
  raft::AppendRequest append = TestAppend("");
  append.entries.front().payload = payload;
  {
    const std::vector<Message> messages{{kFrom, kTo, raft::Term{9}, std::move(append)}};
    grpc::ByteBuffer buffer = EncodeBatch(messages);
    std::vector<grpc::Slice> slices;
    ASSERT_TRUE(buffer.Dump(&slices).ok());
    bool shared = false;
    for (const grpc::Slice& slice : slices) {
      shared |= reinterpret_cast<const char*>(slice.begin()) == payload->data();
    }
    EXPECT_TRUE(shared);
  }
  EXPECT_EQ(payload.use_count(), 1);
}

TEST(MessageCodecTest, TheSizeOfAMessageIsWhatItTakes) {
  for (const Message& message : EveryMessage()) {
    const size_t size = MessageBytes(message);
    const size_t whole = Encoded({message}).size();
    EXPECT_GT(whole, size);
    EXPECT_LE(whole, size + 5);  // the tag and length of the batch
  }
}

TEST(MessageCodecTest, AHelloComesBackAsItWas) {
  const Hello hello{"cluster", "dc1", kFrom, kTo, raft::Lane::kData};
  EXPECT_EQ(DecodeHello(EncodeHello(hello)).value(), hello);
  const Hello unknown{"", "dc1", kFrom, kTo, raft::Lane::kControl};
  EXPECT_EQ(DecodeHello(EncodeHello(unknown)).value(), unknown);
  v1::SendRequest request;
  ASSERT_TRUE(request.ParseFromString(BytesOf(EncodeHello(hello))));
  EXPECT_EQ(request.ShortDebugString(),
            "hello { cluster_id: \"cluster\" datacenter: \"dc1\" from: \"a\" to: \"b\" "
            "lane: LANE_DATA }");
}

TEST(MessageCodecTest, AHelloSaysWhatItsSenderKnows) {
  const Hello hello{"", "dc1", kFrom, kTo, raft::Lane::kData, UINT32_MAX};
  EXPECT_EQ(DecodeHello(EncodeHello(hello)).value(), hello);
  v1::SendRequest request;
  ASSERT_TRUE(request.ParseFromString(BytesOf(EncodeHello(hello))));
  EXPECT_EQ(request.hello().state_version(), UINT32_MAX);
  // That of a program from before there was such a field.
  request.mutable_hello()->clear_state_version();
  EXPECT_EQ(DecodeHello(Whole(request.SerializeAsString()))->state_version, 0u);
  // The field as a number that is none of 32 bits.
  std::string bytes = request.hello().SerializeAsString() + "\x30\xff\xff\xff\xff\x1f";
  bytes = "\x0a" + std::string(1, static_cast<char>(bytes.size())) + bytes;
  EXPECT_FALSE(DecodeHello(Whole(bytes)).ok());
}

TEST(MessageCodecTest, AHelloThatLacksWhatItMustSayIsRefused) {
  const Hello good{"cluster", "dc1", kFrom, kTo, raft::Lane::kData};
  for (int i = 0; i < 5; ++i) {
    v1::SendRequest request;
    ASSERT_TRUE(request.ParseFromString(BytesOf(EncodeHello(good))));
    v1::Hello* hello = request.mutable_hello();
    if (i == 0) hello->clear_from();
    if (i == 1) hello->clear_to();
    if (i == 2) hello->clear_lane();
    if (i == 3) hello->set_lane(static_cast<v1::Lane>(3));
    if (i == 4) hello->set_cluster_id(std::string(kTextBytesMax + 1, 'c'));
    EXPECT_EQ(DecodeHello(Whole(request.SerializeAsString())).status().code(),
              absl::StatusCode::kInvalidArgument)
        << i;
  }
  EXPECT_FALSE(DecodeHello(Whole("")).ok());
  EXPECT_FALSE(DecodeHello(EncodeBatch(EveryMessage())).ok());
}

TEST(MessageCodecTest, ABatchCutAnywhereIsRefused) {
  const std::string bytes =
      Encoded({{kFrom, kTo, raft::Term{1}, raft::Heartbeat{raft::Index{300}, raft::Round{2}}},
               {kFrom, kTo, raft::Term{1}, TestAppend("payload")}});
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(DecodeBatch(Whole(bytes.substr(0, size)), kFrom, kTo).ok()) << size;
  }
  EXPECT_TRUE(DecodeBatch(Whole(bytes), kFrom, kTo).ok());
  EXPECT_FALSE(DecodeBatch(Whole(bytes + '\0'), kFrom, kTo).ok());
  EXPECT_FALSE(DecodeBatch(EncodeHello({"", "", kFrom, kTo, raft::Lane::kData}), kFrom, kTo).ok());
}

TEST(MessageCodecTest, AMessageWithoutABodyOrOfAnUnknownKindIsRefused) {
  OneMessage none;
  none.message->set_term(3);
  ExpectRefused(none);
  // Field 31 is of a later version.
  none.message->GetReflection()->MutableUnknownFields(none.message)->AddLengthDelimited(31, "new");
  ExpectRefused(none);
  v1::SendRequest empty;
  empty.mutable_batch();
  EXPECT_FALSE(Decoded(empty).ok());
}

TEST(MessageCodecTest, AFieldOfALaterVersionIsSkipped) {
  OneMessage one;
  v1::Heartbeat* heartbeat = one.message->mutable_heartbeat();
  heartbeat->set_round(4);
  heartbeat->GetReflection()->MutableUnknownFields(heartbeat)->AddVarint(15, 7);
  const auto decoded = Decoded(one.request);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(std::get<raft::Heartbeat>(decoded->front().body).round, raft::Round{4});
}

TEST(MessageCodecTest, NumbersBeyondTheirRangeAreRefused) {
  OneMessage term;
  term.message->set_term(kNumberMax + 1);
  term.message->mutable_heartbeat();
  ExpectRefused(term);
  OneMessage index;
  index.message->mutable_heartbeat()->set_commit(kNumberMax + 1);
  ExpectRefused(index);
  OneMessage wait;
  wait.message->mutable_vote_reply()->set_vote_wait_nanos(kVoteWaitMax.count() + 1);
  ExpectRefused(wait);
  wait.message->mutable_vote_reply()->set_vote_wait_nanos(kVoteWaitMax.count());
  EXPECT_TRUE(Decoded(wait.request).ok());
}

TEST(MessageCodecTest, UnknownAndAbsentChoicesAreRefused) {
  for (const int choice : {0, 8, 1000}) {
    OneMessage placed;
    placed.message->mutable_proposals_placed()->set_status(static_cast<v1::ForwardStatus>(choice));
    ExpectRefused(placed);
    OneMessage read;
    read.message->mutable_read_index_request()->set_mode(static_cast<v1::ReadMode>(choice));
    ExpectRefused(read);
    OneMessage append;
    v1::Entry* entry = append.message->mutable_append_request()->add_entries();
    entry->set_term(1);
    entry->set_index(1);
    entry->set_kind(static_cast<v1::EntryKind>(choice));
    ExpectRefused(append);
  }
}

TEST(MessageCodecTest, EntriesThatNoLogHoldsAreRefused) {
  const auto request = [](uint64_t first, uint64_t second, uint64_t term) {
    OneMessage one;
    v1::AppendRequest* append = one.message->mutable_append_request();
    append->set_prev_index(4);
    for (const uint64_t index : {first, second}) {
      v1::Entry* entry = append->add_entries();
      entry->set_index(index);
      entry->set_term(term);
      entry->set_kind(v1::ENTRY_KIND_COMMAND);
    }
    return one;
  };
  EXPECT_TRUE(Decoded(request(5, 6, 1).request).ok());
  ExpectRefused(request(6, 7, 1));  // not behind prev_index
  ExpectRefused(request(5, 7, 1));  // a gap
  ExpectRefused(request(5, 6, 0));  // before all terms
  OneMessage configuration = request(5, 6, 1);
  v1::Entry* entry = configuration.message->mutable_append_request()->mutable_entries(0);
  entry->set_kind(v1::ENTRY_KIND_CONFIGURATION);
  ExpectRefused(configuration);
  entry->set_payload("no configuration");
  ExpectRefused(configuration);
}

TEST(MessageCodecTest, APieceOutsideItsSnapshotIsRefused) {
  const auto request = [](uint64_t offset, const std::string& id) {
    OneMessage one;
    v1::SnapshotChunk* chunk = one.message->mutable_snapshot_chunk();
    chunk->mutable_meta()->set_index(1);
    chunk->mutable_meta()->set_term(1);
    chunk->mutable_meta()->set_id(id);
    chunk->mutable_meta()->set_size_bytes(10);
    chunk->set_offset(offset);
    chunk->set_bytes("12345");
    return one;
  };
  EXPECT_TRUE(Decoded(request(5, "id").request).ok());
  ExpectRefused(request(6, "id"));
  ExpectRefused(request(11, "id"));
  ExpectRefused(request(0, ""));
  ExpectRefused(request(0, std::string(kTextBytesMax + 1, 'i')));
  OneMessage unnamed;
  unnamed.message->mutable_snapshot_reply()->set_next_offset(1);
  ExpectRefused(unnamed);
}

TEST(MessageCodecTest, ABatchHasALimitOfMessages) {
  v1::SendRequest request;
  for (size_t i = 0; i < kBatchMessagesMax; ++i) {
    request.mutable_batch()->add_messages()->mutable_timeout_now();
  }
  ASSERT_TRUE(Decoded(request).ok());
  EXPECT_EQ(Decoded(request)->size(), kBatchMessagesMax);
  request.mutable_batch()->add_messages()->mutable_timeout_now();
  EXPECT_FALSE(Decoded(request).ok());
}

}  // namespace
}  // namespace consul::transport
