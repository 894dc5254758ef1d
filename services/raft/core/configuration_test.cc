#include "services/raft/core/configuration.h"

#include <random>

#include "gtest/gtest.h"

namespace consul::raft {
namespace {

ServerId Id(const char* name) { return ServerId{name}; }

Configuration Three() {
  return Configuration({{Id("c")}, {Id("a")}, {Id("b")}});
}

TEST(ConfigurationTest, MembersAreOrderedSoThatEqualOnesAreEqualBytes) {
  EXPECT_EQ(Three().members().front().id, Id("a"));
  EXPECT_EQ(Three().Encode(), Configuration({{Id("b")}, {Id("c")}, {Id("a")}}).Encode());
}

TEST(ConfigurationTest, QuorumIsAMajorityOfVoters) {
  EXPECT_EQ(Configuration({{Id("a")}}).quorum(), 1u);
  EXPECT_EQ(Configuration({{Id("a")}, {Id("b")}}).quorum(), 2u);
  EXPECT_EQ(Three().quorum(), 2u);
  EXPECT_EQ(Three().With(Id("d"), MemberKind::kVoter).quorum(), 3u);
}

TEST(ConfigurationTest, LearnersDoNotCount) {
  const Configuration four = Three().With(Id("d"), MemberKind::kLearner);
  EXPECT_EQ(four.voters_count(), 3u);
  EXPECT_FALSE(four.IsVoter(Id("d")));
  EXPECT_TRUE(four.Contains(Id("d")));
}

TEST(ConfigurationTest, SoleVoterMayHaveLearners) {
  const Configuration two = Configuration({{Id("a")}}).With(Id("b"), MemberKind::kLearner);
  EXPECT_TRUE(two.IsSoleVoter(Id("a")));
  EXPECT_FALSE(two.IsSoleVoter(Id("b")));
}

TEST(ConfigurationTest, WithChangesAndWithoutRemoves) {
  EXPECT_FALSE(Three().With(Id("a"), MemberKind::kLearner).IsVoter(Id("a")));
  EXPECT_FALSE(Three().Without(Id("a")).Contains(Id("a")));
  EXPECT_EQ(Three().Without(Id("z")), Three());
}

TEST(ConfigurationTest, TheFormatIsFrozen) {
  const Configuration two({{Id("a")}, {Id("bc"), MemberKind::kLearner}});
  EXPECT_EQ(two.Encode(), std::string("\x01\x02\x01\x01"
                                      "a\x02\x02"
                                      "bc"));
}

TEST(ConfigurationTest, DecodeGivesWhatWasEncoded) {
  for (const Configuration& each :
       {Configuration(), Three(), Three().With(Id("d"), MemberKind::kLearner)}) {
    EXPECT_EQ(Configuration::Decode(each.Encode()), each);
  }
}

TEST(ConfigurationTest, EveryShortenedOrLengthenedFormIsRefused) {
  const std::string bytes = Three().Encode();
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(Configuration::Decode(bytes.substr(0, size)), std::nullopt) << size;
  }
  EXPECT_EQ(Configuration::Decode(bytes + "x"), std::nullopt);
}

TEST(ConfigurationTest, DuplicateAndUnorderedMembersAreRefused) {
  EXPECT_EQ(Configuration::Decode("\x01\x02\x01\x01"
                                  "b\x01\x01"
                                  "a"),
            std::nullopt);
  EXPECT_EQ(Configuration::Decode("\x01\x02\x01\x01"
                                  "a\x01\x01"
                                  "a"),
            std::nullopt);
}

// What decodes is exactly what encodes to it; no bytes crash it.
TEST(ConfigurationTest, RandomBytesDecodeToThemselvesOrNothing) {
  std::mt19937_64 random(7);
  const std::string sound = Three().With(Id("dd"), MemberKind::kLearner).Encode();
  for (int i = 0; i < 100'000; ++i) {
    std::string bytes = sound;
    for (uint64_t flips = 1 + random() % 3; flips > 0; --flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random() % 8);
    }
    const std::optional<Configuration> decoded = Configuration::Decode(bytes);
    if (decoded.has_value()) {
      EXPECT_EQ(decoded->Encode(), bytes);
    }
  }
}

}  // namespace
}  // namespace consul::raft
