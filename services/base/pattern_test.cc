#include "services/base/pattern.h"

#include <gtest/gtest.h>

#include <string>

#include "services/base/strings.h"

namespace consul::base {
namespace {

std::string ErrorOf(std::string_view text) {
  return std::string(ToStd(Pattern::Compile(text).status().message()));
}

TEST(PatternTest, MatchesAnywhere) {
  const auto pattern = Pattern::Compile("eb[0-9]+$");
  ASSERT_TRUE(pattern.ok());
  EXPECT_TRUE(pattern->Matches("web12"));
  EXPECT_FALSE(pattern->Matches("web"));
  EXPECT_TRUE(Pattern::Compile("")->Matches("anything"));
}

TEST(PatternTest, ErrorsAreGoS) {
  EXPECT_EQ(ErrorOf("("), "error parsing regexp: missing closing ): `(`");
  EXPECT_EQ(ErrorOf("a)"), "error parsing regexp: unexpected ): `a)`");
  EXPECT_EQ(ErrorOf("[a"), "error parsing regexp: missing closing ]: `[a`");
  EXPECT_EQ(ErrorOf("*"), "error parsing regexp: missing argument to repetition operator: `*`");
  EXPECT_EQ(ErrorOf("(?<n>a)"), "error parsing regexp: invalid or unsupported Perl syntax: `(?<`");
}

TEST(PatternTest, TooLongIsRefused) {
  EXPECT_TRUE(Pattern::Compile(std::string(Pattern::kBytesMax, 'a')).ok());
  EXPECT_EQ(ErrorOf(std::string(Pattern::kBytesMax + 1, 'a')),
            "error parsing regexp: it is 1025 bytes long, the limit is 1024");
}

// What takes other engines time without end, or the stack.
TEST(PatternTest, HostileExpressionsAreHarmless) {
  const auto nested = Pattern::Compile("(a*)*b");
  ASSERT_TRUE(nested.ok());
  EXPECT_FALSE(nested->Matches(std::string(10'000, 'a')));
  EXPECT_EQ(Pattern::Compile("((a{100}){100}){100}").ok(), false);
  const std::string deep = std::string(511, '(') + "a" + std::string(511, ')');
  (void)Pattern::Compile(deep);
}

}  // namespace
}  // namespace consul::base
