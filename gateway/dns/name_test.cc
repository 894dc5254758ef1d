#include "gateway/dns/name.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace consul::gateway::dns {
namespace {

Name N(std::string_view text) {
  const std::optional<Name> name = Name::FromText(text);
  EXPECT_TRUE(name.has_value()) << text;
  return name.value_or(Name());
}

std::vector<uint8_t> AfterHeader(const std::vector<uint8_t>& bytes) {
  std::vector<uint8_t> message(kHeaderBytes, 0);
  message.insert(message.end(), bytes.begin(), bytes.end());
  return message;
}

// Reads the name at `offset` behind the header; "" when it is refused.
std::string Read(const std::vector<uint8_t>& bytes, size_t offset = 0, size_t* end = nullptr) {
  const std::vector<uint8_t> message = AfterHeader(bytes);
  size_t at = kHeaderBytes + offset;
  Name name;
  if (!ReadName(message, &at, &name)) return "";
  if (end != nullptr) *end = at - kHeaderBytes;
  return name.ToText();
}

TEST(NameTest, TextRoundTrip) {
  for (const char* text : {".", "consul.", "Web-1.node.DC1.consul.", "a.b.c.d.e.", "\\000\\255.x.",
                           "dot\\.ted.node.", "back\\\\slash.", "sp\\032ace."}) {
    EXPECT_EQ(N(text).ToText(), text);
  }
}

TEST(NameTest, LastDotIsOptional) { EXPECT_EQ(N("a.b").ToText(), "a.b."); }

TEST(NameTest, BadTextIsRefused) {
  for (const char* text : {"", "..", "a..b", ".a", "a\\", "a\\1", "a\\12", "a\\256"}) {
    EXPECT_FALSE(Name::FromText(text).has_value()) << text;
  }
}

TEST(NameTest, Rfc1035LabelOf63BytesIsTheLongest) {
  EXPECT_TRUE(Name::FromText(std::string(63, 'a')).has_value());
  EXPECT_FALSE(Name::FromText(std::string(64, 'a')).has_value());
}

TEST(NameTest, Rfc1035NameOf255BytesIsTheLongest) {
  const std::string label = std::string(63, 'a') + ".";
  const std::string three = label + label + label;
  EXPECT_EQ(N(three + std::string(61, 'b')).size(), 255u);
  EXPECT_FALSE(Name::FromText(three + std::string(62, 'b')).has_value());
}

TEST(NameTest, AppendKeepsWithinTheLimit) {
  Name name = N(std::string(63, 'a') + "." + std::string(63, 'b'));
  const Name copy = name;
  EXPECT_TRUE(name.Append(copy.wire().size() == 129 ? N(std::string(63, 'c')) : Name()));
  EXPECT_FALSE(name.Append(copy));
  EXPECT_EQ(name.size(), 193u);
}

TEST(NameTest, AppendLabelRefusesEmptyAndLong) {
  Name name;
  EXPECT_FALSE(name.AppendLabel(""));
  EXPECT_FALSE(name.AppendLabel(std::string(64, 'x')));
  EXPECT_TRUE(name.root());
  EXPECT_TRUE(name.AppendLabel("x"));
  EXPECT_EQ(name.ToText(), "x.");
}

TEST(NameTest, Rfc4343CaseIsIgnoredForLettersOnly) {
  EXPECT_TRUE(SameName(N("FoO.BAR").wire(), N("foo.bar").wire()));
  EXPECT_FALSE(SameName(N("a[").wire(), N("a{").wire()));
  EXPECT_FALSE(SameName(N("a@").wire(), N("a`").wire()));
}

TEST(NameTest, ToLowerKeepsLengths) {
  Name name = N(std::string(63, 'Q') + ".Z@[");
  name.ToLower();
  EXPECT_EQ(name.ToText(), std::string(63, 'q') + ".z@[.");
}

TEST(NameTest, FindSuffixAtLabelsOnly) {
  EXPECT_EQ(FindSuffix(N("a.node.consul"), N("CONSUL")), 7u);
  EXPECT_EQ(FindSuffix(N("consul"), N("consul")), 0u);
  EXPECT_EQ(FindSuffix(N("a.myconsul"), N("consul")), std::nullopt);
  EXPECT_EQ(FindSuffix(N("consul"), N("a.consul")), std::nullopt);
  EXPECT_EQ(FindSuffix(N("a.b"), N(".")), 4u);
}

TEST(NameTest, LabelBytesThatLookLikeASuffixAreNot) {
  // The label "x\006consul" ends in the bytes of the name "consul.", but inside a label.
  EXPECT_EQ(FindSuffix(N("x\\006consul"), N("consul")), std::nullopt);
}

TEST(NameTest, ReadsLabelsAndMovesBehindThem) {
  size_t end = 0;
  EXPECT_EQ(Read({1, 'a', 2, 'b', 'c', 0, 99}, 0, &end), "a.bc.");
  EXPECT_EQ(end, 6u);
}

TEST(NameTest, Rfc1035PointerEndsTheName) {
  size_t end = 0;
  EXPECT_EQ(Read({1, 'a', 0, 1, 'b', 0xc0, kHeaderBytes, 99}, 3, &end), "b.a.");
  EXPECT_EQ(end, 7u);
}

TEST(NameTest, PointerToItselfIsRefused) { EXPECT_EQ(Read({0xc0, kHeaderBytes}), ""); }

TEST(NameTest, PointersInALoopAreRefused) {
  EXPECT_EQ(Read({1, 'a', 0xc0, kHeaderBytes + 4, 1, 'b', 0xc0, kHeaderBytes}, 4), "");
}

TEST(NameTest, PointerIntoItsOwnLabelsIsRefused) {
  EXPECT_EQ(Read({1, 'a', 0xc0, kHeaderBytes}), "");
  EXPECT_EQ(Read({3, 1, 'a', 0, 0xc0, kHeaderBytes + 1}), "");
}

TEST(NameTest, PointerForwardsIsRefused) {
  EXPECT_EQ(Read({0xc0, kHeaderBytes + 2, 1, 'a', 0}), "");
}

TEST(NameTest, PointerIntoTheHeaderIsRefused) { EXPECT_EQ(Read({0xc0, 0}), ""); }

TEST(NameTest, PointerBeyondTheMessageIsRefused) { EXPECT_EQ(Read({0xff, 0xff}), ""); }

TEST(NameTest, NameCutAtTheEndIsRefused) {
  EXPECT_EQ(Read({}), "");
  EXPECT_EQ(Read({1}), "");
  EXPECT_EQ(Read({1, 'a'}), "");
  EXPECT_EQ(Read({5, 'a', 0}), "");
  EXPECT_EQ(Read({0xc0}), "");
}

TEST(NameTest, Rfc6891ReservedLabelTypesAreRefused) {
  EXPECT_EQ(Read({0x41, 'a', 0}), "");
  EXPECT_EQ(Read({0x80, 'a', 0}), "");
}

TEST(NameTest, PointersCannotMakeANameOver255Bytes) {
  // Each block is a label of 63 bytes that continues with the block before it.
  std::vector<uint8_t> bytes = {0};
  size_t previous = kHeaderBytes;
  size_t start = 0;
  for (int i = 0; i < 4; ++i) {
    start = bytes.size();
    bytes.push_back(63);
    bytes.insert(bytes.end(), 63, 'a');
    bytes.push_back(static_cast<uint8_t>(0xc0 | previous >> 8));
    bytes.push_back(static_cast<uint8_t>(previous));
    previous = kHeaderBytes + start;
    EXPECT_EQ(Read(bytes, start).empty(), i == 3) << i;
  }
}

}  // namespace
}  // namespace consul::gateway::dns
