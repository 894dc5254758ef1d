#include "services/base/duration.h"

#include <limits>
#include <random>

#include "gtest/gtest.h"

namespace consul::base {
namespace {

using std::chrono::nanoseconds;

nanoseconds Parsed(std::string_view text) {
  const auto value = ParseDuration(text);
  EXPECT_TRUE(value.ok()) << text << ": " << value.status();
  return value.value_or(nanoseconds(-1));
}

std::string ErrorOf(std::string_view text) {
  const auto value = ParseDuration(text);
  EXPECT_EQ(value.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(value.status().message());
}

TEST(DurationTest, ReadsEveryUnit) {
  EXPECT_EQ(Parsed("3ns"), nanoseconds(3));
  EXPECT_EQ(Parsed("3us"), std::chrono::microseconds(3));
  EXPECT_EQ(Parsed("3\u00b5s"), std::chrono::microseconds(3));
  EXPECT_EQ(Parsed("3\u03bcs"), std::chrono::microseconds(3));
  EXPECT_EQ(Parsed("3ms"), std::chrono::milliseconds(3));
  EXPECT_EQ(Parsed("3s"), std::chrono::seconds(3));
  EXPECT_EQ(Parsed("3m"), std::chrono::minutes(3));
  EXPECT_EQ(Parsed("3h"), std::chrono::hours(3));
}

TEST(DurationTest, ReadsSumsFractionsAndSigns) {
  EXPECT_EQ(Parsed("1h15m30.918s"), std::chrono::milliseconds(4530918));
  EXPECT_EQ(Parsed("-1.5h"), -std::chrono::minutes(90));
  EXPECT_EQ(Parsed("+5s"), std::chrono::seconds(5));
  EXPECT_EQ(Parsed(".5s"), std::chrono::milliseconds(500));
  EXPECT_EQ(Parsed("5.s"), std::chrono::seconds(5));
  EXPECT_EQ(Parsed("0"), nanoseconds(0));
  EXPECT_EQ(Parsed("-0"), nanoseconds(0));
  EXPECT_EQ(Parsed("0.3333333333333333333h"), std::chrono::minutes(20) - nanoseconds(1));
}

TEST(DurationTest, ReadsBothEndsOfTheRange) {
  EXPECT_EQ(Parsed("9223372036854775807ns"), nanoseconds::max());
  EXPECT_EQ(Parsed("-9223372036854775808ns"), nanoseconds::min());
  EXPECT_EQ(ErrorOf("9223372036854775808ns"), "time: invalid duration \"9223372036854775808ns\"");
  EXPECT_EQ(ErrorOf("3000000h"), "time: invalid duration \"3000000h\"");
  EXPECT_EQ(ErrorOf("99999999999999999999s"), "time: invalid duration \"99999999999999999999s\"");
}

TEST(DurationTest, NamesWhatIsWrong) {
  EXPECT_EQ(ErrorOf(""), "time: invalid duration \"\"");
  EXPECT_EQ(ErrorOf("-"), "time: invalid duration \"-\"");
  EXPECT_EQ(ErrorOf("."), "time: invalid duration \".\"");
  EXPECT_EQ(ErrorOf(".s"), "time: invalid duration \".s\"");
  EXPECT_EQ(ErrorOf("zz"), "time: invalid duration \"zz\"");
  EXPECT_EQ(ErrorOf("5"), "time: missing unit in duration \"5\"");
  EXPECT_EQ(ErrorOf("1h5"), "time: missing unit in duration \"1h5\"");
  EXPECT_EQ(ErrorOf("1d"), "time: unknown unit \"d\" in duration \"1d\"");
  EXPECT_EQ(ErrorOf("1 s"), "time: unknown unit \" s\" in duration \"1 s\"");
}

TEST(DurationTest, WritesLikeGo) {
  EXPECT_EQ(FormatDuration(nanoseconds(0)), "0s");
  EXPECT_EQ(FormatDuration(nanoseconds(1)), "1ns");
  EXPECT_EQ(FormatDuration(nanoseconds(1100)), "1.1\u00b5s");
  EXPECT_EQ(FormatDuration(std::chrono::milliseconds(200)), "200ms");
  EXPECT_EQ(FormatDuration(std::chrono::milliseconds(1500)), "1.5s");
  EXPECT_EQ(FormatDuration(std::chrono::seconds(10)), "10s");
  EXPECT_EQ(FormatDuration(std::chrono::minutes(5)), "5m0s");
  EXPECT_EQ(FormatDuration(std::chrono::hours(72)), "72h0m0s");
  EXPECT_EQ(FormatDuration(-std::chrono::milliseconds(90001)), "-1m30.001s");
  EXPECT_EQ(FormatDuration(nanoseconds::max()), "2562047h47m16.854775807s");
  EXPECT_EQ(FormatDuration(nanoseconds::min()), "-2562047h47m16.854775808s");
}

TEST(DurationTest, ReadsBackWhatItWrites) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 10000; ++i) {
    const auto shift = random() % 64;
    const nanoseconds value(static_cast<int64_t>(random() >> shift));
    ASSERT_EQ(Parsed(FormatDuration(value)), value) << value.count();
    ASSERT_EQ(Parsed(FormatDuration(-value)), -value) << value.count();
  }
}

}  // namespace
}  // namespace consul::base
