#include "services/server/absences.h"

#include <gtest/gtest.h>

namespace consul::server {
namespace {

using namespace std::chrono_literals;
using Names = std::vector<std::string>;

constexpr Absences::Time kStart{1000s};

TEST(AbsencesTest, OnlyWhoIsMissingForTheWholeGraceIsDue) {
  Absences absences(60s);
  EXPECT_EQ(absences.Due(kStart, {"a"}), Names{});
  EXPECT_EQ(absences.Due(kStart + 30s, {"a", "b"}), Names{});
  EXPECT_EQ(absences.Due(kStart + 59s, {"a", "b"}), Names{});
  EXPECT_EQ(absences.Due(kStart + 60s, {"a", "b"}), Names{"a"});
  EXPECT_EQ(absences.Due(kStart + 90s, {"a", "b"}), (Names{"a", "b"}));
}

TEST(AbsencesTest, WhoWasBackInBetweenBeginsAnew) {
  Absences absences(60s);
  absences.Due(kStart, {"a"});
  absences.Due(kStart + 30s, {});
  EXPECT_EQ(absences.Due(kStart + 60s, {"a"}), Names{});
  EXPECT_EQ(absences.Due(kStart + 119s, {"a"}), Names{});
  EXPECT_EQ(absences.Due(kStart + 120s, {"a"}), Names{"a"});
}

TEST(AbsencesTest, AnotherLeadBeginsAnew) {
  Absences absences(60s);
  absences.Due(kStart, {"a"});
  absences.Clear();
  EXPECT_EQ(absences.Due(kStart + 100s, {"a"}), Names{});
}

}  // namespace
}  // namespace consul::server
