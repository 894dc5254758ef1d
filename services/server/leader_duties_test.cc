// Goal: what the leader's thread does with each turn of the lead. Method: a server alone whose
// commands a real state machine applies, and which the test may make wait or fail. That nothing is
// written is shown by the next thing that is: proposals are in order.
#include "services/server/leader_duties.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>

#include "services/rpc/errors.h"
#include "services/server/test_consensus.h"
#include "services/server/test_members.h"
#include "services/state/registration.h"

namespace consul::server {
namespace {

using namespace std::chrono_literals;
using Proposals = std::vector<std::string>;

agent::v1::Member Self() {
  agent::v1::Member member;
  member.set_name("self");
  member.set_addr("10.0.0.1");
  member.set_status(agent::v1::MEMBER_STATUS_ALIVE);
  for (const auto& [key, value] : {std::pair("role", "consul"), {"port", "8300"},
                                   {"build", "1.0:"}, {"id", "id-self"}}) {
    auto* const tag = member.add_tags();
    tag->set_key(key);
    tag->set_value(value);
  }
  return member;
}

class LeaderDutiesTest : public testing::Test {
 protected:
  LeaderDutiesTest() {
    options_.node_name = "self";
    options_.datacenter = "dc1";
    options_.retry_interval = 1ms;
    options_.begun = [this] { ++begun_; };
    members_.Take("id-b", raft::MemberKind::kVoter);
    VoterVersions::Options versions;
    versions.self = raft::ServerId{"id-self"};
    versions.own = 9;
    versions.said = [this](const raft::ServerId& id) -> std::optional<uint32_t> {
      if (id.value != "id-b" || known_ == 0) return std::nullopt;
      return known_.load();
    };
    versions.cluster_version = [this] { return consensus_.version()->cluster_version(); };
    versions.stable_for = [this] { return stable_for_.load(); };
    versions_ = std::make_unique<VoterVersions>(std::move(versions), &members_);
    Publish({Self()});
  }

  void Publish(const std::vector<agent::v1::Member>& members) {
    auto list = std::make_shared<gossip::MemberList::Members>();
    for (const agent::v1::Member& member : members) *list->add_members() = member;
    lan_.Publish(std::move(list));
  }
  // A client, whose generation is "gen-NAME".
  static agent::v1::Member Client(const std::string& name, agent::v1::MemberStatus status) {
    agent::v1::Member member;
    member.set_name(name);
    member.set_addr("10.0.0.2");
    member.set_status(status);
    auto* tag = member.add_tags();
    tag->set_key("id");
    tag->set_value("id-" + name);
    tag = member.add_tags();
    tag->set_key("gen");
    tag->set_value("gen-" + name);
    return member;
  }
  bool InCatalog(const std::string& name) {
    return consensus_.version()->nodes().Find(name, nullptr) != nullptr;
  }

  void Start() {
    duties_ = std::make_unique<LeaderDuties>(options_, &lan_, &consensus_, consensus_.state(),
                                             versions_.get(), &logger_);
  }
  // Somebody writes the own node with another address.
  void Disturb() {
    TestConsensus::Command command;
    auto* const node = command.mutable_catalog_register()->mutable_node();
    node->set_node("self");
    node->set_id("id-self");
    node->set_address("10.9.9.9");
    consensus_.Apply(command);
  }
  std::string Address() {
    const auto version = consensus_.version();
    const auto* const node = version->nodes().Find("self", nullptr);
    return node == nullptr ? "" : node->address();
  }
  void Delete() {
    TestConsensus::Command command;
    command.mutable_kv_put()->set_key("k");
    consensus_.Apply(command);
    command.mutable_kv_delete()->set_key("k");
    consensus_.Apply(command);
  }

