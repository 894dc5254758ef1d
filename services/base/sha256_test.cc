#include "services/base/sha256.h"

#include "gtest/gtest.h"

namespace consul::base {
namespace {

// FIPS 180-2, appendix B.
TEST(Sha256Test, TheSumsOfTheStandard) {
  EXPECT_EQ(Sha256::Hex(Sha256().Finish()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 sum;
  sum.Add("abc");
  EXPECT_EQ(Sha256::Hex(sum.Finish()),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256Test, PiecesGiveTheSumOfTheWhole) {
  Sha256 whole;
  whole.Add(std::string(1000, 'a'));
  Sha256 pieces;
  for (int i = 0; i < 10; ++i) pieces.Add(std::string(100, 'a'));
  pieces.Add("");
  EXPECT_EQ(whole.Finish(), pieces.Finish());
}

}  // namespace
}  // namespace consul::base
