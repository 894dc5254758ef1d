#include "services/base/base64.h"

#include <gtest/gtest.h>

#include <random>
#include <utility>

namespace consul::base {
namespace {

std::string DecodeError(std::string_view text) {
  return std::string(DecodeBase64(text).status().message());
}

TEST(Base64Test, VectorsOfTheRfc) {
  const std::pair<const char*, const char*> vectors[] = {
      {"", ""},         {"f", "Zg=="},         {"fo", "Zm8="},        {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    EXPECT_EQ(EncodeBase64(plain), encoded);
    EXPECT_EQ(*DecodeBase64(encoded), plain);
  }
}

TEST(Base64Test, AnyBytesComeBack) {
  std::mt19937_64 random(3);
  for (size_t size = 0; size < 200; ++size) {
    std::string bytes;
    for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(random()));
    EXPECT_EQ(*DecodeBase64(EncodeBase64(bytes)), bytes);
  }
}

TEST(Base64Test, LineEndsArePassedOver) { EXPECT_EQ(*DecodeBase64("Zm9v\r\nYmFy\n"), "foobar"); }

TEST(Base64Test, NamesTheByteThatCannotStand) {
  EXPECT_EQ(DecodeError("Zm9*"), "illegal base64 data at input byte 3");
  EXPECT_EQ(DecodeError("Zm9"), "illegal base64 data at input byte 3");
  EXPECT_EQ(DecodeError("Zg="), "illegal base64 data at input byte 3");
  EXPECT_EQ(DecodeError("Zg=x"), "illegal base64 data at input byte 3");
  EXPECT_EQ(DecodeError("Zg==="), "illegal base64 data at input byte 4");
  EXPECT_EQ(DecodeError("=g=="), "illegal base64 data at input byte 0");
  EXPECT_EQ(DecodeError("Zg==Zg=="), "illegal base64 data at input byte 4");
  EXPECT_EQ(DecodeError("Z"), "illegal base64 data at input byte 1");
}

TEST(Base64Test, AppendsToWhatIsThere) {
  std::string text = "a";
  AppendBase64("\xff\xfe\xfd\xfc", &text);
  EXPECT_EQ(text, "a//79/A==");
}

}  // namespace
}  // namespace consul::base
