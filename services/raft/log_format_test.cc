#include "services/raft/log_format.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace consul::raft {
namespace {

constexpr uint64_t kSalt = 0x0123456789abcdef;

std::string Group(GroupSequence sequence, const std::vector<Record>& records) {
  GroupBuilder builder;
  builder.Clear();
  for (const Record& record : records) builder.Add(record, kSalt);
  return std::string(builder.Finish(sequence, kSalt));
}

std::string Parse(const std::string& group, std::vector<Record>* records, uint64_t salt = kSalt) {
  const auto header = DecodeGroupHeader(group, salt);
  if (!header.has_value()) return "no header";
  uint64_t bad_offset = 0;
  return ParseGroupBody(*header, std::string_view(group).substr(kGroupHeaderBytes), salt, records,
                        &bad_offset);
}

TEST(LogFormatTest, SegmentHeadersComeBack) {
  const SegmentHeader header{.number = 7, .salt = kSalt, .size_bytes = 64 << 20};
  const std::string page = EncodeSegmentHeader(header);
  EXPECT_EQ(page.size(), kSegmentHeaderBytes);
  EXPECT_EQ(DecodeSegmentHeader(page), header);
}

TEST(LogFormatTest, EveryByteOfASegmentHeaderIsCovered) {
  const std::string page = EncodeSegmentHeader({.number = 7, .salt = kSalt, .size_bytes = 8192});
  for (size_t i = 0; i < page.size(); ++i) {
    std::string bad = page;
    bad[i] = static_cast<char>(bad[i] ^ 4);
    EXPECT_FALSE(DecodeSegmentHeader(bad).has_value()) << i;
  }
  EXPECT_FALSE(DecodeSegmentHeader(page.substr(1)).has_value());
}

TEST(LogFormatTest, GroupsComeBack) {
  const std::string group = Group({3}, {{RecordKind::kCommand, Index{5}, Term{2}, "payload"},
                                        {RecordKind::kNoOp, Index{6}, Term{2}, ""},
                                        {RecordKind::kHardState, Index{0}, Term{9}, "server"}});
  EXPECT_EQ(group.size() % kLogAlignment, 0u);
  std::vector<Record> records;
  EXPECT_EQ(Parse(group, &records), "");
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0].payload, "payload");
  EXPECT_EQ(records[0].index, Index{5});
  EXPECT_EQ(records[1].kind, RecordKind::kNoOp);
  EXPECT_EQ(records[2].term, Term{9});
}

// The bytes are frozen: a change here is a new kLogFormatVersion.
TEST(LogFormatTest, TheBytesAreFrozen) {
  const std::string group = Group({3}, {{RecordKind::kCommand, Index{5}, Term{2}, "abc"}});
  static constexpr char kHex[] = "0123456789abcdef";
  std::string hex;
  for (const char c : group) {
    hex.push_back(kHex[static_cast<unsigned char>(c) >> 4]);
    hex.push_back(kHex[static_cast<unsigned char>(c) & 15]);
  }
  EXPECT_EQ(hex,
            "21477270dc6f46c0"                  // magic, crc
            "03000000000000002000000001000000"  // sequence 3, 32 bytes, 1 record
            "c021685c03000003"                  // crc, length 3, kind 3
            "05000000000000000200000000000000"  // index 5, term 2
            "6162630000000000");                // payload, padding
}

TEST(LogFormatTest, EveryFlippedBitOfAGroupShows) {
  const std::string group = Group({3}, {{RecordKind::kCommand, Index{5}, Term{2}, "payload"},
                                        {RecordKind::kCommand, Index{6}, Term{2}, "x"}});
  std::vector<Record> records;
  for (size_t i = 0; i < group.size() * 8; ++i) {
    std::string bad = group;
    bad[i / 8] = static_cast<char>(bad[i / 8] ^ (1 << (i % 8)));
    EXPECT_NE(Parse(bad, &records), "") << i;
  }
}

TEST(LogFormatTest, AnotherSegmentsGroupIsNotTaken) {
  const std::string group = Group({3}, {{RecordKind::kNoOp, Index{5}, Term{2}, ""}});
  EXPECT_FALSE(DecodeGroupHeader(group, kSalt + 1).has_value());
}

TEST(LogFormatTest, AMarkIsAHeaderWithoutBody) {
  const std::string mark = EncodeGroupHeader({{4}, 0, 0}, kSalt);
  EXPECT_EQ(mark.size(), kGroupHeaderBytes);
  EXPECT_EQ(DecodeGroupHeader(mark, kSalt)->body_bytes, 0u);
}

TEST(LogFormatTest, LaterGroupsAreFoundAndOthersNot) {
  std::string bytes(40, 'x');
  bytes += EncodeGroupHeader({{4}, 0, 0}, kSalt);
  EXPECT_EQ(FindLaterGroup(bytes, 0, {3}, kSalt), 40u);
  EXPECT_EQ(FindLaterGroup(bytes, 0, {4}, kSalt), std::nullopt);
  EXPECT_EQ(FindLaterGroup(bytes, 48, {3}, kSalt), std::nullopt);
  EXPECT_EQ(FindLaterGroup(bytes, 0, {3}, kSalt + 1), std::nullopt);
}

TEST(LogFormatTest, ZerosAreCounted) {
  std::string bytes(10'000, '\0');
  EXPECT_EQ(CountZeros(bytes), 10'000u);
  bytes[9000] = 'x';
  EXPECT_EQ(CountZeros(bytes), 9000u);
  EXPECT_EQ(CountZeros(""), 0u);
}

TEST(LogFormatTest, ABuilderIsUsedAgainAndGivesItsBufferBack) {
  GroupBuilder builder;
  builder.Clear();
  builder.Add({RecordKind::kCommand, Index{1}, Term{1}, std::string(100'000, 'x')}, kSalt);
  EXPECT_GT(builder.size_bytes(), 100'000u);
  builder.ShrinkTo(1000);
  builder.Clear();
  builder.Add({RecordKind::kNoOp, Index{1}, Term{1}, ""}, kSalt);
  std::vector<Record> records;
  EXPECT_EQ(Parse(std::string(builder.Finish({1}, kSalt)), &records), "");
  EXPECT_EQ(records.size(), 1u);
}

}  // namespace
}  // namespace consul::raft
