#include "gateway/transcode/json_text.h"

#include <gtest/gtest.h>

#include <limits>

namespace consul::gateway {
namespace {

std::string Text(std::string_view text) {
  std::string out;
  AppendJsonString(text, &out);
  return out;
}
std::string Base64(std::string_view bytes) {
  std::string out;
  AppendJsonBase64(bytes, &out);
  return out;
}
std::string Double(double value) {
  std::string out;
  AppendJsonDouble(value, &out);
  return out;
}
std::string Indented(std::string_view json) {
  std::string out;
  AppendIndented(json, &out);
  return out;
}

TEST(JsonText, PlainTextStaysAsItIs) { EXPECT_EQ(Text("abc é€😀\x7f"), "\"abc é€😀\x7f\""); }
TEST(JsonText, Empty) { EXPECT_EQ(Text(""), "\"\""); }
TEST(JsonText, QuotesAndBackslashes) { EXPECT_EQ(Text("a\"b\\c"), R"("a\"b\\c")"); }
TEST(JsonText, Controls) { EXPECT_EQ(Text("\n\r\t\b\x01"), R"("\n\r\t\u0008\u0001")"); }
TEST(JsonText, Nul) { EXPECT_EQ(Text(std::string_view("\0", 1)), R"("\u0000")"); }
TEST(JsonText, HtmlCharacters) { EXPECT_EQ(Text("<&>"), R"("\u003c\u0026\u003e")"); }
TEST(JsonText, LineSeparators) { EXPECT_EQ(Text("a\u2028b\u2029c"), R"("a\u2028b\u2029c")"); }
TEST(JsonText, BytesThatAreNoUtf8) { EXPECT_EQ(Text("a\xff\xfe"), R"("a\ufffd\ufffd")"); }
TEST(JsonText, CutCharacter) { EXPECT_EQ(Text("\xe2\x82"), R"("\ufffd\ufffd")"); }
TEST(JsonText, OverlongForm) { EXPECT_EQ(Text("\xc0\x80"), R"("\ufffd\ufffd")"); }
TEST(JsonText, Surrogate) { EXPECT_EQ(Text("\xed\xa0\x80"), R"("\ufffd\ufffd\ufffd")"); }
TEST(JsonText, BeyondUnicode) { EXPECT_EQ(Text("\xf4\x90\x80\x80").size(), 2 + 4 * 6u); }

TEST(JsonText, Base64StandsInQuotes) {
  EXPECT_EQ(Base64(""), "\"\"");
  EXPECT_EQ(Base64("\xff\xfe\xfd\xfc"), "\"//79/A==\"");
}

TEST(JsonText, Integers) {
  std::string out;
  AppendJsonUint(std::numeric_limits<uint64_t>::max(), &out);
  AppendJsonInt(std::numeric_limits<int64_t>::min(), &out);
  EXPECT_EQ(out, "18446744073709551615-9223372036854775808");
}

// The texts are those of Go's strconv.
TEST(JsonText, Doubles) {
  EXPECT_EQ(Double(0), "0");
  EXPECT_EQ(Double(5), "5");
  EXPECT_EQ(Double(-1.5), "-1.5");
  EXPECT_EQ(Double(0.1), "0.1");
  EXPECT_EQ(Double(1e20), "100000000000000000000");
  EXPECT_EQ(Double(1e21), "1e+21");
  EXPECT_EQ(Double(0.000001), "0.000001");
  EXPECT_EQ(Double(1e-7), "1e-7");
  EXPECT_EQ(Double(1.25e-10), "1.25e-10");
  EXPECT_EQ(Double(std::numeric_limits<double>::infinity()), "null");
}

TEST(JsonText, IndentsMembersAndElements) {
  EXPECT_EQ(Indented(R"({"a":[1,2],"b":{"c":"d"}})"),
            "{\n    \"a\": [\n        1,\n        2\n    ],\n"
            "    \"b\": {\n        \"c\": \"d\"\n    }\n}");
}
TEST(JsonText, IndentLeavesEmptyOnesAndTextAlone) {
  EXPECT_EQ(Indented(R"([])"), "[]");
  EXPECT_EQ(Indented(R"({"a":{},"b":"{,:\"[\\"})"),
            "{\n    \"a\": {},\n    \"b\": \"{,:\\\"[\\\\\"\n}");
}

}  // namespace
}  // namespace consul::gateway
