#include "services/base/utf8.h"

#include <gtest/gtest.h>

namespace consul::base {
namespace {

TEST(Utf8Test, CharactersOfEachLength) {
  EXPECT_EQ(FirstCharacter("az").code, 0x61u);
  EXPECT_EQ(FirstCharacter("\u00e9z").code, 0xe9u);
  EXPECT_EQ(FirstCharacter("\u20acz").code, 0x20acu);
  EXPECT_EQ(FirstCharacter("\U0010ffffz").code, 0x10ffffu);
  EXPECT_EQ(FirstCharacter("\U0010ffffz").size, 4);
}

TEST(Utf8Test, WhatIsNotWellFormed) {
  for (const char* bytes :
       {"\x80", "\xc3", "\xc3z", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
    EXPECT_EQ(FirstCharacter(bytes).size, 0) << bytes;
    EXPECT_FALSE(IsUtf8(bytes)) << bytes;
  }
}

TEST(Utf8Test, ToUtf8TakesAwayNoMoreThanItMust) {
  EXPECT_EQ(ToUtf8(""), "");
  EXPECT_EQ(ToUtf8("a\u00e9\u20ac"), "a\u00e9\u20ac");
  EXPECT_EQ(ToUtf8("a\xff\xfez"), "a\uFFFD\uFFFDz");
  EXPECT_EQ(ToUtf8("\xe2\x82"), "\uFFFD\uFFFD");
}

TEST(Utf8Test, ControlsAndFormatCharactersAreNotPrintable) {
  EXPECT_TRUE(IsPrintable("a \u00e9\xff"));
  EXPECT_FALSE(IsPrintable("a\n"));
  EXPECT_FALSE(IsPrintable("a\u200b"));
}

}  // namespace
}  // namespace consul::base
