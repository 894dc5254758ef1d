#include "services/server/voter_versions.h"

#include <gtest/gtest.h>

#include <map>

#include "services/server/test_members.h"

namespace consul::server {
namespace {

class VoterVersionsTest : public testing::Test {
 protected:
  VoterVersionsTest() {
    VoterVersions::Options options;
    options.self = raft::ServerId{"id-self"};
    options.own = 5;
    options.said = [this](const raft::ServerId& id) -> std::optional<uint32_t> {
      const auto found = said_.find(id.value);
      if (found == said_.end()) return std::nullopt;
      return found->second;
    };
    options.name_of = [](const raft::ServerId& id) {
      return id.value == "id-unknown" ? std::string() : id.value.substr(3);
    };
    versions_ = std::make_unique<VoterVersions>(std::move(options), &members_);
  }

  TestMembers members_;  // "id-self" alone votes, and leads
  std::map<std::string, uint32_t> said_;
  std::unique_ptr<VoterVersions> versions_;
};

TEST_F(VoterVersionsTest, ASoleVoterKnowsWhatItKnows) {
  EXPECT_EQ(versions_->Common(), 5u);
  EXPECT_EQ(versions_->Without(5), "");
  EXPECT_EQ(versions_->Without(6), "self (id-self) knows version 5");
}

TEST_F(VoterVersionsTest, AllKnowWhatTheOldestKnows) {
  members_.Take("id-b", raft::MemberKind::kVoter);
  members_.Take("id-c", raft::MemberKind::kVoter);
  said_ = {{"id-b", 4}, {"id-c", 7}};
  EXPECT_EQ(versions_->Common(), 4u);
  EXPECT_EQ(versions_->Without(4), "");
  EXPECT_EQ(versions_->Without(5), "b (id-b) knows version 4");
  EXPECT_EQ(versions_->Without(6), "b (id-b) knows version 4, self (id-self) knows version 5");
}

TEST_F(VoterVersionsTest, WhoIsTooOldToSayKnowsTheBaseline) {
  members_.Take("id-b", raft::MemberKind::kVoter);
  said_ = {{"id-b", 0}};
  EXPECT_EQ(versions_->Common(), 3u);
  EXPECT_EQ(versions_->Without(4), "b (id-b) knows version 3");
}

TEST_F(VoterVersionsTest, NothingIsKnownOfAllWhileOneWasNotHeard) {
  members_.Take("id-b", raft::MemberKind::kVoter);
  members_.Take("id-unknown", raft::MemberKind::kVoter);
  said_ = {{"id-b", 5}};
  EXPECT_EQ(versions_->Common(), std::nullopt);
  EXPECT_EQ(versions_->Without(4), "id-unknown was not heard");
}

TEST_F(VoterVersionsTest, WhoDoesNotVoteKeepsNobodyBack) {
  members_.Take("id-b", raft::MemberKind::kLearner);
  EXPECT_EQ(versions_->Common(), 5u);
  said_ = {{"id-b", 3}};
  EXPECT_EQ(versions_->Common(), 5u);
  EXPECT_EQ(versions_->Of(raft::ServerId{"id-b"}), 3u);
}

// Followers do not speak with each other.
TEST_F(VoterVersionsTest, AFollowerNamesThoseAloneOfWhomItKnows) {
  members_.Take("id-b", raft::MemberKind::kVoter);
  members_.Take("id-c", raft::MemberKind::kVoter);
  said_ = {{"id-b", 3}};
  members_.SetLeads(false);
  EXPECT_EQ(versions_->Without(4), "b (id-b) knows version 3");
  said_ = {{"id-b", 4}};
  EXPECT_EQ(versions_->Without(4), "");
}

}  // namespace
}  // namespace consul::server
