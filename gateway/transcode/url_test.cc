#include "gateway/transcode/url.h"

#include <gtest/gtest.h>

#include "services/base/utf8.h"

namespace consul::gateway {
namespace {

std::string Decoded(std::string_view path) {
  std::string out;
  return DecodePath(path, &out) ? out : "malformed";
}

TEST(Url, SplitsOriginForm) {
  SplitTarget split;
  ASSERT_TRUE(Split("/a/b?c=d?e", &split));
  EXPECT_EQ(split.path, "/a/b");
  EXPECT_EQ(split.query, "c=d?e");
}
TEST(Url, SplitsAbsoluteForm) {
  SplitTarget split;
  ASSERT_TRUE(Split("http://host:80/a?b", &split));
  EXPECT_EQ(split.path, "/a");
  ASSERT_TRUE(Split("http://host?b", &split));
  EXPECT_EQ(split.path, "/");
  EXPECT_EQ(split.query, "b");
}
TEST(Url, RefusesOtherForms) {
  SplitTarget split;
  for (const char* target : {"", "*", "host:80", "a/b", "://x/"}) {
    EXPECT_FALSE(Split(target, &split)) << target;
  }
}

TEST(Url, DecodesEscapes) {
  EXPECT_EQ(Decoded("/a%2Fb%2fc+d%FF"), "/a/b/c+d\xff");
  EXPECT_EQ(Decoded("/%zz"), "malformed");
  EXPECT_EQ(Decoded("/%4"), "malformed");
  EXPECT_EQ(Decoded("/%"), "malformed");
}

TEST(Url, KnowsCleanPaths) {
  for (const char* path : {"/", "/a", "/a/", "/a/b", "/.a", "/a..", "/..."}) {
    EXPECT_TRUE(IsCleanPath(path)) << path;
    EXPECT_EQ(CleanPath(path), path);
  }
}
TEST(Url, CleansPaths) {
  EXPECT_EQ(CleanPath("//a"), "/a");
  EXPECT_EQ(CleanPath("/a//b/"), "/a/b/");
  EXPECT_EQ(CleanPath("/a/./b"), "/a/b");
  EXPECT_EQ(CleanPath("/a/../../b"), "/b");
  EXPECT_EQ(CleanPath("/.."), "/");
  EXPECT_EQ(CleanPath("//"), "/");
  for (const char* path : {"//a", "/a//", "/a/.", "/..", "/a/../b"}) {
    EXPECT_FALSE(IsCleanPath(path)) << path;
  }
}
TEST(Url, EscapesPaths) { EXPECT_EQ(EscapePath("/a b/é?&"), "/a%20b/%C3%A9%3F&"); }
TEST(Url, EscapesHtml) {
  EXPECT_EQ(EscapeHtml("<a b=\"'&'\">"), "&lt;a b=&#34;&#39;&amp;&#39;&#34;&gt;");
}

TEST(Query, SplitsAndDecodes) {
  Query query;
  ASSERT_TRUE(query.Parse("a=1&b&c=x%20y+z;a=2&&=v&d=e=f").ok());
  EXPECT_EQ(query.Find("a")->value, "1");
  EXPECT_EQ(query.Find("b")->value, "");
  EXPECT_EQ(query.Find("c")->value, "x y z");
  EXPECT_EQ(query.Find("")->value, "v");
  EXPECT_EQ(query.Find("d")->value, "e=f");
  EXPECT_EQ(query.Find("e"), nullptr);
  EXPECT_EQ(query.parameters().size(), 6u);
}
TEST(Query, NamesMalformedEscapes) {
  Query query;
  EXPECT_EQ(query.Parse("a=%ZZ").message(), "invalid URL escape \"%ZZ\"");
  EXPECT_EQ(query.Parse("a=%4").message(), "invalid URL escape \"%4\"");
}
TEST(Query, EncodesSortedByName) {
  Query query;
  ASSERT_TRUE(query.Parse("recurse&cas=1&b=%26+x").ok());
  EXPECT_EQ(query.Encode(), "b=%26+x&cas=1&recurse=");
}
TEST(Query, ForgetsWhatWasBefore) {
  Query query;
  ASSERT_TRUE(query.Parse("a").ok());
  ASSERT_TRUE(query.Parse("").ok());
  EXPECT_TRUE(query.parameters().empty());
}

TEST(Utf8, KnowsWhatIsPrintable) {
  EXPECT_TRUE(base::IsPrintable("/v1/kv/é€😀 \xff"));
  for (const char* text : {"\n", "\t", "\x7f", "\u0085", "\u00a0", "\u200b", "\u2028", "\ufeff"}) {
    EXPECT_FALSE(base::IsPrintable(text));
  }
}
TEST(Utf8, Validates) {
  EXPECT_TRUE(base::IsUtf8("aé€😀"));
  EXPECT_FALSE(base::IsUtf8("a\xc3"));
  EXPECT_FALSE(base::IsUtf8("\xed\xa0\x80"));
}

}  // namespace
}  // namespace consul::gateway
