#include "gateway/dns/message.h"

#include <gtest/gtest.h>

#include <random>

#include "gateway/dns/dump.h"
#include "gateway/dns/text_test.h"

namespace consul::gateway::dns {
namespace {

std::string_view StatusText(QueryStatus status) {
  switch (status) {
    case QueryStatus::kOk: return "ok";
    case QueryStatus::kDrop: return "drop";
    case QueryStatus::kFormErr: return "FORMERR";
    case QueryStatus::kNotImp: return "NOTIMP";
  }
  return "";
}

// The message in hex; the output is what DecodeQuery makes of it, then the dump.
std::string DecodeCase(const std::string& input) {
  const std::optional<std::vector<uint8_t>> bytes = BytesFromHex(input);
  if (!bytes) return "not hex\n";
  Query query;
  std::string out = "query " + std::string(StatusText(DecodeQuery(*bytes, &query))) + "\n";
  return out + Dump(*bytes);
}

TEST(MessageTest, Text) { RunTextTest("gateway/dns/testdata/message.txt", DecodeCase); }

std::vector<uint8_t> QueryBytes() {
  return *BytesFromHex(
      "0007 0100 0001 0000 0000 0001"
      "01 61 04 6e6f6465 06 636f6e73756c 00 0001 0001"
      "00 0029 04d0 00 00 8000 0000");
}

TEST(MessageTest, EveryPrefixOfAQueryIsRefused) {
  const std::vector<uint8_t> whole = QueryBytes();
  Query query;
  EXPECT_EQ(DecodeQuery(whole, &query), QueryStatus::kOk);
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    const QueryStatus status = DecodeQuery(std::span(whole).first(bytes), &query);
    EXPECT_EQ(status, bytes < kHeaderBytes ? QueryStatus::kDrop : QueryStatus::kFormErr) << bytes;
  }
}

TEST(MessageTest, ReadsTheEdnsRecord) {
  Query query;
  ASSERT_EQ(DecodeQuery(QueryBytes(), &query), QueryStatus::kOk);
  ASSERT_TRUE(query.edns.has_value());
  EXPECT_EQ(query.edns->udp_bytes, 1232);
  EXPECT_EQ(query.edns->version, 0);
  EXPECT_TRUE(query.edns->dnssec_ok);
}

TEST(MessageTest, ADecodedQueryLeavesNothingToTheNext) {
  Query query;
  ASSERT_EQ(DecodeQuery(QueryBytes(), &query), QueryStatus::kOk);
  std::vector<uint8_t> plain = QueryBytes();
  plain.resize(plain.size() - kOptBytes);
  plain[11] = 0;
  ASSERT_EQ(DecodeQuery(plain, &query), QueryStatus::kOk);
  EXPECT_FALSE(query.edns.has_value());
}

TEST(MessageTest, KeepsTheCaseOfTheQuestion) {
  std::vector<uint8_t> bytes = QueryBytes();
  bytes[13] = 'A';
  Query query;
  ASSERT_EQ(DecodeQuery(bytes, &query), QueryStatus::kOk);
  EXPECT_EQ(query.question.name.ToText(), "A.node.consul.");
  EXPECT_EQ(query.name_lower.ToText(), "a.node.consul.");
}

TEST(MessageTest, MoreRecordsThanTheLimitAreRefused) {
  std::vector<uint8_t> bytes = QueryBytes();
  bytes.resize(bytes.size() - kOptBytes);
  const std::vector<uint8_t> record = *BytesFromHex("00 0001 0001 00000000 0004 0a000001");
  for (int count = 1; count <= kQueryRecordsMax + 1; ++count) {
    bytes.insert(bytes.end(), record.begin(), record.end());
    bytes[11] = static_cast<uint8_t>(count);
    Query query;
    EXPECT_EQ(DecodeQuery(bytes, &query),
              count <= kQueryRecordsMax ? QueryStatus::kOk : QueryStatus::kFormErr);
  }
}

// Goal: no input makes the decoder read outside its bytes or run on. Method: seeded mutations of
// a query and random bytes, decoded and dumped from a heap block of exactly their size.
TEST(MessageTest, RandomBytesAreDecodedWithinBounds) {
  const uint64_t seed = ::testing::UnitTest::GetInstance()->random_seed();
  RecordProperty("seed", std::to_string(seed));
  std::mt19937_64 random(seed);
  int ok = 0;
  for (int i = 0; i < 50000; ++i) {
    std::vector<uint8_t> bytes = QueryBytes();
    if (i % 4 == 0) bytes.assign(random() % 300, 0);
    const int changes = i % 4 == 0 ? 300 : 1 + static_cast<int>(random() % 4);
    for (int change = 0; change < changes && !bytes.empty(); ++change) {
      bytes[random() % bytes.size()] = static_cast<uint8_t>(random());
    }
    Query query;
    if (DecodeQuery(bytes, &query) == QueryStatus::kOk) {
      ++ok;
      EXPECT_LE(query.question.name.size(), kNameBytesMax);
      EXPECT_TRUE(SameName(query.question.name.wire(), query.name_lower.wire()));
    }
    EXPECT_FALSE(Dump(bytes).empty());
  }
  EXPECT_GT(ok, 100) << "seed " << seed;
}

}  // namespace
}  // namespace consul::gateway::dns
