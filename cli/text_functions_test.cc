#include "cli/flags.h"
#include "cli/json_text.h"
#include "cli/table.h"
#include "gtest/gtest.h"

namespace consul::cli {
namespace {

TEST(TableTest, ColumnsAreAlignedAndNothingTrails) {
  EXPECT_EQ(Table({{"a", "bbb", "c"}, {"aaaa", "b", "c"}}), "a     bbb  c\naaaa  b    c\n");
  EXPECT_EQ(Table({{"a", "b"}, {"aaa"}, {"a", ""}}), "a    b\naaa\na\n");
  EXPECT_EQ(Table({}), "");
}

TEST(TableTest, WidthsAreInCharacters) {
  EXPECT_EQ(Table({{"\u00e9\u20ac", "x"}, {"abc", "y"}}), "\u00e9\u20ac   x\nabc  y\n");
}

TEST(WrapTest, BreaksAtSpaces) {
  EXPECT_EQ(Wrap("one two three", 2, 9), "  one two\n  three\n");
  EXPECT_EQ(Wrap("one two three", 2, 8), "  one\n  two\n  three\n");
  EXPECT_EQ(Wrap("averylongword x", 1, 5), " averylongword\n x\n");
  EXPECT_EQ(Wrap("", 2, 9), "");
}

TEST(JsonTest, StringsAreEscaped) {
  EXPECT_EQ(JsonString("a\"\\\n\x01\u00e9"), "\"a\\\"\\\\\\n\\u0001\u00e9\"");
}

TEST(ParseNumberTest, TakesTheBasesOfGo) {
  EXPECT_EQ(*ParseUint("0"), 0u);
  EXPECT_EQ(*ParseUint("10"), 10u);
  EXPECT_EQ(*ParseUint("0x1F"), 31u);
  EXPECT_EQ(*ParseUint("0o17"), 15u);
  EXPECT_EQ(*ParseUint("017"), 15u);
  EXPECT_EQ(*ParseUint("0b101"), 5u);
  EXPECT_EQ(*ParseUint("18446744073709551615"), 18446744073709551615u);
  EXPECT_EQ(*ParseInt("-1"), -1);
  EXPECT_EQ(*ParseInt("+7"), 7);
  EXPECT_EQ(*ParseInt("-0x10"), -16);
}

TEST(ParseNumberTest, RefusesTheRest) {
  for (const char* text :
       {"", "-", "+", "--1", "1x", " 1", "1 ", "0x", "08", "x", "1.0", "-1", "+1"}) {
    EXPECT_EQ(std::string(ParseUint(text).status().message()), "parse error") << text;
  }
  EXPECT_EQ(std::string(ParseUint("18446744073709551616").status().message()),
            "value out of range");
  EXPECT_EQ(std::string(ParseInt("9223372036854775808").status().message()), "value out of range");
}

}  // namespace
}  // namespace consul::cli
