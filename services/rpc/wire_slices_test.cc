#include "services/rpc/wire_slices.h"

#include <string>
#include <vector>

#include "consul/kv/v1/kv.pb.h"
#include "gtest/gtest.h"
#include "services/rpc/grpc_bytes.h"

namespace consul::rpc {
namespace {

struct Encoded {
  std::string bytes;
  size_t slices = 0;
};

Encoded Encode(const google::protobuf::Message& message, size_t slice_bytes) {
  WireSlices slices(message);
  Encoded encoded;
  size_t before = 0;
  for (bool whole = false; !whole; ++encoded.slices) {
    whole = slices.Add(slice_bytes);
    if (!whole && encoded.slices > 0) EXPECT_GE(slices.size() - before, slice_bytes);
    before = slices.size();
  }
  const size_t size = slices.size();
  grpc::ByteBuffer taken = slices.Take();
  EXPECT_EQ(taken.Length(), size);
  std::vector<grpc::Slice> parts;
  EXPECT_TRUE(taken.Dump(&parts).ok());
  for (const grpc::Slice& part : parts) {
    encoded.bytes.append(reinterpret_cast<const char*>(part.begin()), part.size());
  }
  return encoded;
}

kv::v1::ListResponse Entries(int count) {
  kv::v1::ListResponse response;
  response.mutable_meta()->set_index(7);
  response.mutable_meta()->set_known_leader(true);
  for (int i = 0; i < count; ++i) {
    auto* const entry = response.add_entries();
    entry->set_key("key/" + std::to_string(i));
    entry->set_value(std::string(static_cast<size_t>(i) % 300, 'v'));
    entry->set_flags(static_cast<uint64_t>(i));
  }
  return response;
}

// The fields stand in the order of their numbers, so the bytes are those of protobuf itself.
TEST(WireSlicesTest, TogetherTheyAreTheMessage) {
  for (const int count : {0, 1, 2, 1000}) {
    const kv::v1::ListResponse response = Entries(count);
    for (const size_t bytes : {size_t{1}, size_t{4096}, size_t{1} << 30}) {
      EXPECT_EQ(Encode(response, bytes).bytes, response.SerializeAsString()) << count;
    }
  }
}

TEST(WireSlicesTest, AListOfTextsAsWell) {
  kv::v1::ListKeysResponse response;
  response.mutable_meta()->set_index(7);
  for (int i = 0; i < 1000; ++i) response.add_keys(std::string(static_cast<size_t>(i), 'k'));
  EXPECT_EQ(Encode(response, 4096).bytes, response.SerializeAsString());
}

TEST(WireSlicesTest, AMessageWithoutAListIsOneSlice) {
  kv::v1::GetResponse response;
  response.mutable_entry()->set_key("key");
  EXPECT_EQ(Encode(response, 1).bytes, response.SerializeAsString());
  EXPECT_EQ(Encode(response, 1).slices, 1u);
  EXPECT_EQ(Encode(kv::v1::GetResponse(), 1).bytes, "");
}

TEST(WireSlicesTest, ASliceEndsBehindTheElementThatFillsIt) {
  const kv::v1::ListResponse response = Entries(100);
  EXPECT_EQ(Encode(response, 1).slices, 100u);
  const size_t size = response.ByteSizeLong();
  const size_t slices = Encode(response, 1000).slices;
  EXPECT_LE(slices, size / 1000 + 1);
  EXPECT_GE(slices, size / 1400);
}

TEST(WireSlicesTest, ElementsOfAllListsAreCounted) {
  EXPECT_EQ(WireSlices::CountElements(Entries(3)), 3u);
  EXPECT_EQ(WireSlices::CountElements(kv::v1::GetResponse()), 0u);
}

}  // namespace
}  // namespace consul::rpc
