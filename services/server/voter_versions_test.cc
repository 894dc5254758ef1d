#include "services/server/voter_versions.h"

#include <gtest/gtest.h>

#include <map>

#include "services/server/test_members.h"

namespace consul::server {
namespace {

using namespace std::chrono_literals;
using Clock = VoterVersions::Clock;
using Outcome = VoterVersions::Outcome;
using Raise = VoterVersions::Raise;

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
    options.cluster_version = [this] { return cluster_version_; };
    options.stable_for = [this] { return stable_for_; };
    versions_ = std::make_unique<VoterVersions>(std::move(options), &members_);
  }

  TestMembers members_;  // "id-self" alone votes, and leads
  // b votes too, and has said this.
  void Say(uint32_t version) {
    members_.Take("id-b", raft::MemberKind::kVoter);
    said_["id-b"] = version;
  }
  Raise BeginRaise(Clock::duration after) {
    return versions_->BeginRaise(start_ + after, VoterVersions::Hold::kUntilStable);
  }
  Raise::Kind KindAfter(Clock::duration after) { return BeginRaise(after).kind; }
  bool MayPromote(const std::string& id) {
    const bool may = versions_->BeginPromotion(raft::ServerId{id});
    if (may) versions_->EndPromotion();
    return may;
  }

  const Clock::time_point start_ = Clock::now();
  uint32_t cluster_version_ = 3;
  Clock::duration stable_for_ = 10s;
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

// ---- Raises and promotions.

TEST_F(VoterVersionsTest, ARaiseWaitsUntilAllHaveBeenHeardWithItForLong) {
  Say(3);
  EXPECT_EQ(KindAfter(0s), Raise::Kind::kNone);
  Say(4);
  EXPECT_EQ(KindAfter(5s), Raise::Kind::kLater);
  EXPECT_EQ(BeginRaise(14s).at, start_ + 15s);
  const Raise raise = BeginRaise(15s);
  EXPECT_EQ(raise.kind, Raise::Kind::kNow);
  EXPECT_EQ(raise.version, 4u);
  EXPECT_EQ(raise.term, raft::Term{2});
  cluster_version_ = 4;
  versions_->EndRaise(Outcome::kKnown);
  EXPECT_EQ(KindAfter(1h), Raise::Kind::kNone);
}

TEST_F(VoterVersionsTest, ALongWaitIsAskedForOnceAnHour) {
  Say(4);
  stable_for_ = 72h;
  EXPECT_EQ(BeginRaise(0h).at, start_ + 1h);
  EXPECT_EQ(BeginRaise(1h).at, start_ + 2h);
  EXPECT_EQ(BeginRaise(50h).at, start_ + 51h);
  EXPECT_EQ(BeginRaise(71h + 30min).at, start_ + 72h);
  EXPECT_EQ(KindAfter(72h), Raise::Kind::kNow);
  versions_->EndRaise(Outcome::kKnown);
}

TEST_F(VoterVersionsTest, ABreakBeginsTheWaitAnew) {
  Say(4);
  versions_->Changed(start_);
  said_.clear();
  versions_->Changed(start_ + 8s);
  Say(4);
  versions_->Changed(start_ + 9s);
  EXPECT_EQ(BeginRaise(18s).at, start_ + 19s);
  // So does one who goes back to his old program.
  Say(3);
  EXPECT_EQ(KindAfter(18s), Raise::Kind::kNone);
  Say(4);
  EXPECT_EQ(BeginRaise(20s).at, start_ + 30s);
  EXPECT_EQ(KindAfter(30s), Raise::Kind::kNow);
  versions_->EndRaise(Outcome::kKnown);
}

TEST_F(VoterVersionsTest, ALaterLeadHearsAllAnew) {
  Say(4);
  EXPECT_EQ(KindAfter(0s), Raise::Kind::kLater);
  members_.SetLeads(false);
  EXPECT_EQ(KindAfter(11s), Raise::Kind::kNone);
  members_.SetLeads(true);
  EXPECT_EQ(BeginRaise(12s).at, start_ + 22s);
}

TEST_F(VoterVersionsTest, AClusterWithoutANameHasNothingToWaitFor) {
  Say(4);
  EXPECT_EQ(versions_->BeginRaise(start_, VoterVersions::Hold::kNone).kind, Raise::Kind::kNow);
  versions_->EndRaise(Outcome::kKnown);
}

TEST_F(VoterVersionsTest, NobodyIsPromotedWhoDoesNotKnowWhatIsRaised) {
  Say(4);
  said_["id-c"] = 3;
  said_["id-d"] = 4;
  EXPECT_TRUE(MayPromote("id-c"));
  EXPECT_EQ(KindAfter(0s), Raise::Kind::kLater);
  EXPECT_TRUE(MayPromote("id-c")) << "the raise has not begun";
  EXPECT_EQ(KindAfter(10s), Raise::Kind::kNow);
  EXPECT_FALSE(MayPromote("id-c"));
  EXPECT_FALSE(MayPromote("id-never-heard"));
  EXPECT_TRUE(MayPromote("id-d"));
  cluster_version_ = 4;
  versions_->EndRaise(Outcome::kKnown);
  EXPECT_FALSE(MayPromote("id-c"));
}

TEST_F(VoterVersionsTest, ARaiseThatFailedKeepsNobodyFromVoting) {
  Say(4);
  said_["id-c"] = 3;
  EXPECT_EQ(KindAfter(0s), Raise::Kind::kLater);
  EXPECT_EQ(KindAfter(10s), Raise::Kind::kNow);
  versions_->EndRaise(Outcome::kKnown);
  EXPECT_TRUE(MayPromote("id-c"));
  EXPECT_TRUE(MayPromote("id-never-heard")) << "everybody knows the baseline";
}

TEST_F(VoterVersionsTest, ARaiseInDoubtLetsNobodyVoteUntilItIsApplied) {
  Say(4);
  said_["id-c"] = 3;
  EXPECT_EQ(KindAfter(0s), Raise::Kind::kLater);
  EXPECT_EQ(KindAfter(10s), Raise::Kind::kNow);
  versions_->EndRaise(Outcome::kInDoubt);
  EXPECT_FALSE(MayPromote("id-c"));
  const Raise again = BeginRaise(1h);
  EXPECT_EQ(again.kind, Raise::Kind::kLater) << "it may be in the log";
  EXPECT_EQ(again.at, start_ + 1h);
  members_.SetLeads(false);
  EXPECT_FALSE(MayPromote("id-c")) << "as it may be after the lead";
  members_.SetLeads(true);
  EXPECT_FALSE(MayPromote("id-c")) << "the same term";
  cluster_version_ = 4;
  EXPECT_EQ(KindAfter(2h), Raise::Kind::kNone);
  cluster_version_ = 3;
  EXPECT_TRUE(MayPromote("id-c")) << "nothing is being raised";
}

TEST_F(VoterVersionsTest, ARaiseInDoubtIsOverInALaterTerm) {
  Say(4);
  said_["id-c"] = 3;
  EXPECT_EQ(KindAfter(0s), Raise::Kind::kLater);
  EXPECT_EQ(KindAfter(10s), Raise::Kind::kNow);
  versions_->EndRaise(Outcome::kInDoubt);
  members_.SetTerm(3);
  EXPECT_TRUE(MayPromote("id-c"));
  EXPECT_EQ(BeginRaise(11s).at, start_ + 21s);
  EXPECT_EQ(KindAfter(21s), Raise::Kind::kNow);
  versions_->EndRaise(Outcome::kKnown);
}

TEST_F(VoterVersionsTest, NothingIsRaisedDuringAPromotion) {
  Say(4);
  said_["id-c"] = 3;
  EXPECT_EQ(KindAfter(0s), Raise::Kind::kLater);
  ASSERT_TRUE(versions_->BeginPromotion(raft::ServerId{"id-c"}));
  const Raise raise = BeginRaise(11s);
  EXPECT_EQ(raise.kind, Raise::Kind::kLater);
  EXPECT_EQ(raise.at, start_ + 11s);
  members_.Take("id-c", raft::MemberKind::kVoter);
  versions_->EndPromotion();
  EXPECT_EQ(KindAfter(12s), Raise::Kind::kNone) << "c keeps it back now";
}

}  // namespace
}  // namespace consul::server
