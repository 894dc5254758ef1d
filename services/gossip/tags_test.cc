#include "services/gossip/tags.h"

#include <gtest/gtest.h>

namespace consul::gossip {
namespace {

std::string Encoded(Tags tags) { return EncodeMeta({std::move(tags), {1, 1, 1}}).value(); }

TEST(TagsTest, TagsComeBackInTheirOwnOrder) {
  const MemberMeta meta{{{"role", "consul"}, {"dc", "dc1"}, {"build", ""}}, {1, 3, 2}};
  EXPECT_EQ(DecodeMeta(EncodeMeta(meta).value()).value(), meta);
}

TEST(TagsTest, NoBytesAreNoTags) {
  EXPECT_EQ(DecodeMeta("").value(), MemberMeta{});
}

TEST(TagsTest, WhatIsTooLargeIsAnErrorThatNamesSizeAndLimit) {
  // 6 bytes are the versions, 3 the frame of the tag, 3 its key, 3 the frame of its value.
  const Tags fits = {{"k", std::string(512 - 15, 'x')}};
  EXPECT_EQ(Encoded(fits).size(), 512u);
  const auto over = EncodeMeta({{{"k", std::string(512 - 14, 'x')}}, {1, 1, 1}});
  EXPECT_EQ(over.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(std::string(over.status().message()),
            "Encoded length of tags is 513 bytes, the limit is 512 bytes");
}

TEST(TagsTest, KeysAreThereOnceAndNotEmpty) {
  EXPECT_EQ(std::string(EncodeMeta({{{"", "v"}}, {1, 1, 1}}).status().message()),
            "A tag has an empty key");
  EXPECT_EQ(std::string(EncodeMeta({{{"a", "1"}, {"a", "2"}}, {1, 1, 1}}).status().message()),
            "Tag a is given twice");
  EXPECT_EQ(std::string(EncodeMeta({{{"a", "\xff"}}, {1, 1, 1}}).status().message()),
            "A tag is not valid UTF-8");
}

TEST(TagsTest, BytesThatNobodyMakesAreRefused) {
  EXPECT_FALSE(DecodeMeta("\xff\xff").ok());
  EXPECT_FALSE(DecodeMeta(std::string(513, 'a')).ok());
  // The same key twice, joined from two encodings.
  EXPECT_FALSE(DecodeMeta(Encoded({{"a", "1"}}) + Encoded({{"a", "2"}})).ok());
  const auto versions = DecodeMeta(std::string_view("\x10\x02\x18\x02\x20\x01", 6));
  EXPECT_EQ(std::string(versions.status().message()), "speaks version 1, understands 2 to 2");
  EXPECT_EQ(std::string(DecodeMeta(std::string("\x10\x00", 2)).status().message()),
            "speaks version 0, understands 0 to 0");
}

TEST(TagsTest, AValueIsFoundByItsKey) {
  const Tags tags = {{"role", "consul"}, {"dc", "dc1"}};
  EXPECT_EQ(TagValue(tags, "dc"), "dc1");
  EXPECT_EQ(TagValue(tags, "d"), "");
}

}  // namespace
}  // namespace consul::gossip