  TestConsensus consensus_;
  TestMembers members_;
  // What the other voter has said that it knows; 0: nothing.
  std::atomic<uint32_t> known_{0};
  std::atomic<VoterVersions::Clock::duration> stable_for_{VoterVersions::Clock::duration::zero()};
  std::unique_ptr<VoterVersions> versions_;
  base::Logger logger_{base::LogLevel::kError};
  LogLines log_{&logger_};
  gossip::MemberList lan_;
  LeaderDuties::Options options_;
  std::atomic<int> begun_{0};
  std::unique_ptr<LeaderDuties> duties_;  // stops before the rest goes
};

class ClusterVersionDutyTest : public LeaderDutiesTest {
 protected:
  // The leader has the members in the catalog, and waits.
  void Lead() {
    Start();
    duties_->Lead();
    while (begun_ == 0) std::this_thread::yield();
  }
  void Know(uint32_t version) {
    known_ = version;
    duties_->VersionsChanged();
  }
  // By the next thing that is written.
  Proposals ProposedSoFar() {
    Disturb();
    duties_->MembersChanged();
    Proposals proposals = consensus_.AwaitProposals(3);
    EXPECT_EQ(proposals.back(), "register self");
    return proposals;
  }
};

TEST_F(ClusterVersionDutyTest, ANewClusterBeginsWithWhatItsVotersKnow) {
  known_ = 4;
  Lead();
  EXPECT_EQ(consensus_.Proposals(), (Proposals{"cluster-id version=4", "register self"}));
  EXPECT_EQ(consensus_.version()->cluster_version(), 4);
  EXPECT_EQ(log_.Count("cluster version"), 0);
}

TEST_F(ClusterVersionDutyTest, ItIsRaisedAsSoonAsAllKnowMore) {
  Lead();
  EXPECT_EQ(consensus_.version()->cluster_version(), 3) << "one was not heard";
  Know(3);
  EXPECT_EQ(ProposedSoFar(), (Proposals{"cluster-id", "register self", "register self"}));
  Know(4);
  EXPECT_TRUE(log_.Await(
      "[INFO] consul: cluster version raised from 3 to 4: every voter knows it"));
  EXPECT_EQ(consensus_.version()->cluster_version(), 4);
  EXPECT_EQ(consensus_.Proposals().back(), "cluster-version 4");
  EXPECT_EQ(consensus_.proposed().back().set_cluster_version().version(), 4);
}

// Another leader would have to hear all voters by itself.
TEST_F(ClusterVersionDutyTest, ARaiseIsProposedForTheTermInWhichAllWereHeard) {
  Lead();
  EXPECT_EQ(consensus_.last_term(), std::nullopt);
  Know(4);
  consensus_.AwaitProposals(3);
  EXPECT_EQ(consensus_.last_term(), 2);
}

TEST_F(ClusterVersionDutyTest, SoIsWhatANewClusterBeginsWith) {
  known_ = 4;
  consensus_.Hold();
  Start();
  duties_->Lead();
  EXPECT_EQ(consensus_.AwaitProposals(1), Proposals{"cluster-id version=4"});
  EXPECT_EQ(consensus_.last_term(), 2);
  // It may be in the log: that is a raise in doubt as well.
  consensus_.Drop(rpc::Error(errors::v1::REASON_OUTCOME_UNKNOWN, "who knows"));
  EXPECT_EQ(consensus_.AwaitProposals(2)[1], "cluster-id");
  EXPECT_FALSE(versions_->BeginPromotion(raft::ServerId{"id-c"}));
}

TEST_F(ClusterVersionDutyTest, ItIsNotRaisedBeforeAllWereHeardForLong) {
  stable_for_ = 1h;
  Lead();
  Know(4);
  EXPECT_EQ(ProposedSoFar(), (Proposals{"cluster-id", "register self", "register self"}));
  stable_for_ = 0h;
  duties_->VersionsChanged();
  EXPECT_EQ(consensus_.AwaitProposals(4).back(), "cluster-version 4");
}

TEST_F(ClusterVersionDutyTest, ARaiseThatIsNotDueIsLookedAtAgainInTime) {
  stable_for_ = 20ms;
  Lead();
  Know(4);
  EXPECT_EQ(consensus_.AwaitProposals(3).back(), "cluster-version 4");
}

TEST_F(ClusterVersionDutyTest, ARaiseWaitsForAPromotion) {
  Lead();
  ASSERT_TRUE(versions_->BeginPromotion(raft::ServerId{"id-c"}));
  Know(4);
  EXPECT_EQ(ProposedSoFar(), (Proposals{"cluster-id", "register self", "register self"}));
  versions_->EndPromotion();
  EXPECT_EQ(consensus_.AwaitProposals(4).back(), "cluster-version 4");
}

TEST_F(ClusterVersionDutyTest, APromotionWaitsForARaise) {
  Lead();
  consensus_.Hold();
  Know(4);
  EXPECT_EQ(consensus_.AwaitProposals(3).back(), "cluster-version 4");
  EXPECT_FALSE(versions_->BeginPromotion(raft::ServerId{"id-c"}));
  consensus_.Release();
  EXPECT_TRUE(log_.Await("cluster version raised from 3 to 4"));
}

TEST_F(ClusterVersionDutyTest, ItNeverFalls) {
  known_ = 4;
  Lead();
  Know(3);
  Know(0);
  EXPECT_EQ(ProposedSoFar(), (Proposals{"cluster-id version=4", "register self", "register self"}));
  EXPECT_EQ(consensus_.version()->cluster_version(), 4);
}

TEST_F(ClusterVersionDutyTest, ALaterLeadLooksAgain) {
  Lead();
  duties_->Follow();
  known_ = 4;
  duties_->Lead();
  EXPECT_EQ(consensus_.AwaitProposals(3).back(), "cluster-version 4");
}

TEST_F(ClusterVersionDutyTest, ItLooksFromTimeToTimeWithoutNews) {
  options_.reconcile_interval = 1ms;
  Lead();
  known_ = 4;
  EXPECT_EQ(consensus_.AwaitProposals(3).back(), "cluster-version 4");
}

// It may be in the log.
TEST_F(ClusterVersionDutyTest, ARaiseInDoubtIsNotTriedAgainAndLetsNobodyVote) {
  Lead();
  consensus_.Fail(1, rpc::Error(errors::v1::REASON_OUTCOME_UNKNOWN, "who knows"));
  Know(4);
  ASSERT_TRUE(log_.Await("failed to reconcile the cluster's version: who knows"));
  Disturb();
  duties_->MembersChanged();
  EXPECT_EQ(consensus_.AwaitProposals(4), (Proposals{"cluster-id", "register self",
                                                     "cluster-version 4", "register self"}));
  EXPECT_FALSE(versions_->BeginPromotion(raft::ServerId{"id-c"}));
}

TEST_F(ClusterVersionDutyTest, ARaiseThatFailsIsTriedAgainSoon) {
  Lead();
  consensus_.Fail(1, rpc::Error(errors::v1::REASON_OVERLOADED, "busy"));
  Know(4);
  EXPECT_EQ(consensus_.AwaitProposals(4), (Proposals{"cluster-id", "register self",
                                                     "cluster-version 4", "cluster-version 4"}));
  EXPECT_TRUE(log_.Await("failed to reconcile the cluster's version: busy"));
  EXPECT_TRUE(log_.Await("cluster version raised"));
}

TEST_F(LeaderDutiesTest, AFollowerWritesNothing) {
  Start();
  duties_->MembersChanged();
  duties_->Follow();
  duties_->Stop();
  EXPECT_EQ(consensus_.Proposals(), Proposals{});
  EXPECT_EQ(begun_, 0);
}

TEST_F(LeaderDutiesTest, ALeadNamesTheClusterAndRegistersItself) {
  Start();
  duties_->Lead();
  EXPECT_EQ(consensus_.AwaitProposals(2), (Proposals{"cluster-id", "register self"}));
  ASSERT_TRUE(log_.Await("joined"));
  duties_->Stop();
  EXPECT_EQ(log_.lines(),
            (Proposals{"[INFO] consul: cluster leadership acquired",
                       "[INFO] consul: New leader elected: self",
                       "[INFO] consul: member 'self' joined, marking health alive"}));
  EXPECT_EQ(consensus_.version()->cluster_id(nullptr).size(), 36);
}

TEST_F(LeaderDutiesTest, ItTellsThatItHasBegunWhenTheMembersAreInTheCatalog) {
  std::string address_then;
  options_.begun = [&] {
    address_then = Address();
    ++begun_;
  };
  Start();
  duties_->Lead();
  consensus_.AwaitProposals(2);
  while (begun_ == 0) std::this_thread::yield();
  EXPECT_EQ(address_then, "10.0.0.1");
}

TEST_F(LeaderDutiesTest, AtRestItProposesNothing) {
  Start();
  duties_->Lead();
  consensus_.AwaitProposals(2);
  while (begun_ == 0) std::this_thread::yield();
  duties_->MembersChanged();
  duties_->MembersChanged();
  Disturb();
  duties_->MembersChanged();
  EXPECT_EQ(consensus_.AwaitProposals(3),
            (Proposals{"cluster-id", "register self", "register self"}));
}

TEST_F(LeaderDutiesTest, ItComparesFromTimeToTimeWithoutAnEvent) {
  options_.reconcile_interval = 1ms;
  Start();
  duties_->Lead();
  consensus_.AwaitProposals(2);
  Disturb();
  consensus_.AwaitProposals(3);
  duties_->Stop();
  EXPECT_EQ(Address(), "10.0.0.1");
  EXPECT_EQ(consensus_.Proposals().size(), 3);  // however often it looked
}

TEST_F(LeaderDutiesTest, TheClusterIsNamedOnce) {
  Start();
  for (int lead = 1; lead <= 3; ++lead) {
    duties_->Lead();
    ASSERT_TRUE(log_.Await("cluster leadership acquired", lead));
    while (begun_ < lead) std::this_thread::yield();
    duties_->Follow();
  }
  duties_->Stop();
  EXPECT_EQ(consensus_.Proposals(), (Proposals{"cluster-id", "register self"}));
  EXPECT_EQ(begun_, 3);
}

TEST_F(LeaderDutiesTest, AMemberThatLeavesIsTakenOutWithItsGeneration) {
  Publish({Self(), Client("c", agent::v1::MEMBER_STATUS_ALIVE)});
  Start();
  duties_->Lead();
  consensus_.AwaitProposals(3);
  Publish({Self(), Client("c", agent::v1::MEMBER_STATUS_LEFT)});
  duties_->MembersChanged();
  EXPECT_TRUE(log_.Await("[INFO] consul: member 'c' left, deregistering"));
  EXPECT_FALSE(InCatalog("c"));
  // A write of it that was under way comes too late.
  TestConsensus::Command late;
  late.mutable_catalog_register()->mutable_node()->set_node("c");
  late.mutable_catalog_register()->set_generation("gen-c");
  EXPECT_TRUE(state::CheckRegistration(consensus_.version()->tables(), late.catalog_register())
                  .refused());
}

TEST_F(LeaderDutiesTest, AMemberThatWasForgottenIsTakenOutAtOnce) {
  Publish({Self(), Client("c", agent::v1::MEMBER_STATUS_ALIVE)});
  Start();
  duties_->Lead();
  consensus_.AwaitProposals(3);
  Publish({Self()});
  duties_->MemberReaped("c", "gen-c");
  EXPECT_TRUE(log_.Await("[INFO] consul: member 'c' reaped, deregistering"));
  EXPECT_FALSE(InCatalog("c"));
}

TEST_F(LeaderDutiesTest, AMemberThatWasForgottenAndIsBackStays) {
  Publish({Self(), Client("c", agent::v1::MEMBER_STATUS_ALIVE)});
  Start();
  duties_->Lead();
  consensus_.AwaitProposals(3);
  duties_->MemberReaped("c", "gen-c");
  Disturb();
  duties_->MembersChanged();
  consensus_.AwaitProposals(4);
  duties_->Stop();
  EXPECT_TRUE(InCatalog("c"));
}

// A leader that has just started knows itself alone.
TEST_F(LeaderDutiesTest, ANodeThatThePoolDoesNotKnowIsForgottenAfterTheGraceAlone) {
  TestConsensus::Command command;
  auto* const registration = command.mutable_catalog_register();
  registration->mutable_node()->set_node("c");
  registration->add_checks()->set_check_id("serfHealth");
  registration->mutable_checks(0)->set_status(health::v1::CHECK_STATUS_PASSING);
  consensus_.Apply(command);
  options_.absence_grace = 1h;
  Start();
  duties_->Lead();
  consensus_.AwaitProposals(2);
  Disturb();
  duties_->MembersChanged();
  consensus_.AwaitProposals(3);
  duties_->Stop();
  EXPECT_TRUE(InCatalog("c"));

  options_.absence_grace = 0ms;
  Start();
  duties_->Lead();
  EXPECT_TRUE(log_.Await("[INFO] consul: member 'c' reaped, deregistering"));
  EXPECT_FALSE(InCatalog("c"));
}

TEST_F(LeaderDutiesTest, AnExternalNodeIsNobodysBusiness) {
  TestConsensus::Command command;
  command.mutable_catalog_register()->mutable_node()->set_node("ext");
  consensus_.Apply(command);
  options_.absence_grace = 0ms;
  options_.reconcile_interval = 1ms;
  Start();
  duties_->Lead();
  consensus_.AwaitProposals(2);
  Disturb();
  consensus_.AwaitProposals(3);
  duties_->Stop();
  EXPECT_TRUE(InCatalog("ext"));
}

// Consensus reports its role again whenever a term or the leader's readiness changes.
TEST_F(LeaderDutiesTest, ALeadToldTwiceBeginsOnce) {
  Start();
  duties_->Lead();
  duties_->Lead();
  ASSERT_TRUE(log_.Await("joined"));
  while (begun_ == 0) std::this_thread::yield();
  duties_->Lead();
  duties_->MembersChanged();
  duties_->Stop();
  EXPECT_EQ(log_.Count("cluster leadership acquired"), 1);
  EXPECT_EQ(begun_, 1);
}

TEST_F(LeaderDutiesTest, ALeadThatWasOverBeforeItsDutiesBeganLeavesNoTrace) {
  consensus_.Hold();
  Start();
  duties_->Lead();
  consensus_.AwaitProposals(1);  // the thread is busy with the first lead
  duties_->Follow();
  duties_->Lead();
  duties_->Follow();
  consensus_.Release();
  duties_->Stop();
  EXPECT_EQ(log_.Count("cluster leadership acquired"), 1);
  EXPECT_EQ(consensus_.Proposals(), Proposals{"cluster-id"});
  EXPECT_EQ(begun_, 0);
}

TEST_F(LeaderDutiesTest, ALeadLostAndWonDuringAWriteBeginsAgain) {
  consensus_.Hold();
  Start();
  duties_->Lead();
  consensus_.AwaitProposals(1);
  duties_->Follow();
  duties_->Lead();
  consensus_.Release();
  EXPECT_TRUE(log_.Await("cluster leadership acquired", 2));
  EXPECT_TRUE(log_.Await("joined"));
}

TEST_F(LeaderDutiesTest, AWriteThatFailsIsTriedAgainSoon) {
  consensus_.Fail(1, rpc::Error(errors::v1::REASON_OVERLOADED, "too many proposals"));
  Start();
  duties_->Lead();
  EXPECT_EQ(consensus_.AwaitProposals(3), (Proposals{"cluster-id", "cluster-id", "register self"}));
  EXPECT_EQ(log_.Count("[ERR] consul: failed to reconcile the cluster id: too many proposals"), 1);
  while (begun_ == 0) std::this_thread::yield();
}

TEST_F(LeaderDutiesTest, ItHasNotBegunWhileTheMembersAreNotInTheCatalog) {
  options_.retry_interval = 1h;
  consensus_.Hold();
  Start();
  duties_->Lead();
  consensus_.AwaitProposals(1);
  consensus_.Fail(1, rpc::Error(errors::v1::REASON_OUTCOME_UNKNOWN, "who knows"));
  consensus_.Release();
  ASSERT_TRUE(log_.Await("failed to reconcile member 'self': who knows"));
  duties_->Stop();
  EXPECT_EQ(begun_, 0);
}

TEST_F(LeaderDutiesTest, AConflictIsSaidAndNotProposed) {
  TestConsensus::Command other;
  auto* const registration = other.mutable_catalog_register();
  registration->mutable_node()->set_node("self");
  registration->mutable_node()->set_id("id-other");
  registration->add_checks()->set_check_id("serfHealth");
  registration->mutable_checks(0)->set_status(health::v1::CHECK_STATUS_PASSING);
  consensus_.Apply(other);
  Start();
  duties_->Lead();
  ASSERT_TRUE(log_.Await("[ERR] consul: failed to reconcile member 'self'"));
  EXPECT_EQ(log_.Count("is reserved by node id-other"), 1);
  while (begun_ == 0) std::this_thread::yield();
  duties_->Stop();
  EXPECT_EQ(consensus_.Proposals(), Proposals{"cluster-id"});
}

TEST_F(LeaderDutiesTest, StopWaitsForTheWriteThatIsOnItsWay) {
  consensus_.Hold();
  Start();
  duties_->Lead();
  consensus_.AwaitProposals(1);
  std::atomic<bool> stopped{false};
  std::thread stop([&] {
    duties_->Stop();
    stopped = true;
  });
  EXPECT_FALSE(stopped);  // nobody has answered yet
  consensus_.Release();
  stop.join();
  EXPECT_FALSE(consensus_.version()->cluster_id(nullptr).empty());
}

// Consensus ends before the duties do, and answers what waits with an error.
TEST_F(LeaderDutiesTest, AWriteThatTheEndCutsOffIsNoErrorInTheLog) {
  consensus_.Hold();
  Start();
  duties_->Lead();
  consensus_.AwaitProposals(1);
  duties_->AskToStop();
  consensus_.Drop(absl::CancelledError("this server is stopping"));
  duties_->Stop();
  EXPECT_EQ(log_.Count("[ERR]"), 0);
}

TEST_F(LeaderDutiesTest, AWriteThatALostLeadCutsOffIsNoErrorInTheLog) {
  consensus_.Hold();
  Start();
  duties_->Lead();
  consensus_.AwaitProposals(1);
  duties_->Follow();
  consensus_.Drop(absl::UnknownError("leadership was lost"));
  duties_->Stop();
  EXPECT_EQ(log_.Count("[ERR]"), 0);
}

TEST_F(LeaderDutiesTest, StopTwiceAndWhatComesAfterDoNothing) {
  Start();
  duties_->Stop();
  duties_->Lead();
  duties_->MembersChanged();
  duties_->Stop();
  EXPECT_EQ(consensus_.Proposals(), Proposals{});
}

TEST_F(LeaderDutiesTest, OldTombstonesAreCollectedOnce) {
  options_.tombstone_ttl = 0ms;
  options_.tombstone_grain = 1ms;
  Delete();  // 1, 2
  Start();
  duties_->Lead();
  EXPECT_EQ(consensus_.AwaitProposals(3), (Proposals{"cluster-id", "register self", "collect 2"}));
  Delete();  // 6, 7
  EXPECT_EQ(consensus_.AwaitProposals(4).back(), "collect 7");
  duties_->Stop();
  EXPECT_EQ(consensus_.Proposals().size(), 4);
  EXPECT_EQ(consensus_.version()->kv().rows().tombstones().size(), 0);
}

TEST_F(LeaderDutiesTest, TombstonesAreKeptForTheirTime) {
  options_.tombstone_ttl = 1h;
  options_.tombstone_grain = 1ms;
  options_.reconcile_interval = 1ms;
  Delete();
  Start();
  duties_->Lead();
  consensus_.AwaitProposals(2);
  Disturb();
  consensus_.AwaitProposals(3);
  duties_->Stop();
  EXPECT_EQ(consensus_.Proposals(), (Proposals{"cluster-id", "register self", "register self"}));
}

TEST_F(LeaderDutiesTest, ACollectionThatFailsIsTriedAgain) {
  options_.tombstone_ttl = 0ms;
  options_.tombstone_grain = 1ms;
  Start();
  duties_->Lead();
  consensus_.AwaitProposals(2);
  while (begun_ == 0) std::this_thread::yield();
  consensus_.Fail(1, rpc::Error(errors::v1::REASON_OVERLOADED, "busy"));
  Delete();
  const Proposals proposals = consensus_.AwaitProposals(4);
  ASSERT_EQ(proposals.size(), 4);
  EXPECT_EQ(proposals[2], proposals[3]);
  EXPECT_TRUE(log_.Await("failed to reconcile the tombstones' end: busy"));
}

}  // namespace
}  // namespace consul::server
