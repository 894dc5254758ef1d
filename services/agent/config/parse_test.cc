// Both parsers over text: the tree as JSON, or the error.
#include "services/agent/config/parse.h"

#include <string>

#include "gtest/gtest.h"
#include "services/agent/config/value.h"
#include "services/base/text_test.h"

namespace consul::agent::config {
namespace {

// "hcl" or "json" in the first line; "\n" of a line that ends in "\" is dropped, so that a text
// without a final line end can be written.
std::string RunCase(const std::string& input) {
  const size_t line_end = input.find('\n');
  const std::string language = input.substr(0, line_end);
  std::string text = input.substr(line_end + 1);
  if (text.size() >= 2 && text.substr(text.size() - 2) == "\\\n") text.resize(text.size() - 2);
  const auto value = language == "json" ? ParseJson(text, "f.json") : ParseHcl(text, "f.hcl");
  if (!value.ok()) return std::string(value.status().message()) + "\n";
  return value->ToJson() + "\n";
}

const bool kRegistered = base::RegisterTextTests(
    "ParseTest",
    {"services/agent/config/testdata/hcl.txt", "services/agent/config/testdata/json.txt"}, RunCase);

std::string ErrorOf(const absl::StatusOr<Value>& value) {
  return std::string(value.status().message());
}

std::string Repeat(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

TEST(ParseLimitsTest, HclDepth) {
  EXPECT_TRUE(ParseHcl("a = " + Repeat("[", 63) + Repeat("]", 63), "f").ok());
  EXPECT_EQ(ErrorOf(ParseHcl("a = " + Repeat("[", 64), "f")),
            "f:1:69: nested deeper than 64 levels");
  EXPECT_EQ(ErrorOf(ParseHcl(Repeat("a {", 65), "f")), "f:1:193: nested deeper than 64 levels");
  EXPECT_EQ(ErrorOf(ParseHcl(Repeat("a ", 1000) + "{}", "f")),
            "f:1:129: nested deeper than 64 levels");
}

TEST(ParseLimitsTest, JsonDepth) {
  EXPECT_TRUE(ParseJson("{\"a\":" + Repeat("[", 63) + Repeat("]", 63) + "}", "f").ok());
  EXPECT_EQ(ErrorOf(ParseJson("{\"a\":" + Repeat("[", 64) + Repeat("]", 64) + "}", "f")),
            "f:1:69: nested deeper than 64 levels");
}

TEST(ParseLimitsTest, Size) {
  const std::string large(kTextBytesMax + 1, ' ');
  EXPECT_EQ(ErrorOf(ParseHcl(large, "f")), "f: 8388609 bytes, more than the limit of 8388608");
  EXPECT_EQ(ErrorOf(ParseJson(large, "f")), "f: 8388609 bytes, more than the limit of 8388608");
  EXPECT_TRUE(ParseHcl(large.substr(1), "f")->is_null());
}

TEST(ParseLimitsTest, KeysOfAnObject) {
  std::string hcl;
  std::string json = "{";
  for (size_t i = 0; i < kObjectKeysMax; ++i) {
    hcl += "k" + std::to_string(i) + " = 1\n";
    json += "\"k" + std::to_string(i) + "\":1,";
  }
  EXPECT_TRUE(ParseHcl(hcl, "f").ok());
  EXPECT_EQ(ErrorOf(ParseHcl(hcl + "last = 1", "f")),
            "f:4097:9: more than 4096 keys in one object");
  json.back() = '}';
  EXPECT_TRUE(ParseJson(json, "f").ok());
  json.back() = ',';
  EXPECT_EQ(ErrorOf(ParseJson("{\"in\":[" + json + "\"last\":1}]}", "f")),
            "f: more than 4096 keys in one object");
}

TEST(ParseTextTest, RefusesWhatIsNotUtf8) {
  for (const char* bad :
       {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80"}) {
    EXPECT_EQ(ErrorOf(ParseHcl(std::string("a = 1\nb = \"") + bad + "\"", "f")),
              "f:2:6: not UTF-8 text");
    EXPECT_EQ(ErrorOf(ParseJson(std::string("{\"a\":\n\"") + bad + "\"}", "f")),
              "f:2:2: not UTF-8 text");
  }
  EXPECT_EQ(ParseHcl("a = \"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", "f")->ToJson(),
            "{\"a\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"}");
}

TEST(ParseTextTest, PassesOverAByteOrderMark) {
  EXPECT_EQ(ParseHcl("\xef\xbb\xbf" "a = 1", "f")->ToJson(), "{\"a\":1}");
  EXPECT_EQ(ParseJson("\xef\xbb\xbf{\"a\":1}", "f")->ToJson(), "{\"a\":1}");
}

TEST(ParseTextTest, ValuesKnowWhereTheyStand) {
  const auto value = ParseHcl("a = 1\nports {\n  http = \"x\"\n}\n", "conf.hcl");
  ASSERT_TRUE(value.ok());
  const Value* http = value->Find("ports")->Find("http");
  EXPECT_EQ(http->position.line, 3);
  EXPECT_EQ(http->position.column, 10);
  EXPECT_EQ(*http->source, "conf.hcl");
}

TEST(ParseTextTest, ACarriageReturnEndsLinesToo) {
  EXPECT_EQ(ParseHcl("a = 1\r\nb = <<E\r\nx\r\nE\r\n", "f")->ToJson(),
            "{\"a\":1,\"b\":\"x\\u000a\"}");
}

TEST(ParseTextTest, ZeroBytesAreNoText) {
  EXPECT_EQ(ErrorOf(ParseHcl(std::string_view("a\0=1", 4), "f")),
            "f:1:2: illegal character, code 0");
}

}  // namespace
}  // namespace consul::agent::config
